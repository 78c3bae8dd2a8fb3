"""`infra.image_registry`: where nodes pull container images from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.base import Settings, matches
from config.google.base import ResourceName


class RemoteRepository(Settings):
    """An Artifact Registry remote repository in each region. It fetches images from another registry and caches
    them."""

    kind: Literal["remote_repository"] = "remote_repository"
    """Create a remote repository in each region."""
    upstream: Annotated[
        str,
        matches(
            r"https://[a-z0-9][a-z0-9.-]*(:\d+)?", "the address of a registry, such as https://registry-1.docker.io"
        ),
    ] = "https://registry-1.docker.io"
    """Registry that the repository fetches images from."""
    image_streaming: bool = True
    """Image streaming: containers start before the whole image has arrived."""


class ExistingRepository(Settings):
    """An Artifact Registry repository that exists already; this stack grants the nodes the right to read it."""

    kind: Literal["existing"]
    """Use an existing repository."""
    name: ResourceName
    """Name of the repository, in this project."""
    location: Annotated[str, matches(r"us|europe|asia|[a-z]+-[a-z]+\d+", "a region, or one of us, europe, asia")]
    """Location of the repository: a region or a multi-region."""
    image_streaming: bool = True
    """Image streaming: containers start before the whole image has arrived."""


class DirectPull(Settings):
    """Nodes pull images from the registry in the image's name. Image streaming needs Artifact Registry and is off."""

    kind: Literal["direct"]
    """Create no repository."""


ImageRegistrySettings = Annotated[RemoteRepository | ExistingRepository | DirectPull, Field(discriminator="kind")]
