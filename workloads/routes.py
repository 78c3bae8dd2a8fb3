"""Which requests are a further model's: told by path, host or a header that the client sends.

Telling by the `model` in the body needs an extension of the load balancer, which the multi-cluster classes do not take
(docs/decisions).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schema import Settings


class PathRoute(Settings):
    """By the beginning of the path, which is taken off before the model sees the request."""

    kind: Literal["path"]
    """A path."""
    prefix: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=256)]
    """Such as /qwen: clients use https://…/qwen/v1 as their base URL."""


class HostRoute(Settings):
    """By the name that the client calls."""

    kind: Literal["host"]
    """A name."""
    hostname: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", max_length=253)]
    """The certificate and DNS must know it, too."""


class HeaderRoute(Settings):
    """By a header that the client sends."""

    kind: Literal["header"]
    """A header."""
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "x-model"
    """Of the header."""
    value: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,128}$")]
    """Exactly."""


Route = Annotated[PathRoute | HostRoute | HeaderRoute, Field(discriminator="kind")]
