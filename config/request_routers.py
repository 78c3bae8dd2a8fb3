"""Request routers: how Ray selects the replica of a request. Their arguments are Ray's own keyword arguments.

Source: ray/serve/experimental/consistent_hash_router.py and
ray/llm/_internal/serve/routing_policies/prefix_aware/prefix_aware_router.py. Both files are the same in every Ray from
2.56.1 to 2.60; a unit test compares names and defaults with the installed Ray.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from config.base import Settings, matches, raise_issues
from config.issues import ConfigIssue, Rule

EVICTION_TARGET = Rule(
    "serving.request-router.eviction-target",
    problem="{target} is greater than eviction_threshold_chars {threshold}",
    reason="an eviction would remove nothing and start again at once",
    fix="Write an eviction_target_chars of at most {threshold}",
    source="ray/llm/_internal/serve/routing_policies/prefix_aware/prefix_aware_router.py",
)


HeaderName = Annotated[
    str, matches(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?", "a header's name: letters, digits and hyphens")
]


class DefaultRouter(Settings):
    """The data path's own choice: round robin on `direct_streaming`, the fewest open requests on `least_connections`,
    power of two choices on `haproxy` and `python_proxy`."""

    kind: Literal["default"] = "default"
    """The data path's own."""


class SessionRouter(Settings):
    """The requests of one session go to one replica (Ray's ConsistentHashRouter). A request without the header goes to
    any replica."""

    kind: Literal["session"]
    """By session."""
    header: HeaderName = "x-session-id"
    """Request header that names the session (RAY_SERVE_SESSION_ID_HEADER_KEY)."""
    num_virtual_nodes: int = Field(default=100, ge=1, le=10_000)
    """Points of each replica on the hash ring: more of them spread sessions more evenly."""
    num_fallback_replicas: int = Field(default=2, ge=0)
    """Other replicas that Ray tries when the session's own has no room; 0 for none."""


class PrefixCacheAffinityRouter(Settings):
    """Requests with the same beginning go to the replica that has it in its cache. On `direct_streaming` HAProxy copies
    each request body to the router."""

    kind: Literal["prefix_cache_affinity"]
    """By the beginning of the prompt."""
    imbalanced_threshold: Annotated[float, Field(ge=0)] | None = None
    """Difference between the queues of two replicas from which load decides and not the prompt; null for never."""
    match_rate_threshold: float = Field(default=0.1, ge=0, le=1)
    """Share of the prompt that a replica must know; below it the replica with the smallest cache is chosen."""
    do_eviction: bool = True
    """Forget old prompts. Ray's default is false: its memory of all prompts then grows without limit."""
    eviction_threshold_chars: int = Field(default=400_000, ge=1)
    """Characters of prompts from which Ray forgets."""
    eviction_target_chars: int = Field(default=360_000, ge=1)
    """Characters of prompts that Ray keeps when it forgets."""
    eviction_interval_secs: int = Field(default=10, ge=1)
    """Seconds between two checks."""

    @model_validator(mode="after")
    def _check(self) -> PrefixCacheAffinityRouter:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        target, threshold = self.eviction_target_chars, self.eviction_threshold_chars
        if target > threshold:
            yield EVICTION_TARGET.issue("eviction_target_chars", target=target, threshold=threshold)


class HashedAffinity(Settings):
    """What both hashes share. HAProxy itself selects the replica; no request router runs."""

    load_percent: int = Field(default=150, ge=101, le=1000)
    """Most requests in progress of one replica, in percent of the mean of all. Above it HAProxy takes the next replica
    of the hash (hash-balance-factor): a smaller number spreads the load, a larger one keeps sessions together."""


class SessionHash(HashedAffinity):
    """The requests of one session go to one replica, by HAProxy's consistent hash of a header."""

    kind: Literal["session_hash"]
    """By session, on `least_connections`."""
    header: HeaderName = "x-session-id"
    """Request header that names the session. A request without it goes to any replica."""


class PromptHash(HashedAffinity):
    """Requests whose bodies begin alike go to one replica, by HAProxy's consistent hash of the beginning. In a chat
    request that is the model's name and the system prompt."""

    kind: Literal["prompt_hash"]
    """By the beginning of the request body, on `least_connections`."""
    bytes: int = Field(default=512, ge=64, le=8192)
    """Bytes of the body that are hashed."""


class KvAwareRouter(Settings):
    """By the blocks in each replica's KV cache (Ray's KVAwareRouter). Refused: config/compatibility.py says why."""

    kind: Literal["kv_aware"]
    """By the KV cache."""


def _from_text(value: object) -> object:
    """Return the mapping that `session` alone stands for."""
    return {"kind": value} if isinstance(value, str) else value


RequestRouter = Annotated[
    Annotated[
        DefaultRouter | SessionRouter | PrefixCacheAffinityRouter | SessionHash | PromptHash | KvAwareRouter,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_from_text),
]

ROUTER_CLASSES: dict[type[Settings], str] = {
    SessionRouter: "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter",
    PrefixCacheAffinityRouter: "ray.serve.llm.request_router:PrefixCacheAffinityRouter",
    KvAwareRouter: "ray.serve.llm.request_router:KVAwareRouter",
}
"""Settings of a router -> its class in Ray."""
NOT_AN_ARGUMENT = frozenset({"kind", "header"})
"""Settings that are no keyword argument of the class."""


def router_config(router: Settings) -> dict[str, Any] | None:
    """Return Ray's RequestRouterConfig of `router`, without Ray's defaults; None for the data path's own router."""
    if type(router) not in ROUTER_CLASSES:
        return None
    values = router.model_dump(exclude=set(NOT_AN_ARGUMENT), exclude_none=True, exclude_defaults=True)
    if isinstance(router, PrefixCacheAffinityRouter):
        values["do_eviction"] = router.do_eviction  # the one default that is not Ray's own
    config: dict[str, Any] = {"request_router_class": ROUTER_CLASSES[type(router)]}
    return {**config, "request_router_kwargs": values} if values else config
