"""Drain a region, change it and make it active again, and count the streams that this costs.

`RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

import time

import pytest

from tests.node import counting
from tests.node.conftest import Stack, until
from tests.node.load import Load
from tests.node.record import Section


@pytest.fixture(scope="module")
def page() -> Section:
    return Section("drained-region", counting.EDIT_COLUMNS)


def test_where_nothing_fits_twice_a_drained_region_is_changed(stack: Stack, page: Section) -> None:
    """Streams that run end whole before the pods change."""
    until("two replicas", stack.is_complete)
    service = stack.ray_service["metadata"]["uid"]
    other = {"kubernetes.releases.r1.request_timeout_s": 50}  # of the pods, as their grace period follows from it
    with Load(stack.url, 4, tokens=400) as load:
        time.sleep(counting.QUIET_S)
        stack.edit(traffic="drained", reservation_bound="true")
        begun = time.monotonic()
        up = stack.project.start("up", "--yes", "--skip-preview", "--stack", stack.project.stack)
        counting.stop_starting_when(load, "a region that is drained", lambda: "Draining llm" in up.log.read_text())
        said = up.wait().ok().text
        drained = time.monotonic() - begun
        assert "open request(s) on" in said, "`up` saw streams that it waits for"
        assert load.started == load.finished, "`up` ended before the last answer"
    counting.record_edit(page, load, "`traffic: drained`", drained, "`up` ends after the last response")
    replaced = counting.timed_up(stack, other, traffic="drained", reservation_bound="true")
    counting.timed_up(stack, other, reservation_bound="true")
    assert stack.ray_service["metadata"]["uid"] != service
    with Load(stack.url, 4) as load:
        time.sleep(2 * counting.QUIET_S)
    counting.record_edit(
        page, load, "`request_timeout_s`, then `traffic: active`", replaced, "Pulumi replaces the RayService"
    )
