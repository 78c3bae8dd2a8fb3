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
from tests.node import counting
from tests.node.conftest import Stack, until
from tests.node.record import Section

FILLER_MIB = 1024
"""So that the twentieth which is left holds what is logged meanwhile."""


def disk_full(stack: Stack) -> float:
    """The node's disk is short of the tenth that a kubelet keeps free, until it has ended a worker for it, without the
    grace that a deletion has."""
    filler = Path("/var/lib/filler")
    filler.write_bytes(bytes(FILLER_MIB * 2**20))
    try:
        host.resize_disk(shutil.disk_usage("/var/lib").used / 2**30 / 0.95)
        until("an evicted worker", lambda: len(stack.service_endpoints) < 2)
        return time.monotonic()
    finally:
        host.resize_disk(host.DISK_GIB)
        filler.unlink()


def haproxy_killed(stack: Stack) -> float:
    """Serve starts another; nothing listens at the pod's address before."""
    pod = _kill(stack, "haproxy")
    until("another HAProxy", lambda: _listens(pod))
    return time.monotonic()


def router_killed(stack: Stack) -> float:
    """One of a worker's two. From then on nothing is lost, although it takes a while until there is another."""
    before = stack.running_replicas("LLMRouter")
    _kill(stack, "ray::ServeReplic", "LLMRouter", most=1)
    killed = time.monotonic()
    until("another router", lambda: _another(before, stack.running_replicas("LLMRouter")))
    return killed


def raylet_killed(stack: Stack) -> float:
    """And with it all of Ray in its pod, whose address is in the Service until the kubelet has seen that."""
    pod = _kill(stack, "raylet")
    until("the Service is without it", lambda: pod not in stack.service_endpoints)
    return time.monotonic()


def _another(before: set[str], now: set[str]) -> bool:
    """Whether one has come for one that went."""
    return len(now) == len(before) and now != before


def _listens(pod: str) -> bool:
    try:
        return httpx2.get(f"http://{pod}:8000/-/healthz", timeout=5, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def _kill(stack: Stack, name: str, title: str = "", most: int | None = None) -> str:
    """kill -9 in the first pod that has such processes; of `most` of them. Returns the pod's address."""
    for pod in [*stack.ready_pods("worker"), *stack.ready_pods("head")]:
        found = [each for each in stack.processes(pod, name) if title in " ".join(each.cmdline())]
        for process in found[:most]:
            process.kill()
        if found:
            return pod["status"]["podIP"]
    raise AssertionError(f"no pod runs {name} {title}")


@pytest.fixture(scope="module")
def page() -> Section:
    return Section("process-kills", counting.FAULT_COLUMNS)


@pytest.mark.parametrize(
    "strike", [disk_full, haproxy_killed, router_killed, raylet_killed], ids=lambda strike: strike.__name__
)
def test_no_more_is_lost_than_was_there(stack: Stack, page: Section, strike: counting.Fault) -> None:
    counting.measure_fault(stack, page, strike)
