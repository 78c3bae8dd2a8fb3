"""An `up` that was cut short, whatever cut it, and then another: the goal is reached, nothing is lost or made twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rehearsal.google.cloud import Cloud, Failure
from tests.engine.google_stacks import stack
from tests.harness.pulumi_project import Engine


def test_an_engine_that_is_killed_leaves_a_stack_that_the_next_up_completes(tmp_path: Path) -> None:
    engine, cloud = stack(tmp_path, "dev")
    cloud.fail(Failure.SLOW, "dev-us-central1-serving", seconds=600)
    running = engine.start("up", "--yes", "--skip-preview", "--stack", "dev")
    _wait_until(lambda: cloud.left() == 0)
    running.kill()
    assert cloud.ids("Network")
    assert cloud.ids("Cluster") == []
    engine.cancel().ok()
    engine.up().ok()
    _reached(engine, cloud)


def test_a_storm_of_503_and_a_stockout_of_the_last_pool_end_well_when_they_are_over(tmp_path: Path) -> None:
    engine, cloud = stack(tmp_path, "dev")
    cloud.fail(Failure.UNAVAILABLE, times=6)  # whatever comes first
    storm = engine.up("--continue-on-error")
    assert storm.status != 0
    assert "Error 503" in storm.text
    cloud.fail(Failure.UNAVAILABLE, "dev-us-central1-gateway")
    cloud.fail(Failure.STOCKOUT, "dev-us-central1-l4")
    stockout = engine.up("--continue-on-error")
    assert stockout.status != 0
    assert "GCE_STOCKOUT" in stockout.text
    assert cloud.left() == 0
    engine.up().ok()
    _reached(engine, cloud)


def _reached(engine: Engine, cloud: Cloud) -> None:
    """Everything is there once, is in the state, and stays."""
    assert engine.preview().ok().changed() == {}
    there = cloud.ids()
    assert len([i for i in there if "/nodePools/" in i]) == 2
    made = Counter(line.removeprefix("create ") for line in cloud.made() if line.startswith("create "))
    assert made == Counter(there)
    state = [r for r in engine.export()["deployment"]["resources"] if r["type"].startswith("gcp:")]
    assert sorted(r["id"] for r in state) == there


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.2)
