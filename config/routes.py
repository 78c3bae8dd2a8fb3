"""Which requests are a further model's: told by path, host or a header that the client sends.

Telling by the `model` in the body needs an extension of the load balancer, which the multi-cluster classes do not take
(docs/decisions).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.base import HOSTNAME, HOSTNAME_WORDS, Settings, matches

PRIMARY_PATH_PREFIXES = ("v1", "-")
"""How the paths begin that the first model answers: its API, and the health check."""


class PathRoute(Settings):
    """By the beginning of the path, which is taken off before the model sees the request."""

    kind: Literal["path"]
    """A path."""
    prefix: Annotated[
        str, matches(r"(?=.{2,256}$)(/[A-Za-z0-9._-]+)+", "a path such as /qwen, without a slash at the end")
    ]
    """Such as /qwen: clients use https://…/qwen/v1 as their base URL."""

    @property
    def match_key(self) -> str:
        """What requests are told by; two services cannot share it."""
        return f"path {self.prefix}"


class HostRoute(Settings):
    """By the name that the client calls."""

    kind: Literal["host"]
    """A name."""
    hostname: Annotated[str, matches(HOSTNAME, HOSTNAME_WORDS)]
    """The certificate and DNS must know it, too."""

    @property
    def match_key(self) -> str:
        """As of a path."""
        return f"host {self.hostname}"


class HeaderRoute(Settings):
    """By a header that the client sends."""

    kind: Literal["header"]
    """A header."""
    name: Annotated[str, matches(r"[A-Za-z0-9-]{1,64}", "the header's name: up to 64 letters, digits and hyphens")] = (
        "x-model"
    )
    """Of the header."""
    value: Annotated[
        str, matches(r"[A-Za-z0-9._/-]{1,128}", "up to 128 letters, digits, dots, hyphens, underscores and slashes")
    ]
    """Exactly."""

    @property
    def match_key(self) -> str:
        """As of a path; a header's name means the same in any case."""
        return f"header {self.name.lower()}: {self.value}"


Route = Annotated[PathRoute | HostRoute | HeaderRoute, Field(discriminator="kind")]
