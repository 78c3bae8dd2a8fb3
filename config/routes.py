"""Routes of additional models: the gateway matches a request by path, host name or header.

A match by the `model` field of the body needs an extension of the load balancer, which the multi-cluster
GatewayClasses do not support (docs/decisions).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from config.base import HOSTNAME, HOSTNAME_WORDS, Settings, matches

_SERVED = json.loads(Path(__file__).with_name("served_routes.json").read_text())
SERVED_BY: Mapping[str, str] = {name: _SERVED[name] for name in ("ray", "vllm")}
"""Versions of Ray and vLLM that SERVED_ROUTES comes from."""
SERVED_ROUTES: Mapping[str, Mapping[str, Sequence[str]]] = _SERVED["routes"]
"""Data path -> kind of model -> the routes that it answers. tools/vllm/list_routes.py writes them."""
SERVED_SEGMENTS = frozenset([*_SERVED["segments"], "-"])
"""First path segments that a model answers on some data path, with some option, in some version of vLLM that a
supported Ray has; and Ray Serve's health check."""


def shadowed_segment(prefix: str, base: str = "") -> str | None:
    """Return the route of the model at path `base` that a route for `prefix` would take away, or None."""
    if not prefix.startswith(f"{base}/"):
        return None
    segment = prefix.removeprefix(f"{base}/").split("/")[0]
    return f"{base}/{segment}" if segment in SERVED_SEGMENTS else None


class PathRoute(Settings):
    """Match by path prefix. The gateway removes the prefix before it forwards the request."""

    kind: Literal["path"]
    """Match by path prefix."""
    prefix: Annotated[
        str, matches(r"(?=.{2,256}$)(/[A-Za-z0-9._-]+)+", "a path such as /qwen, without a slash at the end")
    ]
    """Path prefix, such as /qwen: the base URL of clients is then https://HOST/qwen/v1."""

    @property
    def match_key(self) -> str:
        """What the route matches. Two models must not share it."""
        return f"path {self.prefix}"


class HostRoute(Settings):
    """Match by host name."""

    kind: Literal["host"]
    """Match by host name."""
    hostname: Annotated[str, matches(HOSTNAME, HOSTNAME_WORDS)]
    """Host name. Certificate and DNS must cover it too."""

    @property
    def match_key(self) -> str:
        """What the route matches. Two models must not share it."""
        return f"host {self.hostname}"


class HeaderRoute(Settings):
    """Match by a request header."""

    kind: Literal["header"]
    """Match by header."""
    name: Annotated[str, matches(r"[A-Za-z0-9-]{1,64}", "a header name of up to 64 letters, digits and hyphens")] = (
        "x-model"
    )
    """Name of the header."""
    value: Annotated[
        str, matches(r"[A-Za-z0-9._/-]{1,128}", "up to 128 letters, digits, dots, hyphens, underscores and slashes")
    ]
    """Value of the header; the match is exact."""

    @property
    def match_key(self) -> str:
        """What the route matches. Two models must not share it. Header names are case-insensitive."""
        return f"header {self.name.lower()}: {self.value}"


Route = Annotated[PathRoute | HostRoute | HeaderRoute, Field(discriminator="kind")]
