"""Measure what a fault or an edit costs: clients stream during it, and each of their requests is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.harness.waiting import wait_until
from tests.node.conftest import Stack
from tests.node.load import Load
from tests.node.record import Section

FAULT_COLUMNS = """
| fault | streams | lost | cause | seconds | RayService during the fault | preview during the fault |
|---|---|---|---|---|---|---|
"""
EDIT_COLUMNS = """
| edit | streams per second | streams | lost | cause | seconds | effect |
|---|---|---|---|---|---|---|
"""
QUIET_S = 3
"""Seconds of streams before and after a fault or an edit."""
MIN_STREAMS = 20
"""Streams that a measurement needs, where a fault ends soon."""
Fault = Callable[[Stack], float | None]
"""Causes a fault. Returns the time.monotonic() from which on no stream may be lost; None means from the start."""


def measure_fault(stack: Stack, section: Section, fault: Fault) -> Load:
    """Cause a fault, wait until the cluster has recovered, and add a row to the table.

    Assert that no stream is lost that started after the fault ended.
    """
    wait_until("head, workers and replicas before the fault", stack.is_complete)
    with Load(stack.url) as load, stack.watch_status() as statuses:
        time.sleep(QUIET_S)
        started = time.monotonic()
        ended = fault(stack) or started
        preview = stack.project.preview()  # takes long enough for the fault to show
        wait_until("head, workers and replicas after the fault", stack.is_complete)
        duration_s = time.monotonic() - started
        time.sleep(QUIET_S)
        wait_until("enough streams", lambda: load.finished > MIN_STREAMS)
    name, changes = fault.__name__.replace("_", " "), ", ".join(preview.changes()) or "no changes"
    section.row(name, *load.table_cells(started), f"{duration_s:.0f}", ", then ".join(statuses), changes)
    assert not load.lost_after(ended), load.causes(started)
    return load


def timed_up(stack: Stack, changes: dict[str, Any], **config: str) -> float:
    """Edit the stack and run `up`, with streams before and after. Return the seconds of the `up`."""
    time.sleep(QUIET_S)
    stack.edit(changes, **config)
    started = time.monotonic()
    stack.project.up().ok()
    duration_s = time.monotonic() - started
    time.sleep(QUIET_S)
    return duration_s


def stop_starting_when(load: Load, what: str, condition: Callable[[], object]) -> None:
    """Start no more streams once `condition` is true. Assert that some streams are open then."""
    wait_until(what, condition, interval_s=0.1)
    load.stop_starting()
    assert load.started > load.finished, "no stream is open"


def record_edit(section: Section, load: Load, edit: str, duration_s: float, effect: str) -> None:
    """Add a row to the table, and assert that no stream is lost."""
    section.row(edit, load.rate_cell, *load.table_cells(load.first_start), f"{duration_s:.0f}", effect)
    assert_nothing_lost(load)


def assert_nothing_lost(load: Load) -> None:
    """Assert that every stream is finished and none is lost."""
    assert load.finished == load.started > 10
    assert not load.lost, load.causes(load.first_start)
