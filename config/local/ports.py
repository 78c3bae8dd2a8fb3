"""Which TCP ports a stack on this computer uses. All of them are on 127.0.0.1."""

from __future__ import annotations

from dataclasses import dataclass

PORT_BLOCK_SIZE = 200
"""Ports that one stack needs in its own block; `port_offset` moves by multiples of it."""

_FIRST_PORT = 20000
"""Below Linux's ephemeral ports (32768 up) and above those that well-known services use."""


def plan_ports(offset: int) -> Ports:
    """The ports of a stack. 8000 (Serve) and 8265 (dashboard) are Ray's own defaults; the rest lies in one block."""
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
    """The single ports by name: what must be free before a stack starts. Ranges are Ray's to pick from."""
    return {name: port for name, port in vars(ports).items() if isinstance(port, int)}


@dataclass(frozen=True)
class Ports:
    """Every TCP port that a machine site listens on, all on 127.0.0.1."""

    serve: int
    """OpenAI API: HAProxy, or Serve's Python proxy on the baseline path."""
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
    """One for each replica, for the path straight to it."""
    replicas_grpc: range
    workers: range
    """Ray's worker processes."""
