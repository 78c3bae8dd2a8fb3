"""Data paths: how a request reaches a replica, how tokens return, and the environment variables of each path.

Ray reads these variables when a process starts, on every node: the controller builds the application from them, the
proxy of each node runs HAProxy or does not, each replica serves requests directly or does not. They are one mapping,
the same for the head and every worker; no other module sets one of its keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

NAME_ENV_VAR = "RAYLLM_DATA_PATH"
"""Names the data path. `least_connections` and `direct_streaming` differ in no variable of Ray's."""


class DataPath(StrEnum):
    """`direct_streaming`: HAProxy asks Ray's ingress request router for a replica, and tokens come straight from the
    replica; Google and Anyscale measured this path. `least_connections`: HAProxy itself sends each request to the
    replica with the fewest open ones, without a router. `haproxy`: HAProxy before Ray's OpenAiIngress. `python_proxy`:
    Serve's default proxy before it, the baseline of every comparison."""

    PYTHON_PROXY = "python_proxy"
    HAPROXY = "haproxy"
    LEAST_CONNECTIONS = "least_connections"
    DIRECT_STREAMING = "direct_streaming"


@dataclass(frozen=True)
class DataPathSpec:
    """Properties of a data path, the same for every Ray process."""

    name: DataPath
    haproxy: bool
    """True if HAProxy is the proxy of every node."""
    direct: bool
    """True if the replica is its own ingress: no OpenAiIngress deployment between it and the proxy."""
    router: bool
    """True if HAProxy asks Ray's ingress request router (LLMRouter) which replica a request goes to."""

    @property
    def env_vars(self) -> Mapping[str, str]:
        """Environment variables. Sets every flag to 0 or 1, so inherited values cannot change the data path."""
        return MappingProxyType(
            {
                NAME_ENV_VAR: self.name.value,
                "RAY_SERVE_ENABLE_HA_PROXY": _flag(self.haproxy),
                "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": _flag(self.direct),
                "RAY_SERVE_THROUGHPUT_OPTIMIZED": _flag(self.haproxy),
                # HAProxy sends nothing more to a replica soon after its engine has died. Ray's default is 5s.
                "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
                # Default since vLLM 0.29; the vLLM of earlier Ray images needs it (vllm/v1/executor/abstract.py).
                "VLLM_USE_RAY_V2_EXECUTOR_BACKEND": "1",
            }
        )


DATA_PATHS: Mapping[DataPath, DataPathSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            DataPathSpec(DataPath.PYTHON_PROXY, haproxy=False, direct=False, router=False),
            DataPathSpec(DataPath.HAPROXY, haproxy=True, direct=False, router=False),
            DataPathSpec(DataPath.LEAST_CONNECTIONS, haproxy=True, direct=True, router=False),
            DataPathSpec(DataPath.DIRECT_STREAMING, haproxy=True, direct=True, router=True),
        )
    }
)


def _flag(on: bool) -> str:
    return "1" if on else "0"
