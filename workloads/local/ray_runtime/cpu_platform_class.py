"""The class behind cpu_platform.py; apart from it because importing it imports vLLM."""

from vllm.platforms.cpu import CpuPlatform


class CpuOnRay(CpuPlatform):
    """vLLM's CPU platform, schedulable by Ray as logical GPUs."""

    ray_device_key = "GPU"
