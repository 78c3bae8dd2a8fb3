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
PUBLIC_ROUTES: Mapping[str, str] = {
    "/v1/chat/completions": "POST",
    "/v1/completions": "POST",
    "/v1/responses": "POST",
    "/v1/messages": "POST",
    "/v1/messages/count_tokens": "POST",
    "/v1/embeddings": "POST",
    "/v1/score": "POST",
    "/score": "POST",
    "/v1/rerank": "POST",
    "/v2/rerank": "POST",
    "/rerank": "POST",
    "/v2/embed": "POST",
    "/classify": "POST",
    "/pooling": "POST",
    "/v1/audio/transcriptions": "POST",
    "/v1/audio/translations": "POST",
    "/v1/realtime": "GET",
    "/v1/models": "GET",
    "/v1/models/{model:path}": "GET",
}
"""Routes that callers may ask, and their method: the APIs of OpenAI, Anthropic, Cohere and Jina, and vLLM's routes for
models that pool."""
CLOSED_ROUTES: Mapping[str, str] = {
    "/detokenize": "part of vLLM's own API, which tells the tokenizer",
    "/tokenize": "part of vLLM's own API, which tells the tokenizer",
    "/docs": "documentation of every route, open or not",
    "/docs/oauth2-redirect": "documentation of every route, open or not",
    "/redoc": "documentation of every route, open or not",
    "/openapi.json": "documentation of every route, open or not",
    "/health": "for the operator; callers have /-/healthz",
    "/ping": "for the operator; callers have /-/healthz",
    "/load": "for the operator: how busy a replica is",
    "/metrics": "for the operator: it is scraped from each pod",
    "/version": "tells which known faults a server has",
    "/invocations": "the same as the other routes, for Amazon SageMaker",
    "/inference/v1/generate": "tokens in place of text, past the chat template",
    "/generative_scoring": "vLLM's own, without a documented form",
    "/is_scaling_elastic_ep": "changes the engine",
    "/scale_elastic_ep": "changes the engine",
    "/v1/chat/completions/batch": "vLLM's own: many requests that count as one",
    "/v1/chat/completions/render": "a part of a request, for a server split in two",
    "/v1/chat/completions/derender": "a part of a request, for a server split in two",
    "/v1/completions/render": "a part of a request, for a server split in two",
    "/v1/completions/derender": "a part of a request, for a server split in two",
    "/v1/messages/render": "a part of a request, for a server split in two",
    "/v1/responses/{response_id}": "the replica that made the response keeps it; another one answers 404",
    "/v1/responses/{response_id}/cancel": "the replica that made the response keeps it; another one answers 404",
}
"""Routes of a model that callers get 404 for, and why."""
SERVED_SEGMENTS = frozenset([*_SERVED["segments"], "-"])
"""First path segments that a model answers on some data path, with some option, in some version of vLLM that a
supported Ray has; and Ray Serve's health check."""


def served_routes(*, direct: bool) -> Mapping[str, Sequence[str]]:
    """Return kind of model -> the routes that it answers on a data path. `direct`: a replica is its own ingress."""
    return SERVED_ROUTES["direct_streaming" if direct else "python_proxy"]


def public_paths(method: str, *, direct: bool) -> list[str]:
    """Return the paths, of all kinds of models, that callers may ask with a method. A path that ends with `/` stands
    for all paths below it. A model answers those of another kind with 404 itself."""
    every = {path for paths in served_routes(direct=direct).values() for path in paths}
    found = sorted(path for path in every if PUBLIC_ROUTES.get(path) == method)
    return [path.partition("{")[0] for path in found]


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
