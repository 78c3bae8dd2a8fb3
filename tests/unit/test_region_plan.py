"""The plan of each region: its release, and the worker groups of every model service."""

from typing import Any

import pytest

from config.region_plan import find_warnings
from config.stack import check
from tests.unit.case import ABSENT, blocks, edited
from tests.unit.issues_kubernetes import DIGEST, QWEN

POOL_NODES = "infra.regions.0.node_pools.0.nodes.total_max_nodes"
SECOND_RELEASE = {"image": f"rayproject/ray-llm{DIGEST}", "engine": {"max_model_len": 8192}}


def test_a_region_runs_the_release_that_it_names_or_the_only_one() -> None:
    assert {name: plan.release_name for name, plan in check("prod", blocks("prod")).region_plans.items()} == {
        "us-central1": "r1",
        "us-east4": "r1",
    }
    edit = {
        "serving.kubernetes.releases.r2": SECOND_RELEASE,
        "infra.regions.0.release": "r1",
        "infra.regions.1.release": "r2",
    }
    plans = check("prod", edited(blocks("prod"), edit)).region_plans
    assert [plans[name].release_name for name in ("us-central1", "us-east4")] == ["r1", "r2"]
    assert plans["us-east4"].services[0].service.engine.max_model_len == 8192
    assert plans["us-central1"].services[0].service.engine.max_model_len != 8192


def test_every_model_has_worker_groups_of_its_own() -> None:
    edit = {"serving.kubernetes.additional_models": [QWEN], POOL_NODES: 8}
    (plan,) = check("dev", edited(blocks("dev"), edit)).region_plans.values()
    assert [each.name for each in plan.services] == ["llm", "qwen"]
    assert [[group.max_replicas for group in each.worker_groups] for each in plan.services] == [[3], [1]]
    assert all(each.second_ray_cluster_fits for each in plan.services)  # spot nodes: the pool has no reservation


@pytest.mark.parametrize(("num_replicas", "fits"), [(8, True), (9, False)])
def test_a_second_ray_cluster_fits_in_half_of_a_reservation(num_replicas: int, fits: bool) -> None:
    edit = {"serving.replicas": {"kind": "fixed", "num_replicas": num_replicas}}
    plans = check("prod", edited(blocks("prod"), edit)).region_plans
    assert {each.second_ray_cluster_fits for plan in plans.values() for each in plan.services} == {fits}


@pytest.mark.parametrize("edit", [{"serving": None}, {"serving": ABSENT}], ids=["null", "absent"])
def test_without_serving_there_is_no_plan(edit: dict[str, Any]) -> None:
    raw = edited(blocks("dev"), edit)
    assert check("dev", {"serving": None, **raw}).region_plans == {}


@pytest.mark.parametrize(("replicas", "told"), [(8, 0), (9, 2), (16, 2)])
def test_replicas_that_leave_no_room_for_an_upgrade_are_told(replicas: int, told: int) -> None:
    """Nine replicas need both nodes of a region, and KubeRay then changes no pod without a drain."""
    config = check("prod", edited(blocks("prod"), {"serving.replicas.num_replicas": replicas}))
    warnings = list(find_warnings(config.region_plans))
    assert len(warnings) == told
    assert all("llm needs 2 of the 2 reserved nodes in us-" in each and "Reserve 4 nodes" in each for each in warnings)
