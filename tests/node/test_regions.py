"""Drain a region, change it and make it active again, and count the streams that this costs.

`RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

import time

import pytest

from tests.harness.waiting import wait_until
from tests.node import counting
from tests.node.conftest import Stack
from tests.node.load import Load
from tests.node.record import Section


@pytest.fixture(scope="module")
def section() -> Section:
    """The table in docs/measurements.md."""
    return Section("drained-region", counting.EDIT_COLUMNS)


def test_a_drained_region_is_changed_without_room_for_two_clusters(stack: Stack, section: Section) -> None:
    """Open streams complete before the pods change."""
    wait_until("two replicas", stack.is_complete)
    uid = stack.ray_service["metadata"]["uid"]
    change = {"kubernetes.releases.r1.request_timeout_s": 50}  # changes the pods: their grace period follows from it
    with Load(stack.url, 4, tokens=400) as load:
        time.sleep(counting.QUIET_S)
        stack.edit(traffic="drained", reservation_bound="true")
        started = time.monotonic()
        up = stack.project.start("up", "--yes", "--skip-preview", "--stack", stack.project.stack)
        counting.stop_starting_when(load, "the start of the drain", lambda: "Draining llm" in up.log.read_text())
        output = up.wait().ok().text
        drained = time.monotonic() - started
        assert "open request(s) on" in output, "`up` saw no open stream"
        assert load.started == load.finished, "`up` ended before the last response"
    counting.record_edit(section, load, "`traffic: drained`", drained, "`up` ends after the last response")
    replaced = counting.timed_up(stack, change, traffic="drained", reservation_bound="true")
    counting.timed_up(stack, change, reservation_bound="true")
    assert stack.ray_service["metadata"]["uid"] != uid
    with Load(stack.url, 4) as load:
        time.sleep(2 * counting.QUIET_S)
    counting.record_edit(
        section, load, "`request_timeout_s`, then `traffic: active`", replaced, "Pulumi replaces the RayService"
    )
