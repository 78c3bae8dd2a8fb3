"""A fault or an edit, and what it costs: clients stream all the while, and each of their requests is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.node.conftest import Stack, until
from tests.node.load import Load
from tests.node.record import Section

FAULTS = """
| fault | streams | lost | cause | seconds | RayService during the fault | preview during the fault |
|---|---|---|---|---|---|---|
"""
EDITS = """
| edit | streams per second | streams | lost | cause | seconds | effect |
|---|---|---|---|---|---|---|
"""
CALM_S = 3
"""Of streams before and after."""
ENOUGH = 20
"""Streams to tell by, where a fault is over soon."""
Strike = Callable[[Stack], float | None]
"""Returns from when on nothing is lost any more, by time.monotonic(), where that is not at once."""


def fault(stack: Stack, page: Section, strike: Strike) -> Load:
    """Strike, wait until the cluster has mended itself, and report. Whatever was begun after the strike was over must
    be whole."""
    until("head, workers and replicas before the fault", stack.whole)
    with Load(stack.url) as load, stack.watched() as said:
        time.sleep(CALM_S)
        struck = time.monotonic()
        over = strike(stack) or struck
        preview = stack.engine.preview()  # long enough for the fault to show
        until("head, workers and replicas after the fault", stack.whole)
        took = time.monotonic() - struck
        time.sleep(CALM_S)
        until("streams enough to tell by", lambda: load.total > ENOUGH)
    changed = ", ".join(preview.changed()) or "no changes"
    page.row(strike.__name__.replace("_", " "), *load.counts(struck), f"{took:.0f}", ", then ".join(said), changed)
    assert not load.lost_after(over), load.causes(struck)
    return load


def up(stack: Stack, changes: dict[str, Any], **config: str) -> float:
    """Seconds from the edit to the end of its `up`; a while of streams before and after."""
    time.sleep(CALM_S)
    stack.write(changes, **config)
    begun = time.monotonic()
    stack.engine.up().ok()
    took = time.monotonic() - begun
    time.sleep(CALM_S)
    return took


def hold(load: Load, what: str, there: Callable[[], object]) -> None:
    """From the moment that `there` is, nobody sends anything new any more, and some streams run."""
    until(what, there, every_s=0.1)
    load.hold()
    assert load.begun > load.total, "streams that run"


def edit(page: Section, load: Load, what: str, took: float, seen: str) -> None:
    """Report it: nothing may be lost."""
    page.row(what, load.rate, *load.counts(load.first), f"{took:.0f}", seen)
    nothing_lost(load)


def nothing_lost(load: Load) -> None:
    """And all of it is over."""
    assert load.total == load.begun > 10
    assert not load.lost, load.causes(load.first)
