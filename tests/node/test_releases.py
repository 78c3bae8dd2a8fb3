"""Count the streams that a new release costs. `RAYLLM_RECORD=1` writes the table into docs/measurements.md."""

from __future__ import annotations

import pytest

from tests.node import counting
from tests.node.conftest import Stack
from tests.node.load import Load
from tests.node.record import Section

R2 = "kubernetes.releases.r2"
SCALING = {"kind": "autoscaling", "min_replicas": 2, "max_replicas": 3, "target_ongoing_requests": 32}
"""No load here reaches the target."""


@pytest.fixture(scope="module")
def section() -> Section:
    """The table in docs/measurements.md."""
    return Section("releases", counting.EDIT_COLUMNS)


def test_a_new_release_moves_to_a_second_cluster(stack: Stack, section: Section) -> None:
    """The release has another image and autoscaling. Streams are short, because four replicas start or serve on two
    cores."""
    cluster = stack.active_ray_cluster
    release = {f"{R2}.image": stack.node.next_image, f"{R2}.request_timeout_s": 60, f"{R2}.replicas": SCALING}
    with Load(stack.url, 4, tokens=2) as load:
        duration_s = counting.timed_up(stack, release, release="r2")
    counting.record_edit(section, load, "new release: another image, autoscaling on", duration_s, "a second RayCluster")
    assert stack.active_ray_cluster != cluster
    assert {each["spec"]["containers"][0]["image"] for each in stack.ready_pods("worker")} == {stack.node.next_image}
