"""Prod, both halves, in two regions, as a series of edits: each does what docs/how-to/changes.md says, and no more.

The tests go on from one another. The Google half is a stand-in; API servers, scheduler and KubeRay are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.stacks import RAY, Rehearsal, rehearsal
from workloads.kubernetes.ray_service import WORKERS_ANNOTATION

WEST, EAST = "us-central1", "us-east4"
IMAGE = f"rayproject/ray-llm@sha256:{64 * 'a'}"
QUICK: dict[str, Any] = {"request_timeout_s": 30}
NAMED: dict[str, Any] = {"infra__regions__0__release": "r1", "infra__regions__1__release": "r1"}
SECOND = {"image": IMAGE, **QUICK}
WIDER = {"image": IMAGE, "replicas": {"kind": "fixed", "num_replicas": 16}, **QUICK}
"""Both nodes of a region: it does not fit twice."""
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/ray"
EXPORT = "/apis/net.gke.io/v1/namespaces/ray/serviceexports/llm-serve-svc"


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with rehearsal(tmp_path_factory.mktemp("prod"), "prod") as found:
        yield found


def changed(prod: Rehearsal) -> dict[str, str]:
    """What an `up` of the present settings does; the preview, not made a second time, says the same beforehand."""
    said = prod.engine.preview().ok().changed()
    did = prod.engine.up().ok().changed()
    assert did == said
    return did


def uid(prod: Rehearsal, region: str) -> str:
    return prod.service(region)["metadata"]["uid"]


def test_both_halves_come_up_in_both_regions(prod: Rehearsal) -> None:
    prod.engine.up().ok()
    for region in (WEST, EAST):
        conditions = {each["type"]: each["status"] for each in prod.service(region)["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        (cluster,) = prod.ray_clusters(region)
        where = {pod["metadata"]["labels"]["ray.io/node-type"]: pod["spec"]["nodeName"] for pod in prod.pods(region)}
        assert where["worker"].startswith(f"prod-{region}-a4-")
        assert where["head"].startswith(f"prod-{region}-system-")
        assert prod.active(region) == cluster


def test_the_entrance_finds_what_it_points_to(prod: Rehearsal) -> None:
    route = prod.clusters[WEST].get(f"{ROUTES}/httproutes/inference-gateway")
    said = {each["type"]: each["status"] for each in route["status"]["parents"][0]["conditions"]}
    assert said == {"Accepted": "True", "ResolvedRefs": "True"}
    (reference,) = route["spec"]["rules"][0]["backendRefs"]
    for region in (WEST, EAST):
        service = prod.clusters[region].get(f"/api/v1/namespaces/ray/services/{reference['name']}")
        assert [port["port"] for port in service["spec"]["ports"]] == [reference["port"]]
        assert prod.clusters[region].get(EXPORT) is not None
    assert prod.clusters[EAST].get(f"{ROUTES}/gateways")["items"] == []


def test_a_further_preview_says_no_changes(prod: Rehearsal) -> None:
    prod.engine.preview("--expect-no-changes").ok()


def test_secrets_are_encrypted_in_the_state(prod: Rehearsal) -> None:
    password = prod.clusters[WEST].get("/api/v1/namespaces/ray/secrets/redis-password")["data"]["value"]
    state = str(prod.engine.export())
    assert password not in state


def test_the_serve_configuration_changes_in_place(prod: Rehearsal) -> None:
    before = {region: prod.active(region) for region in (WEST, EAST)}
    prod.edit(serving__engine__max_model_len=8192)
    assert changed(prod) == {f"{region}-llm{part}": "update" for region in (WEST, EAST) for part in ("", "-ready")}
    assert {region: prod.active(region) for region in (WEST, EAST)} == before
    assert "max_model_len: 8192" in prod.service(EAST)["spec"]["serveConfigV2"]


def test_naming_the_release_that_is_there_changes_nothing(prod: Rehearsal) -> None:
    prod.edit(**NAMED, serving__clusters__releases__r2=SECOND, serving__engine__max_model_len=8192)
    assert changed(prod) == {}


def test_a_release_makes_a_second_cluster_in_its_region_only(prod: Rehearsal) -> None:
    before = {region: prod.active(region) for region in (WEST, EAST)}
    edit = {**NAMED, "infra__regions__0__release": "r2", "serving__engine__max_model_len": 8192}
    prod.edit(**edit, serving__clusters__releases__r2=SECOND)
    assert changed(prod) == {f"{WEST}-llm": "update", f"{WEST}-llm-ready": "update"}
    assert prod.active(WEST) != before[WEST]
    assert prod.active(EAST) == before[EAST]
    images = {pod["spec"]["containers"][0]["image"] for pod in _of(prod, WEST, prod.active(WEST))}
    assert {image.rpartition("/ray-llm")[2] for image in images} == {IMAGE.rpartition("/ray-llm")[2]}


WIDE: dict[str, Any] = {
    **NAMED,
    "infra__regions__0__release": "r2",
    "infra__regions__1__release": "r3",
    "serving__engine__max_model_len": 8192,
    "serving__clusters__releases__r2": SECOND,
    "serving__clusters__releases__r3": WIDER,
}


def test_what_does_not_fit_twice_is_not_changed_in_a_region_that_serves(prod: Rehearsal) -> None:
    before = uid(prod, EAST)
    prod.edit(**WIDE)
    refused = prod.engine.preview()
    assert refused.status != 0
    assert "marked for protection" in refused.text
    assert uid(prod, EAST) == before


def test_draining_and_changing_in_one_edit_happen_in_that_order(prod: Rehearsal) -> None:
    before = uid(prod, EAST), uid(prod, WEST)
    prod.edit(**WIDE, infra__regions__1__traffic="drained")
    done = prod.engine.up().ok()
    steps = [(step.op, step.name) for step in done.steps]
    assert done.changed()[f"{EAST}-drained"] == "create"
    assert done.changed()[f"{EAST}-llm"] == "replace"
    assert steps.index(("create", f"{EAST}-drained")) < steps.index(("delete-replaced", f"{EAST}-llm"))
    assert uid(prod, EAST) != before[0]
    assert uid(prod, WEST) == before[1]
    assert prod.clusters[EAST].get(EXPORT) is None
    assert prod.clusters[WEST].get(EXPORT) is not None
    workers = [p for p in prod.pods(EAST) if p["metadata"]["labels"]["ray.io/node-type"] == "worker"]
    assert len(workers) == 2
    assert workers[0]["metadata"]["annotations"][WORKERS_ANNOTATION].startswith("2-2 ")


def test_a_region_comes_back(prod: Rehearsal) -> None:
    prod.edit(**WIDE)
    did = changed(prod)
    assert did[f"{EAST}-drained"] == "delete"
    assert did.pop(f"{EAST}-exports-serviceexport-llm-serve-svc") == "create"
    assert prod.clusters[EAST].get(EXPORT) is not None
    prod.engine.preview("--expect-no-changes").ok()


def test_down_refuses_while_anything_is_protected_and_leaves_all_of_it(prod: Rehearsal) -> None:
    there = prod.cloud.ids()
    refused = prod.engine.destroy()
    assert refused.status != 0
    assert "protect" in refused.text
    assert prod.cloud.ids() == there
    assert all(prod.service(region) is not None for region in (WEST, EAST))


def test_with_protection_off_down_leaves_nothing(prod: Rehearsal) -> None:
    prod.edit(**WIDE, infra__protect=False)
    prod.engine.up().ok()
    gone = [each.type.rpartition(":")[2] for each in prod.engine.destroy().ok().steps if each.op == "delete"]
    entrance = ("Gateway", "HTTPRoute", "ServiceExport")
    last, first = max(n for n, kind in enumerate(gone) if kind in entrance), gone.index("RayService")
    assert last < first, "somebody is sent to pods that end"
    for region in (WEST, EAST):
        assert prod.clusters[region].get(f"{RAY}/rayservices")["items"] == []
        assert prod.clusters[region].get(f"{RAY}/rayclusters")["items"] == []
        assert prod.clusters[region].get(EXPORT) is None
        assert prod.clusters[region].get(f"{ROUTES}/gateways")["items"] == []
    assert [each for each in prod.cloud.ids() if "/services/" not in each] == []


def _of(prod: Rehearsal, region: str, cluster: str) -> list[dict[str, Any]]:
    return [pod for pod in prod.pods(region) if pod["metadata"]["labels"]["ray.io/cluster"] == cluster]
