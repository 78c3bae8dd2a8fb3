"""The files that run inside Ray and vLLM, as far as they run without them."""

import sys
from types import SimpleNamespace

import pytest

from workloads.local.ray_runtime import cpu_platform


def test_the_platform_plugin_does_nothing_without_vllm_s_cpu_build() -> None:
    assert cpu_platform.register() is None


def test_the_platform_plugin_names_its_class_where_vllm_is_built_for_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_platform, "version", lambda name: "0.29.0")
    assert cpu_platform.register() == "workloads.local.ray_runtime.cpu_platform_class.CpuOnRay"


def test_the_platform_plugin_asks_linux_for_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    cpu = SimpleNamespace(_init_amx=lambda: asked.append(True))
    queues = SimpleNamespace(
        SpinCondition=type("SpinCondition", (), {"__init__": lambda self, s=1: None, "wait": print})
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cpu=cpu))
    monkeypatch.setitem(sys.modules, "vllm.distributed.device_communicators.shm_broadcast", queues)
    cpu_platform.share_cores()
    assert asked == []  # vLLM is not built for the CPU here
    monkeypatch.setattr(cpu_platform, "version", lambda name: "0.29.0")
    cpu_platform.share_cores()
    assert asked == [True]
