"""Environment variables that request routers and LoRA adapters need, and the memory that they may cost.

Ray reads them when a process starts, on every node, like those of the data path (config/data_path.py).

With LoRA, and with `prefix_cache_affinity`, the router of `direct_streaming` needs the request body. HAProxy waits for
it, keeps it in one buffer (tune.bufsize) and copies it to the router. A connection has up to two such buffers, so the
most that they can take is 2 * bufsize * maxconn; Ray's own values allow 64 GiB. Here the product is at most a fixed
share of the pod's memory. Of a longer body the router gets the beginning, which is no JSON: it selects a replica
without it, as if the request named the base model (ray/llm/_internal/serve/core/ingress/router.py).
Source: ray/serve/_private/constants.py, haproxy_templates.py and ingress_request_router.lua.tmpl.
"""

from __future__ import annotations

from config.data_path import DATA_PATHS
from config.model_service import ModelService
from config.request_routers import KvAwareRouter, PrefixCacheAffinityRouter, SessionRouter

MEMORY_SHARE = 1 / 16
"""Share of a pod's memory that HAProxy's buffers may take. While HAProxy reloads there are two of them."""
MAX_BUFFER_BYTES, MIN_BUFFER_BYTES = 8 * 2**20, 2**20
"""Greatest and smallest buffer. The greatest is Ray's default; the smallest holds a prompt of about 250,000 tokens."""
MAX_CONNECTIONS, MIN_CONNECTIONS = 4096, 64
"""Connections of one HAProxy. The most is Ray's default."""


def forwards_body(service: ModelService) -> bool:
    """Return True if the router of the data path needs the request body."""
    needed = isinstance(service.request_router, PrefixCacheAffinityRouter | KvAwareRouter)
    return DATA_PATHS[service.data_path].router and (needed or service.model.lora is not None)


def body_buffers(memory_gib: float) -> tuple[int, int]:
    """Return the bytes of one buffer and the connections of HAProxy in a pod with `memory_gib` GiB."""
    budget = int(memory_gib * MEMORY_SHARE * 2**30)
    buffer = min(MAX_BUFFER_BYTES, max(MIN_BUFFER_BYTES, budget // (2 * MAX_CONNECTIONS)))
    buffer -= buffer % 2**16
    return buffer, min(MAX_CONNECTIONS, max(MIN_CONNECTIONS, budget // (2 * buffer)))


def env_vars(service: ModelService, memory_gib: float) -> dict[str, str]:
    """Return the variables of `service`, the same for the head and every worker. `memory_gib`: memory of the smallest
    worker pod."""
    variables: dict[str, str] = {}
    if isinstance(service.request_router, SessionRouter):
        variables["RAY_SERVE_SESSION_ID_HEADER_KEY"] = service.request_router.header.lower()
    if forwards_body(service):
        buffer, connections = body_buffers(memory_gib)
        variables["RAY_SERVE_INGRESS_REQUEST_ROUTER_FORWARD_BODY"] = "1"
        variables["RAY_SERVE_HAPROXY_INGRESS_REQUEST_ROUTER_BUFSIZE"] = str(buffer)
        variables["RAY_SERVE_HAPROXY_MAXCONN"] = str(connections)
    return variables
