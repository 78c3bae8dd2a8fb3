"""Derive the timeouts of every component that can end the start of a model while nodes, images or weights are awaited.

The wait that the user declares is `serving.kubernetes.ready_timeout_s`. No component may give up before it, and the
component that knows the cause gives up first. docs/explanation/timeouts.md lists the whole chain, with the components
that wait without a limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.timeouts import STEP_S, Timeouts

MIN_LOAD_S = 3600
"""Ray's own limit for the start of an engine (RAYLLM_ENGINE_START_TIMEOUT_S). No derived limit is shorter."""
CAPACITY_WAIT_S = 30 * 24 * 3600
"""Longest wait for a node that Google has not promised (flex-start). Google documents no limit of its queue."""
STARTUP_PROBE_PERIOD_S = 5
STARTUP_PROBE_FAILURES = 10**6
"""The kubelet kills a container whose startup probe fails this often: after 57 days."""


@dataclass(frozen=True)
class StartTimeouts:
    """Timeouts of the start of one model's replicas, in whole seconds."""

    ready_timeout_s: int
    """`serving.kubernetes.ready_timeout_s`."""
    waits_for_capacity: bool
    """True if nodes can take hours to days to arrive: `pulumi up` does not wait, and nothing else may end the wait."""

    @property
    def load_s(self) -> int:
        """Seconds that the download of the weights may take, and again that vLLM may take to load them."""
        return max(self.ready_timeout_s, MIN_LOAD_S)

    @property
    def vllm_engine_ready_timeout_s(self) -> int:
        """VLLM_ENGINE_READY_TIMEOUT_S: the engine process loads weights (those of a Hugging Face id it downloads, too),
        compiles and captures graphs. vLLM's default of 600 s kills it (vllm/v1/engine/core_client.py)."""
        return self.load_s

    @property
    def ray_engine_start_timeout_s(self) -> int:
        """RAYLLM_ENGINE_START_TIMEOUT_S: Ray's download of the weights, then the start of the engine. Ray's default is
        3600 s (ray/llm/_internal/serve/core/server/llm_server.py)."""
        return self.load_s + self.vllm_engine_ready_timeout_s + STEP_S

    @property
    def autoscaler_allocate_timeout_s(self) -> int:
        """RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S: from the creation of a worker pod until Ray runs in it,
        so it covers the node and the image. Then Ray's autoscaler deletes the pod, which loses its place in Google's
        queue. Ray's default is 3600 s (ray/autoscaler/v2/instance_manager/config.py)."""
        return CAPACITY_WAIT_S if self.waits_for_capacity else self.load_s + STEP_S

    @property
    def gcs_reconnect_timeout_s(self) -> int:
        """RAY_gcs_rpc_server_reconnect_timeout_s: a worker ends when the head has been away this long. A new head may
        wait for a node and an image. KubeRay's default is 600 s (ray-operator/controllers/ray/common/pod.go)."""
        return self.load_s

    @property
    def startup_probe_s(self) -> int:
        """Seconds after which the kubelet restarts a worker that has never been ready."""
        return STARTUP_PROBE_PERIOD_S * STARTUP_PROBE_FAILURES

    def ray_env_vars(self, *, redis: bool) -> dict[str, str]:
        """Return the variables of the Ray containers. `redis`: the head's state survives the head."""
        return {
            "VLLM_ENGINE_READY_TIMEOUT_S": str(self.vllm_engine_ready_timeout_s),
            "RAYLLM_ENGINE_START_TIMEOUT_S": str(self.ray_engine_start_timeout_s),
            **({"RAY_gcs_rpc_server_reconnect_timeout_s": str(self.gcs_reconnect_timeout_s)} if redis else {}),
        }

    def autoscaler_env_vars(self, timeouts: Timeouts) -> dict[str, str]:
        """Return the variables of Ray's autoscaler.

        RAY_AUTOSCALER_RECONCILE_TERMINATING_STATUS_TIMEOUT_S: the autoscaler asks again for the deletion of a pod that
        is still there, by default after 300 s, while the pod may still finish its requests.
        """
        terminating_s = timeouts.termination_grace_period_s + STEP_S
        return {
            "RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S": str(self.autoscaler_allocate_timeout_s),
            "RAY_AUTOSCALER_RECONCILE_TERMINATING_STATUS_TIMEOUT_S": str(terminating_s),
        }
