"""Count the streams that killed processes cost.

Only two kinds of stream may be lost: those that ran on the dead process, and those that were sent to a dead pod before
the Service removed its address. Times are reported and not asserted. `RAYLLM_RECORD=1` writes the table into
docs/measurements.md.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import httpx2
import pytest

from tests.harness.node import host
from tests.harness.waiting import wait_until
from tests.node import counting
from tests.node.conftest import Stack
from tests.node.record import Section

FILLER_MIB = 1024
"""Large enough that the remaining twentieth of the disk has room for the logs of the test."""


def disk_full(stack: Stack) -> float:
    """Less than a tenth of the node's disk is free, until the kubelet has evicted a worker.

    Such an eviction has no grace period.
    """
    filler = Path("/var/lib/filler")
    filler.write_bytes(bytes(FILLER_MIB * 2**20))
    try:
        host.resize_disk(shutil.disk_usage("/var/lib").used / 2**30 / 0.95)
        wait_until("an evicted worker", lambda: len(stack.service_endpoints) < 2)
        return time.monotonic()
    finally:
        host.resize_disk(host.DISK_GIB)
        filler.unlink()


def haproxy_killed(stack: Stack) -> float:
    """Serve starts another HAProxy; until then nothing listens on the pod's port."""
    pod = _kill(stack, "haproxy")
    wait_until("another HAProxy", lambda: _listens(pod))
    return time.monotonic()


def router_killed(stack: Stack) -> float:
    """One of a worker's two routers. Later streams are not lost, although the next router starts only after a while."""
    before = stack.running_replicas("LLMRouter")
    _kill(stack, "ray::ServeReplic", "LLMRouter", limit=1)
    killed = time.monotonic()
    wait_until("another router", lambda: _is_replaced(before, stack.running_replicas("LLMRouter")))
    return killed


def raylet_killed(stack: Stack) -> float:
    """Every Ray process of the pod ends with it; the Service has the pod's address until the kubelet notices."""
    pod = _kill(stack, "raylet")
    wait_until("the Service without the pod", lambda: pod not in stack.service_endpoints)
    return time.monotonic()


def _is_replaced(before: set[str], now: set[str]) -> bool:
    """Return True if the number of replicas is the same and their ids differ."""
    return len(now) == len(before) and now != before


def _listens(pod: str) -> bool:
    try:
        return httpx2.get(f"http://{pod}:8000/-/healthz", timeout=5, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def _kill(stack: Stack, name: str, title: str = "", limit: int | None = None) -> str:
    """End up to `limit` processes with kill -9, in the first pod that has such processes. Return the pod's address."""
    for pod in [*stack.ready_pods("worker"), *stack.ready_pods("head")]:
        found = [each for each in stack.processes(pod, name) if title in " ".join(each.cmdline())]
        for process in found[:limit]:
            process.kill()
        if found:
            return pod["status"]["podIP"]
    raise AssertionError(f"no pod runs {name} {title}")


@pytest.fixture(scope="module")
def section() -> Section:
    """The table in docs/measurements.md."""
    return Section("process-kills", counting.FAULT_COLUMNS)


@pytest.mark.parametrize(
    "fault", [disk_full, haproxy_killed, router_killed, raylet_killed], ids=lambda fault: fault.__name__
)
def test_only_streams_of_the_killed_process_are_lost(stack: Stack, section: Section, fault: counting.Fault) -> None:
    counting.measure_fault(stack, section, fault)
