"""What an edit costs those who stream meanwhile, and that it does what docs/operations/changes.md says.

The tests share one stack and build on each other: run the whole file. Nothing is ever lost; times are reported and not
asserted. `RAYLLM_RECORD=1` writes the table to docs/operations/changes-counted.md.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.node.conftest import Stack, until
from tests.node.load import Load
from tests.node.record import Page

HEAD = """# What an edit costs, counted

Each row is one edit and one `pulumi up` of the preset, from two replicas on two workers, while an unmodified `openai`
client that does not retry begins streams. Seconds are those of `up`, and what they are spent on is in
[changes.md](changes.md).

| edit | streams a second | streams | lost | lost of | seconds | what happened |
|---|---|---|---|---|---|---|
"""
SCALING = {"kind": "autoscaling", "min_replicas": 2, "max_replicas": 3, "target_ongoing_requests": 4}
SHORT = {"downscale_delay_s": 10, "idle_node_s": 10}
"""Where a test waits for it."""
R2 = "clusters.releases.r2"
CALM_S = 3


@pytest.fixture(scope="module")
def page() -> Page:
    return Page("changes-counted.md", HEAD)


@pytest.mark.parametrize(("per_second", "tokens", "sequences"), [(40, 1, 32), (4, 8, 64)])
def test_a_serve_configuration_replaces_every_replica_in_turn(
    stack: Stack, page: Page, per_second: int, tokens: int, sequences: int
) -> None:
    """Forty streams of several tokens a second leave two cores nothing to start a replica with."""
    until("head, workers and replicas", stack.whole)
    cluster, replicas = stack.cluster, stack.replicas
    with Load(stack.url, per_second, tokens) as load:
        took = _up(stack, {"engine.arguments.max_num_seqs": sequences})
    _counted(page, load, "Serve configuration (`engine.arguments`)", took, "in place: every replica replaced in turn")
    assert stack.cluster == cluster
    assert not replicas & stack.replicas


def test_a_release_that_is_raised_moves_to_a_second_cluster(stack: Stack, page: Page) -> None:
    """Another image, and replicas that follow the load from now on."""
    cluster = stack.cluster
    with Load(stack.url, 4) as load:
        took = _up(stack, _release(stack), release="r2")
    _counted(page, load, "release raised: another image, autoscaling on", took, "a second RayCluster")
    assert stack.cluster != cluster
    assert {each["spec"]["containers"][0]["image"] for each in stack.running("worker")} == {stack.node.next_image}


def test_workers_come_with_the_load_and_go_after_it(stack: Stack, page: Page) -> None:
    until("two replicas", stack.whole)
    begun = time.monotonic()
    with Load(stack.url, 4, tokens=400) as load:
        until("a third replica", lambda: stack.whole(3))
        load.per_second, load.tokens = 1, 8
        until("two replicas again", stack.whole)
    took = time.monotonic() - begun
    _counted(page, load, "none: load above the target, then below", took, "a third worker comes, and goes")


def test_other_terms_of_autoscaling_replace_every_replica(stack: Stack, page: Page) -> None:
    cluster, replicas = stack.cluster, stack.replicas
    with Load(stack.url, 4) as load:
        took = _up(stack, _release(stack, target_ongoing_requests=16), release="r2")
    _counted(page, load, "autoscaling's terms alone", took, "in place, and every replica replaced in turn all the same")
    assert stack.cluster == cluster
    assert not replicas & stack.replicas


def test_where_nothing_fits_twice_a_drained_region_is_changed(stack: Stack, page: Page) -> None:
    """Streams that run when the region is drained end whole before its pods change. None comes while it is drained: the
    other regions have them."""
    service = stack.service["metadata"]["uid"]
    with Load(stack.url, 4, tokens=400) as load:
        time.sleep(CALM_S)
        load.hold()
        assert load.begun > load.total, "streams that run"
        drained = _up(stack, _release(stack), release="r2", traffic="drained", fixed="true")
        assert load.begun == load.total, "`up` ended before the last answer"
    _counted(page, load, "`traffic: drained`", drained, "`up` ends after the last answer")
    replaced = _up(stack, _release(stack, idle_node_s=20), release="r2", traffic="drained", fixed="true")
    _up(stack, _release(stack, idle_node_s=20), release="r2", fixed="true")
    assert stack.service["metadata"]["uid"] != service
    with Load(stack.url, 4) as load:
        time.sleep(CALM_S)
    _counted(page, load, "pods of a drained region, then `traffic: active`", replaced, "the RayService is made again")


def _up(stack: Stack, changes: dict[str, Any], **config: str) -> float:
    """Seconds from the edit to the end of its `up`; a while of streams before and after."""
    time.sleep(CALM_S)
    stack.write(changes, **config)
    begun = time.monotonic()
    stack.engine.up().ok()
    took = time.monotonic() - begun
    time.sleep(CALM_S)
    return took


def _release(stack: Stack, **scaling: int) -> dict[str, Any]:
    return {
        f"{R2}.image": stack.node.next_image,
        f"{R2}.longest_answer_s": 60,
        f"{R2}.replicas": {**SCALING, **SHORT, **scaling},
    }


def _counted(page: Page, load: Load, edit: str, took: float, seen: str) -> None:
    page.row(edit, f"{load.per_second:g}", *load.counts(load.first), f"{took:.0f}", seen)
    assert load.total == load.begun > 10
    assert not load.lost, load.causes(load.first)
