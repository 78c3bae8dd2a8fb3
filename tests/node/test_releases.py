"""What a release that is raised costs those who stream meanwhile. `RAYLLM_RECORD=1` writes the table to
docs/operations/releases-counted.md.
"""

from __future__ import annotations

import pytest

from tests.node import counting
from tests.node.conftest import Stack
from tests.node.load import Load
from tests.node.record import Page

HEAD = """# What a release that is raised costs, counted

As in [changes-counted.md](changes-counted.md): one edit and one `pulumi up`, and both releases run for a while.
"""
R2 = "kubernetes.releases.r2"
SCALING = {"kind": "autoscaling", "min_replicas": 2, "max_replicas": 3, "target_ongoing_requests": 32}
"""With a target that no load here reaches."""


@pytest.fixture(scope="module")
def page() -> Page:
    return Page("releases-counted.md", HEAD + counting.EDITS)


def test_a_release_that_is_raised_moves_to_a_second_cluster(stack: Stack, page: Page) -> None:
    """Another image, and replicas that follow the load from now on. Four replicas start or serve on two cores, so that
    streams are short."""
    cluster = stack.cluster
    release = {f"{R2}.image": stack.node.next_image, f"{R2}.request_timeout_s": 60, f"{R2}.replicas": SCALING}
    with Load(stack.url, 4, tokens=2) as load:
        took = counting.up(stack, release, release="r2")
    counting.edit(page, load, "release raised: another image, autoscaling on", took, "a second RayCluster")
    assert stack.cluster != cluster
    assert {each["spec"]["containers"][0]["image"] for each in stack.running("worker")} == {stack.node.next_image}
