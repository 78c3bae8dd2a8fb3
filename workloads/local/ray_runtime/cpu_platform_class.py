"""The platform class of cpu_platform.py, in its own module because importing it imports vLLM."""

from vllm.platforms.cpu import CpuPlatform


class CpuOnRay(CpuPlatform):
    """vLLM's CPU platform, which Ray schedules on logical GPUs."""

    ray_device_key = "GPU"
