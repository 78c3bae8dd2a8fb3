"""The data paths: how a request reaches a replica and how tokens come back, and the environment that each needs.

Ray reads these variables when a process starts, on every node: the controller builds the application by them, each
node's proxy runs or does not run HAProxy by them, each replica serves directly or not by them. They are therefore one
mapping, used unchanged for the head and for every worker; nothing else in this project sets any of its keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class DataPath(StrEnum):
    """`python_proxy`: Serve's default proxy, the "before" of every comparison. `direct_streaming`: HAProxy asks Ray's
    ingress request router for a replica, tokens come straight from it; what Google and Anyscale measured."""

    PYTHON_PROXY = "python_proxy"
    DIRECT_STREAMING = "direct_streaming"


@dataclass(frozen=True)
class DataPathSpec:
    """What a data path asks of every Ray process, and what shows from outside that it is in use."""

    haproxy: bool
    direct: bool
    """The replica is its own ingress: no OpenAiIngress deployment between it and the proxy."""

    @property
    def env_vars(self) -> Mapping[str, str]:
        """The variables of this path, all of them in both directions: an inherited value can never decide."""
        return MappingProxyType(
            {
                "RAY_SERVE_ENABLE_HA_PROXY": _flag(self.haproxy),
                "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": _flag(self.direct),
                "RAY_SERVE_THROUGHPUT_OPTIMIZED": _flag(self.haproxy),
                # On by default since vLLM 0.29; the vLLM of earlier Ray images needs it (vllm/v1/executor/abstract.py).
                "VLLM_USE_RAY_V2_EXECUTOR_BACKEND": "1",
            }
        )


DATA_PATHS: Mapping[DataPath, DataPathSpec] = MappingProxyType(
    {
        DataPath.PYTHON_PROXY: DataPathSpec(haproxy=False, direct=False),
        DataPath.DIRECT_STREAMING: DataPathSpec(haproxy=True, direct=True),
    }
)


def _flag(on: bool) -> str:
    return "1" if on else "0"
