"""TCP ports of a stack on the local host. All listen on 127.0.0.1."""

from __future__ import annotations

from dataclasses import dataclass

PORT_BLOCK_SIZE = 200
"""Ports of one stack's block; `port_offset` is a multiple of it."""

_FIRST_PORT = 20000
"""Below Linux's ephemeral ports (from 32768) and above the ports of well-known services."""


def plan_ports(offset: int) -> Ports:
    """Return the ports of a stack at `offset`. 8000 (Serve) and 8265 (dashboard) are Ray's defaults; the rest is one
    block."""
    block = _FIRST_PORT + offset
    return Ports(
        serve=8000 + offset,
        dashboard=8265 + offset,
        gcs=block,
        serve_fallback=block + 1,
        haproxy_stats=block + 2,
        haproxy_metrics=block + 3,
        client_server=block + 4,
        node_manager=block + 5,
        object_manager=block + 6,
        runtime_env_agent=block + 7,
        dashboard_agent_http=block + 8,
        dashboard_agent_grpc=block + 9,
        metrics_export=block + 10,
        replicas=range(block + 20, block + 60),
        replicas_grpc=range(block + 60, block + 100),
        workers=range(block + 100, block + PORT_BLOCK_SIZE),
    )


def all_ports(ports: Ports) -> dict[str, int]:
    """Return the single ports by name, which must be free before a stack starts. Ray picks from the ranges."""
    return {name: port for name, port in vars(ports).items() if isinstance(port, int)}


@dataclass(frozen=True)
class Ports:
    """TCP ports that a stack on the local host listens on, all on 127.0.0.1."""

    serve: int
    """OpenAI API: HAProxy, or Serve's Python proxy on `python_proxy`."""
    dashboard: int
    """Ray's dashboard and REST API."""
    gcs: int
    serve_fallback: int
    """Serve's Python proxy beside HAProxy."""
    haproxy_stats: int
    haproxy_metrics: int
    client_server: int
    node_manager: int
    object_manager: int
    runtime_env_agent: int
    dashboard_agent_http: int
    dashboard_agent_grpc: int
    metrics_export: int
    replicas: range
    """One for each replica, which HAProxy connects to directly."""
    replicas_grpc: range
    workers: range
    """Ray's worker processes."""
