"""A fault or an edit, and what it costs: clients stream all the while, and each of their requests is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.node.conftest import Stack, until
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
"""Of streams before and after."""
MIN_STREAMS = 20
"""Streams to tell by, where a fault is over soon."""
Fault = Callable[[Stack], float | None]
"""Returns from when on nothing is lost any more, by time.monotonic(), where that is not at once."""


def measure_fault(stack: Stack, page: Section, strike: Fault) -> Load:
    """Strike, wait until the cluster has mended itself, and report. Whatever was begun after the strike was over must
    be whole."""
    until("head, workers and replicas before the fault", stack.is_complete)
    with Load(stack.url) as load, stack.watch_status() as said:
        time.sleep(QUIET_S)
        struck = time.monotonic()
        over = strike(stack) or struck
        preview = stack.project.preview()  # long enough for the fault to show
        until("head, workers and replicas after the fault", stack.is_complete)
        took = time.monotonic() - struck
        time.sleep(QUIET_S)
        until("streams enough to tell by", lambda: load.finished > MIN_STREAMS)
    changed = ", ".join(preview.changes()) or "no changes"
    page.row(strike.__name__.replace("_", " "), *load.table_cells(struck), f"{took:.0f}", ", then ".join(said), changed)
    assert not load.lost_after(over), load.causes(struck)
    return load


def timed_up(stack: Stack, changes: dict[str, Any], **config: str) -> float:
    """Seconds from the edit to the end of its `up`; a while of streams before and after."""
    time.sleep(QUIET_S)
    stack.edit(changes, **config)
    begun = time.monotonic()
    stack.project.up().ok()
    took = time.monotonic() - begun
    time.sleep(QUIET_S)
    return took


def stop_starting_when(load: Load, what: str, there: Callable[[], object]) -> None:
    """From the moment that `there` is, nobody sends anything new any more, and some streams run."""
    until(what, there, every_s=0.1)
    load.stop_starting()
    assert load.started > load.finished, "streams that run"


def record_edit(page: Section, load: Load, what: str, took: float, seen: str) -> None:
    """Report it: nothing may be lost."""
    page.row(what, load.rate_cell, *load.table_cells(load.first_start), f"{took:.0f}", seen)
    assert_nothing_lost(load)


def assert_nothing_lost(load: Load) -> None:
    """And all of it is over."""
    assert load.finished == load.started > 10
    assert not load.lost, load.causes(load.first_start)
