"""Add a worker under load, remove it afterwards, and count the streams that this costs: none may be lost.

`RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.node import counting
from tests.node.conftest import TIMEOUT_S, Stack, until
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
"""With a target that four long streams a second pass on fast cores too, and waits that a test can wait for."""


@pytest.fixture(scope="session")
def first() -> dict[str, Any]:
    return {"replicas": SCALING}


@pytest.fixture(scope="module")
def page() -> Section:
    return Section("scaling", counting.EDIT_COLUMNS)


def test_workers_come_with_the_load_and_go_after_it(stack: Stack, page: Section) -> None:
    """A replica starts while two that are busy leave it a third of two cores, so that it has twice the usual time."""
    begun = time.monotonic()
    with Load(stack.url, 4, tokens=200) as load:
        until("a third replica", lambda: stack.is_complete(3), 2 * TIMEOUT_S)
        load.per_second, load.tokens = 1, 8
        until("two replicas again", stack.is_complete)
    took = time.monotonic() - begun
    counting.record_edit(
        page, load, "no edit: load above the target, then below it", took, "Ray adds a third worker and removes it"
    )
