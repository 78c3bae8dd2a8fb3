"""`infra.image_registry`: where nodes get container images from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.base import Settings, matches
from config.google.base import ResourceName


class RemoteRepository(Settings):
    """An Artifact Registry repository in each region that fetches images from a registry and keeps them."""

    kind: Literal["remote_repository"] = "remote_repository"
    """Make one for each region."""
    upstream: Annotated[
        str,
        matches(r"https://[a-z0-9][a-z0-9.-]*(:\d+)?", "a registry's address, such as https://registry-1.docker.io"),
    ] = "https://registry-1.docker.io"
    """The registry that it fetches from."""
    image_streaming: bool = True
    """Image streaming: containers start before the whole image has come."""


class ExistingRepository(Settings):
    """An Artifact Registry repository made elsewhere; nodes get the right to read it."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The repository, in this project."""
    location: Annotated[str, matches(r"us|europe|asia|[a-z]+-[a-z]+\d+", "a region, or one of us, europe, asia")]
    """Where it is: a region or a multi-region."""
    image_streaming: bool = True
    """Image streaming: containers start before the whole image has come."""


class DirectPull(Settings):
    """Images come straight from where they are written; no image streaming, which needs Artifact Registry."""

    kind: Literal["direct"]
    """Make nothing."""


ImageRegistrySettings = Annotated[RemoteRepository | ExistingRepository | DirectPull, Field(discriminator="kind")]
