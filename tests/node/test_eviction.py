"""Count the streams that a deleted worker, a drained node and a destroyed stack cost: none may be lost.

Times are reported and not asserted. `RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

import time

import pytest

from tests.harness.waiting import wait_until
from tests.node import counting
from tests.node.conftest import RAY, Stack
from tests.node.load import Load
from tests.node.record import Section


@pytest.fixture(scope="module")
def section() -> Section:
    """The table in docs/measurements.md."""
    return Section("eviction", counting.FAULT_COLUMNS)


def worker_deleted(stack: Stack) -> None:
    stack.delete_pod(stack.ready_pods("worker")[0])


def node_cordoned_and_drained(stack: Stack) -> None:
    """As `kubectl drain` does: no new pods, and each worker is evicted as soon as the disruption budget allows it."""
    first, second = (each["metadata"]["name"] for each in stack.ready_pods("worker"))
    stack.cordon(True)
    try:
        assert stack.evict(first), "the budget of two workers allows one eviction"
        assert not stack.evict(second), "the budget of two workers allows no second eviction"
    finally:
        stack.cordon(False)
    wait_until("the eviction of the second worker", lambda: stack.evict(second))


@pytest.mark.parametrize("fault", [worker_deleted, node_cordoned_and_drained], ids=lambda fault: fault.__name__)
def test_terminating_pods_lose_no_stream(stack: Stack, section: Section, fault: counting.Fault) -> None:
    load = counting.measure_fault(stack, section, fault)
    assert not load.lost, load.causes(load.first_start)


def test_destroy_lets_open_streams_end(stack: Stack, section: Section) -> None:
    wait_until("two replicas", stack.is_complete)
    with Load(stack.url, 4, tokens=400) as load:
        time.sleep(counting.QUIET_S)
        started = time.monotonic()
        destroy = stack.project.start("destroy", "--yes", "--stack", stack.project.stack)
        counting.stop_starting_when(load, "the deletion of the HTTPRoute", lambda: not stack.routes)
        wait_until("the deletion of the RayService", lambda: stack.is_deleted, interval_s=0.1)
        assert load.started > load.finished, "no stream is open when the pods begin to terminate"
        destroy.wait().ok()
        duration_s = time.monotonic() - started
    section.row("stack destroyed", *load.table_cells(started), f"{duration_s:.0f}", "deleted", "-")
    counting.assert_nothing_lost(load)
    for kind in ("rayservices", "rayclusters"):
        assert (stack.node.get(f"{RAY}/{kind}") or {"items": []})["items"] == []
    assert stack.node.get("/api/v1/namespaces/ray") is None
