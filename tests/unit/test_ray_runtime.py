"""The files that run inside Ray and vLLM, as far as they run without them."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from paths import CHECKOUT
from workloads.local.ray_runtime import cpu_platform

WRAPPER = CHECKOUT / "workloads" / "local" / "ray_runtime" / "haproxy_on_loopback.sh"
TEMPLATE = """frontend prometheus
    bind {first}
frontend http_frontend
    bind 127.0.0.1:8000
listen stats
  bind {second}
"""


def wrapped(config: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the wrapper as Ray does, with a HAProxy that only prints its arguments."""
    haproxy = tmp_path / "haproxy"
    haproxy.write_text('#!/bin/sh\necho "$@"\n')
    haproxy.chmod(0o755)
    return subprocess.run(
        ["sh", WRAPPER, "-db", "-f", config, "-dR", "-sf", "7"],
        env={"RAYLLM_HAPROXY_BINARY": str(haproxy), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("first", [":9101", "*:9101", "0.0.0.0:9101", ":::9101", "[::]:9101"])
def test_haproxy_s_admin_ports_listen_on_loopback(tmp_path: Path, first: str) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(TEMPLATE.format(first=first, second="*:8404"))
    run = wrapped(config, tmp_path)
    assert run.stdout.split() == ["-db", "-f", str(config), "-dR", "-sf", "7"]
    assert config.read_text() == TEMPLATE.format(first="127.0.0.1:9101", second="127.0.0.1:8404")


@pytest.mark.parametrize("second", ["10.0.0.1:8404", "*:8404,:8405", "ipv6@:8404"])
def test_a_haproxy_that_would_listen_on_another_address_is_not_started(tmp_path: Path, second: str) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(TEMPLATE.format(first=":9101", second=second))
    run = wrapped(config, tmp_path)
    assert run.returncode == 78
    assert run.stdout == ""
    assert "another address than 127.0.0.1" in run.stderr


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
