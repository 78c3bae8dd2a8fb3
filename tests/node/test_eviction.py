"""Count the streams that a deleted worker, a drained node and a destroyed stack cost: none may be lost.

Times are reported and not asserted. `RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

import time

import pytest

from tests.node import counting
from tests.node.conftest import RAY, Stack, until
from tests.node.load import Load
from tests.node.record import Section


@pytest.fixture(scope="module")
def page() -> Section:
    return Section("eviction", counting.FAULT_COLUMNS)


def worker_deleted(stack: Stack) -> None:
    stack.delete_pod(stack.ready_pods("worker")[0])


def node_cordoned_and_drained(stack: Stack) -> None:
    """As `kubectl drain`: no new pods, and each worker is evicted as soon as the budget has one to spare."""
    first, second = (each["metadata"]["name"] for each in stack.ready_pods("worker"))
    stack.cordon(True)
    try:
        assert stack.evict(first), "the budget of two workers has one to spare"
        assert not stack.evict(second), "and not two"
    finally:
        stack.cordon(False)
    until("the second worker may go", lambda: stack.evict(second))


@pytest.mark.parametrize("strike", [worker_deleted, node_cordoned_and_drained], ids=lambda strike: strike.__name__)
def test_pods_that_leave_lose_nothing(stack: Stack, page: Section, strike: counting.Fault) -> None:
    load = counting.measure_fault(stack, page, strike)
    assert not load.lost, load.causes(load.first_start)


def test_a_destroy_lets_the_streams_that_run_end(stack: Stack, page: Section) -> None:
    until("two replicas", stack.is_complete)
    with Load(stack.url, 4, tokens=400) as load:
        time.sleep(counting.QUIET_S)
        begun = time.monotonic()
        destroy = stack.project.start("destroy", "--yes", "--stack", stack.project.stack)
        counting.stop_starting_when(load, "an entrance that is gone", lambda: not stack.routes)
        until("a RayService that is to go", lambda: stack.is_deleted, every_s=0.1)
        assert load.started > load.finished, "streams that run when pods are told"
        destroy.wait().ok()
        took = time.monotonic() - begun
    page.row("stack destroyed", *load.table_cells(begun), f"{took:.0f}", "deleted", "-")
    counting.assert_nothing_lost(load)
    for kind in ("rayservices", "rayclusters"):
        assert (stack.node.get(f"{RAY}/{kind}") or {"items": []})["items"] == []
    assert stack.node.get("/api/v1/namespaces/ray") is None
