"""An `up` after an interrupted `up` completes the stack; no resource is lost or created twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rehearsal.google.cloud import FailureKind, StandInCloud
from tests.engine.google_stacks import rehearsal_project
from tests.harness.pulumi_project import PulumiProject
from tests.harness.waiting import wait_until


def test_the_next_up_completes_a_stack_after_the_engine_was_killed(tmp_path: Path) -> None:
    project, cloud = rehearsal_project(tmp_path, "dev")
    cloud.inject_failure(FailureKind.SLOW, "dev-us-central1-serving", seconds=600)
    running = project.start("up", "--yes", "--skip-preview", "--stack", "dev")
    wait_until("the create that takes long", lambda: cloud.failures_left() == 0)
    running.kill()
    assert cloud.ids("Network")
    assert cloud.ids("Cluster") == []
    project.cancel().ok()
    project.up().ok()
    _assert_complete(project, cloud)


def test_the_next_up_completes_a_stack_after_errors_503_and_a_stockout(tmp_path: Path) -> None:
    project, cloud = rehearsal_project(tmp_path, "dev")
    cloud.inject_failure(FailureKind.UNAVAILABLE, times=6)  # of any resource
    unavailable = project.up("--continue-on-error")
    assert unavailable.status != 0
    assert "Error 503" in unavailable.text
    cloud.inject_failure(FailureKind.UNAVAILABLE, "dev-us-central1-gateway")
    cloud.inject_failure(FailureKind.STOCKOUT, "dev-us-central1-l4")
    stockout = project.up("--continue-on-error")
    assert stockout.status != 0
    assert "GCE_STOCKOUT" in stockout.text
    assert cloud.failures_left() == 0
    project.up().ok()
    _assert_complete(project, cloud)


def _assert_complete(project: PulumiProject, cloud: StandInCloud) -> None:
    """Assert that every resource exists once and is in the state, and that a preview has no changes."""
    assert project.preview().ok().changes() == {}
    ids = cloud.ids()
    assert len([i for i in ids if "/nodePools/" in i]) == 2
    created = Counter(line.removeprefix("create ") for line in cloud.operations() if line.startswith("create "))
    assert created == Counter(ids)
    state = [r for r in project.export()["deployment"]["resources"] if r["type"].startswith("gcp:")]
    assert sorted(r["id"] for r in state) == ids
