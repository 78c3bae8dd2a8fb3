"""The summary of a preview: golden texts of recorded changes, and values that must never be in one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from config.google import pricing
from config.google.machine_types import GPU_MACHINE_TYPES, CapacityKind
from paths import CHECKOUT
from policies.resource_types import BUCKET, CLUSTER, GATEWAY, HTTP_ROUTE, NODE_POOL, RAY_SERVICE, REDIS
from tools.preview import events, impact, pull_request, secrets
from tools.preview.impact import PodChange
from tools.preview.render import summary

FOLDER = CHECKOUT / "tests" / "golden" / "summaries"
RECORDS = sorted(FOLDER.glob("*.events"))
SPOT = {"machineType": "g2-standard-8", "spot": True}
BOUNDS = {"totalMinNodeCount": 0, "totalMaxNodeCount": 4}
SECRET = {secrets.SECRET_SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "value": "hunter2"}


def step(op: str, type_: str, name: str = "x", **more: Any) -> dict[str, Any]:
    """Return a step in the form of `pulumi preview --json`."""
    states = {f"{side}State": {"type": type_, **more.pop(side)} for side in ("old", "new") if side in more}
    return {"op": op, "urn": f"urn:pulumi:prod::rayllm::{type_}::{name}", **states, **more}


def text_of(*steps: Mapping[str, Any], **digest: Any) -> str:
    """Return the summary of a preview with these steps."""
    return summary(events.read(json.dumps({"steps": steps, **digest})))


def node_pool(op: str = "create", name: str = "pool", **inputs: Any) -> dict[str, Any]:
    whole = {"location": "us-central1", "nodeLocations": ["us-central1-a"], **inputs}
    return step(op, NODE_POOL, name, new={"inputs": whole}, **({} if op == "create" else {"old": {"inputs": whole}}))


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_recorded_change_has_its_golden_text(record: Path) -> None:
    assert summary(events.read(record.read_text()), "example") == record.with_suffix(".txt").read_text()


def test_at_least_ten_changes_are_recorded() -> None:
    assert len(RECORDS) >= 10


def test_both_forms_of_a_record_are_read_alike() -> None:
    old = {"inputs": {"location": "us-central1", "nodeConfig": SPOT, "autoscaling": BOUNDS}, "protect": True}
    new = {"inputs": {**old["inputs"], "autoscaling": {**BOUNDS, "totalMaxNodeCount": 8}}, "protect": False}
    path = "autoscaling.totalMaxNodeCount"
    digest = step("update", NODE_POOL, old=old, new=new, detailedDiff={path: {"kind": "update"}})
    event = {key: digest[key] for key in ("op", "urn")} | {
        "type": NODE_POOL,
        "old": old,
        "new": new,
        "detailedDiff": {path: {"diffKind": "update"}},
    }
    record = [{"preludeEvent": {}}, {"resourcePreEvent": {"metadata": event}}]
    lines = "".join(json.dumps(each) + "\n" for each in record)
    assert events.read(lines) == events.read(f"warning: a line\n{json.dumps({'steps': [digest]}, indent=2)}")


def test_a_text_that_is_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match="not a record of a preview"):
        events.read("none")


def test_an_unknown_price_is_named_and_never_counts_as_zero() -> None:
    assert GPU_MACHINE_TYPES["g2-standard-16"].price(CapacityKind.SPOT) is None, "pick another that has none"
    text = text_of(node_pool(nodeConfig=SPOT | {"machineType": "g2-standard-16"}, autoscaling=BOUNDS))
    assert "(730 h): 0 USD -> unknown\n" in text
    assert "not included, because the price is unknown: pool (g2-standard-16, spot)" in text


def test_a_known_cost_names_unknown_prices_beside_it() -> None:
    text = text_of(
        node_pool(nodeConfig=SPOT, autoscaling=BOUNDS),
        node_pool(name="other", nodeConfig=SPOT | {"machineType": "x9-new-1g"}, autoscaling=BOUNDS),
    )
    assert "0 to 1,495 USD plus unknown prices" in text


@pytest.mark.parametrize(
    ("inputs", "nodes"),
    [
        ({"nodeCount": 2, "nodeLocations": ["a", "b"]}, (4, 4)),
        ({"autoscaling": BOUNDS, "nodeLocations": ["a", "b"]}, (0, 4)),
        ({"autoscaling": {"maxNodeCount": 3}, "nodeLocations": ["a", "b"]}, (0, 6)),
        ({"nodeCount": pricing.UNKNOWN, "nodeLocations": ["a"]}, (None, None)),
        ({"nodeCount": 2}, (None, None)),
        ({"nodeCount": 0}, (0, 0)),
        ({"autoscaling": pricing.UNKNOWN, "nodeLocations": ["a"]}, (0, None)),
    ],
    ids=str,
)
def test_nodes_are_counted_over_all_zones(inputs: dict[str, Any], nodes: tuple[int | None, int | None]) -> None:
    found = pricing.PricedNodePool.from_inputs("x", inputs)
    assert (found.min_nodes, found.max_nodes) == nodes


def test_a_pool_of_unknown_size_has_unknown_cost_and_quota() -> None:
    text = text_of(node_pool(nodeConfig=SPOT, nodeCount=pricing.UNKNOWN))
    assert "GPUs: 0 -> unknown" in text
    assert "for one month (730 h): 0 USD -> unknown" in text
    assert "GPU quota needed: an unknown number of nvidia-l4 in us-central1" in text


def test_a_reservation_that_has_not_begun_costs_nothing() -> None:
    reserved = {
        "machineType": "a4-highgpu-8g",
        "reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION"},
    }
    text = text_of(node_pool(nodeConfig=reserved, nodeCount=0))
    assert "(730 h): 0 USD (unchanged)" in text
    assert "price is unknown" not in text


def test_a_step_that_changes_a_resource_counts_more_than_a_refresh() -> None:
    inputs = {"location": "us-central1", "nodeConfig": SPOT, "autoscaling": BOUNDS}
    gone = step("delete", NODE_POOL, old={"inputs": inputs})
    seen = step("refresh", NODE_POOL, old={"inputs": inputs}, new={"inputs": inputs})
    assert text_of(seen, gone) == text_of(gone, seen)
    assert "0 to 4 -> 0\n" in text_of(seen, gone)


def test_the_last_pass_of_an_update_counts() -> None:
    create = {**step("create", NODE_POOL, new={}), "type": NODE_POOL}
    passes = [
        {"preludeEvent": {}},
        {"resourcePreEvent": {"metadata": {**create, "urn": f"{create['urn']}-of-the-preview"}}},
        {"diagnosticEvent": {"severity": "error", "message": "of the preview"}},
        {"preludeEvent": {}},
        {"resourcePreEvent": {"metadata": create}},
    ]
    plan = events.read("\n".join(map(json.dumps, passes)))
    assert [change.name for change in plan.changes] == ["x"]
    assert plan.errors == ()


def test_a_price_names_its_date_its_region_and_other_regions_that_use_it() -> None:
    text = text_of(node_pool(nodeConfig=SPOT, autoscaling=BOUNDS, location="europe-west4"))
    assert "prices of us-central1 on 2026-09-01" in text
    assert "also used for europe-west4" in text


@pytest.mark.parametrize("op", ["delete", "replace"])
@pytest.mark.parametrize("type_", impact.LOSSES)
def test_the_loss_of_a_serious_type_comes_first(type_: str, op: str) -> None:
    sides = {"old": {"protect": True, "inputs": {}}} | ({} if op == "delete" else {"new": {"inputs": {}}})
    text = text_of(node_pool("same"), step(op, type_, "precious", **sides))
    assert text.split("\n\n")[1] == "DESTRUCTIVE CHANGES:"
    assert "precious is DESTROYED" in text
    assert "so Pulumi refuses" in text


def test_removed_protection_without_another_change_is_reported() -> None:
    both = {"old": {"protect": True, "inputs": {"a": 1}}, "new": {"protect": False, "inputs": {"a": 1}}}
    assert "PROTECTION IS REMOVED from bucket models" in text_of(step("same", BUCKET, "models", **both))


def test_a_record_without_unchanged_resources_says_so() -> None:
    assert "record does not contain the others" in text_of(
        node_pool(nodeConfig=SPOT, autoscaling=BOUNDS), changeSummary={"same": 9}
    )


def test_no_secret_and_no_placeholder_of_pulumi_is_shown() -> None:
    inputs = {"auth": SECRET, "password": "hunter2", "size": pricing.UNKNOWN, "list": [{"token": "hunter2"}]}
    paths = {path: {"kind": "update"} for path in ("auth", "auth.value", "password", "size", "list", "list[0].token")}
    plan = events.read(
        json.dumps(
            {
                "steps": [
                    step("update", "gcp:x/y:Y", old={"inputs": {}}, new={"inputs": inputs}, detailedDiff=paths),
                    step(
                        "update",
                        "kubernetes:core/v1:Secret",
                        old={"inputs": {}},
                        new={"inputs": {"stringData": {"a": "hunter2"}}},
                        detailedDiff={"stringData.a": {"kind": "add"}},
                    ),
                ]
            }
        )
    )
    seen = summary(plan) + str([list(events.property_diffs(change)) for change in plan.changes])
    for word in ("hunter2", pricing.UNKNOWN, secrets.SECRET_SIGNATURE, "1b47061264138c4ac30d75fd1eb44270"):
        assert word not in seen
    assert "known after apply" in seen


def test_an_environment_variable_of_a_pod_is_hidden_by_its_name() -> None:
    pod = {"env": [{"name": "HF_TOKEN", "value": "hunter2"}, {"name": "LEVEL", "value": "debug"}]}
    paths = {path: {"kind": "update"} for path in ("env", "env[0].value", "env[1].value")}
    more = {"old": {"inputs": {}}, "new": {"inputs": pod}, "detailedDiff": paths}
    plan = events.read(json.dumps({"steps": [step("update", "gcp:x/y:Y", **more)]}))
    shown = {path: new for path, _, _, new in events.property_diffs(plan.changes[0])}
    assert "hunter2" not in str(shown)
    assert "debug" in shown["env"]
    assert shown["env[0].value"] == secrets.SECRET
    assert shown["env[1].value"] == "debug"


def test_a_name_with_a_line_break_stays_on_one_line() -> None:
    assert "- created: Y a # b\n" in text_of(step("create", "gcp:x/y:Y", "a\n# b", new={}))


def updated(type_: str, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return the summary of an update of one property."""
    more = {"old": {"inputs": old}, "new": {"inputs": new}, "detailedDiff": {path: {"kind": "update"}}}
    return text_of(step("update", type_, **more))


def test_leaving_a_zone_ends_the_replicas_there() -> None:
    two = {"nodeLocations": ["us-central1-a", "us-central1-b"], "nodeCount": 1}
    text = updated(NODE_POOL, "nodeLocations[1]", two, two | {"nodeLocations": ["us-central1-a"]})
    assert "GKE removes its nodes in us-central1-b, and the replicas on them end" in text


@pytest.mark.parametrize(("tier", "words"), [("BASIC", "loses its data"), ("STANDARD_HA", "are still answered")])
def test_scaling_redis_without_a_replica_loses_its_data(tier: str, words: str) -> None:
    old = {"tier": tier, "memorySizeGb": 1}
    assert words in updated(REDIS, "memorySizeGb", old, old | {"memorySizeGb": 5})


@pytest.mark.parametrize("path", ["minMasterVersion", "releaseChannel.channel"])
def test_an_upgrade_of_the_control_plane_names_the_upgrade_of_the_nodes(path: str) -> None:
    assert "GKE upgrades the control plane" in updated(CLUSTER, path, {}, {})


@pytest.mark.parametrize("type_", [GATEWAY, HTTP_ROUTE])
def test_the_loss_of_gateway_or_route_comes_first(type_: str) -> None:
    assert text_of(step("delete", type_, "llm", old={"inputs": {}})).split("\n\n")[1] == "DESTRUCTIVE CHANGES:"


def test_policies_without_resources_do_not_count_as_passed() -> None:
    asked = {"policyAnalyzeSummaryEvent": {"passed": ["a", "b"]}}
    assert "olicies" not in summary(events.read(json.dumps(asked)))
    pool = {"resourcePreEvent": {"metadata": {**step("same", NODE_POOL), "old": {}, "new": {}}}}
    assert "2 policies checked" in summary(events.read("\n".join(map(json.dumps, (pool, asked)))))


def ray_service(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return the summary of an update of a RayService's spec."""
    sides = {"old": {"inputs": {"spec": old}}, "new": {"inputs": {"spec": new}}}
    return text_of(step("update", RAY_SERVICE, "us-central1-llm", **sides))


def cluster(*groups: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"rayClusterConfig": {"workerGroupSpecs": list(groups), **more}, "serveConfigV2": "a: 1"}


def group(name: str = "a4", fewest: int = 1, most: int = 1, gpus: object = 8) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": gpus}}}]}}
    return {"groupName": name, "minReplicas": fewest, "maxReplicas": most, "template": pod}


def test_a_second_ray_cluster_starts_with_the_new_serve_configuration() -> None:
    """So the change of the Serve configuration has no effect of its own on the first RayCluster."""
    new = cluster(group(), rayVersion="2.60") | {"serveConfigV2": "a: 1\nmax_model_len: 3"}
    assert impact.pod_change(cluster(group()), new) is PodChange.SECOND_RAY_CLUSTER
    assert "every replica" not in ray_service(cluster(group()), new)


def test_changed_pods_need_gpus_for_a_second_ray_cluster() -> None:
    text = ray_service(cluster(group()), cluster(group(most=2), rayVersion="2.60"))
    assert "NEEDS 8 TO 16 MORE GPUs" in text
    assert "a second RayCluster (NewCluster)" in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (cluster(group(most=1)), cluster(group(most=2)), "no effect"),
        (cluster(group()), cluster(group(), group("b")), "adds a worker group"),
        (cluster(), cluster(rayVersion="2") | {"upgradeStrategy": {"type": "None"}}, "no effect"),
        (cluster(), cluster() | {"serveConfigV2": "a: 1\nmax_replicas: 3"}, "replaces every replica"),
        (cluster(), cluster() | {"serveConfigV2": "a: 1\nnum_replicas: 3"}, "adds or removes replicas"),
        (cluster(), cluster() | {"serveConfigV2": pricing.UNKNOWN}, "does not know its new value yet"),
        (cluster(), cluster(group(gpus=pricing.UNKNOWN), rayVersion="2"), "AN UNKNOWN NUMBER OF MORE GPUs"),
    ],
)
def test_the_effect_of_a_change_of_a_ray_service(old: dict[str, Any], new: dict[str, Any], words: str) -> None:
    assert words in ray_service(old, new)


WARNING = "infra.regions[0].node_pools[0].capacity: reservation mine ended on 2026-11-29, and Google removed its VMs."


def test_every_warning_is_in_the_summary_and_in_the_comment() -> None:
    """Both reservations had ended, and neither said a word."""
    warned = {"severity": "warning", "message": f"<{{%fg 3%}}>warning: {WARNING}<{{%reset%}}>\n"}
    told = {"severity": "info", "message": "hello"}
    lines = [{"preludeEvent": {"config": {}}}, *({"diagnosticEvent": each} for each in (warned, warned, told))]
    by_events = events.read("\n".join(map(json.dumps, lines)))
    by_digest = events.read(json.dumps({"steps": [], "diagnostics": [{"severity": "warning", "message": WARNING}]}))
    for preview in (by_events, by_digest):
        assert preview.warnings == (WARNING,)
        assert f"WARNINGS:\n\n- {WARNING}" in summary(preview)
        comment = pull_request.render({"prod": preview})
        assert "1 warning" in comment
        assert "reservation mine ended on 2026-11-29" in comment
