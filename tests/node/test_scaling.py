"""Add a worker under load, remove it afterwards, and count the streams that this costs: none may be lost.

`RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.harness.waiting import TIMEOUT_S, wait_until
from tests.node import counting
from tests.node.conftest import Stack
from tests.node.load import Load
from tests.node.record import Section

SCALING = {
    "kind": "autoscaling",
    "min_replicas": 2,
    "max_replicas": 3,
    "target_ongoing_requests": 1,
    "downscale_delay_s": 10,
    "idle_timeout_s": 30,
}
"""Four long streams a second exceed the target on fast cores, too; the delays are short enough for a test."""


@pytest.fixture(scope="session")
def initial_changes() -> dict[str, Any]:
    return {"replicas": SCALING}


@pytest.fixture(scope="module")
def section() -> Section:
    """The table in docs/measurements.md."""
    return Section("scaling", counting.EDIT_COLUMNS)


def test_the_autoscaler_adds_a_worker_under_load_and_removes_it(stack: Stack, section: Section) -> None:
    """The third replica starts on a third of two cores beside two busy ones, so the timeout is twice the usual one."""
    started = time.monotonic()
    with Load(stack.url, 4, tokens=200) as load:
        wait_until("a third replica", lambda: stack.is_complete(3), timeout_s=2 * TIMEOUT_S)
        load.per_second, load.tokens = 1, 8
        wait_until("two replicas again", stack.is_complete)
    duration_s = time.monotonic() - started
    counting.record_edit(
        section,
        load,
        "no edit: load above the target, then below it",
        duration_s,
        "Ray adds a third worker and removes it",
    )
