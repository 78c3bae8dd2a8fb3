"""Count the streams that an edit of autoscaling's settings costs.

`RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.node import counting
from tests.node.conftest import Stack
from tests.node.load import Load
from tests.node.record import Section

SCALING = {"kind": "autoscaling", "min_replicas": 2, "max_replicas": 2, "target_ongoing_requests": 32}
"""The number of replicas is fixed, so that only the edit is measured."""


@pytest.fixture(scope="session")
def initial_changes() -> dict[str, Any]:
    return {"replicas": SCALING}


@pytest.fixture(scope="module")
def section() -> Section:
    """The table in docs/measurements.md."""
    return Section("autoscaling", counting.EDIT_COLUMNS)


def test_changed_autoscaling_settings_replace_every_replica(stack: Stack, section: Section) -> None:
    cluster, replicas = stack.active_ray_cluster, stack.running_replicas()
    with Load(stack.url, 4, tokens=2) as load:
        duration_s = counting.timed_up(stack, {"replicas": SCALING | {"target_ongoing_requests": 4}})
    counting.record_edit(
        section, load, "autoscaling settings only", duration_s, "in place; Serve replaces every replica, one at a time"
    )
    assert stack.active_ray_cluster == cluster
    assert not replicas & stack.running_replicas()
