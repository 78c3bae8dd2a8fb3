"""Prod, both halves, in two regions, and a series of edits: each does what docs/how-to/changes.md says and no more.

Each test continues from the test before. Google is a stand-in; API servers, scheduler and KubeRay are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.stacks import RAY, RehearsedStack, rehearsed_stack
from workloads.kubernetes.ray_service import WORKERS_ANNOTATION

WEST, EAST = "us-central1", "us-east4"
IMAGE = f"rayproject/ray-llm@sha256:{64 * 'a'}"
SHORT_TIMEOUT: dict[str, Any] = {"request_timeout_s": 30}
EXPLICIT_RELEASES: dict[str, Any] = {"infra.regions.0.release": "r1", "infra.regions.1.release": "r1"}
RELEASE_2 = {"image": IMAGE, **SHORT_TIMEOUT}
RELEASE_3 = {"image": IMAGE, "replicas": {"kind": "fixed", "num_replicas": 16}, **SHORT_TIMEOUT}
"""Uses both nodes of a region, so a second RayCluster does not fit."""
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/ray"
EXPORT = "/apis/net.gke.io/v1/namespaces/ray/serviceexports/llm-serve-svc"


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RehearsedStack]:
    with rehearsed_stack(tmp_path_factory.mktemp("prod"), "prod") as found:
        yield found


def up(prod: RehearsedStack) -> dict[str, str]:
    """Run `up` with the current settings. Return its changes, and assert that a preview shows the same."""
    preview = prod.project.preview().ok().changes()
    changes = prod.project.up().ok().changes()
    assert changes == preview
    return changes


def uid(prod: RehearsedStack, region: str) -> str:
    return prod.ray_service(region)["metadata"]["uid"]


def test_up_creates_both_halves_in_both_regions(prod: RehearsedStack) -> None:
    prod.project.up().ok()
    for region in (WEST, EAST):
        conditions = {each["type"]: each["status"] for each in prod.ray_service(region)["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        (cluster,) = prod.ray_clusters(region)
        nodes = {pod["metadata"]["labels"]["ray.io/node-type"]: pod["spec"]["nodeName"] for pod in prod.pods(region)}
        assert nodes["worker"].startswith(f"prod-{region}-a4-")
        assert nodes["head"].startswith(f"prod-{region}-system-")
        assert prod.active_ray_cluster(region) == cluster


def test_the_gateway_finds_the_services_that_it_refers_to(prod: RehearsedStack) -> None:
    route = prod.control_planes[WEST].get(f"{ROUTES}/httproutes/inference-gateway")
    conditions = {each["type"]: each["status"] for each in route["status"]["parents"][0]["conditions"]}
    assert conditions == {"Accepted": "True", "ResolvedRefs": "True"}
    (reference,) = route["spec"]["rules"][0]["backendRefs"]
    for region in (WEST, EAST):
        service = prod.control_planes[region].get(f"/api/v1/namespaces/ray/services/{reference['name']}")
        assert [port["port"] for port in service["spec"]["ports"]] == [reference["port"]]
        assert prod.control_planes[region].get(EXPORT) is not None
    assert prod.control_planes[EAST].get(f"{ROUTES}/gateways")["items"] == []


def test_a_second_preview_has_no_changes(prod: RehearsedStack) -> None:
    prod.project.preview("--expect-no-changes").ok()


def test_secrets_are_encrypted_in_the_state(prod: RehearsedStack) -> None:
    password = prod.control_planes[WEST].get("/api/v1/namespaces/ray/secrets/redis-password")["data"]["value"]
    state = str(prod.project.export())
    assert password not in state


def test_the_serve_configuration_is_updated_in_place(prod: RehearsedStack) -> None:
    before = {region: prod.active_ray_cluster(region) for region in (WEST, EAST)}
    prod.edit({"serving.engine.max_model_len": 8192})
    assert up(prod) == {f"{region}-llm{part}": "update" for region in (WEST, EAST) for part in ("", "-ready")}
    assert {region: prod.active_ray_cluster(region) for region in (WEST, EAST)} == before
    assert "max_model_len: 8192" in prod.ray_service(EAST)["spec"]["serveConfigV2"]


def test_naming_the_current_release_changes_nothing(prod: RehearsedStack) -> None:
    prod.edit({**EXPLICIT_RELEASES, "serving.kubernetes.releases.r2": RELEASE_2, "serving.engine.max_model_len": 8192})
    assert up(prod) == {}


def test_a_new_release_creates_a_second_cluster_in_its_region_only(prod: RehearsedStack) -> None:
    before = {region: prod.active_ray_cluster(region) for region in (WEST, EAST)}
    edit = {**EXPLICIT_RELEASES, "infra.regions.0.release": "r2", "serving.engine.max_model_len": 8192}
    prod.edit({**edit, "serving.kubernetes.releases.r2": RELEASE_2})
    assert up(prod) == {f"{WEST}-llm": "update", f"{WEST}-llm-ready": "update"}
    assert prod.active_ray_cluster(WEST) != before[WEST]
    assert prod.active_ray_cluster(EAST) == before[EAST]
    images = {pod["spec"]["containers"][0]["image"] for pod in _pods_of(prod, WEST, prod.active_ray_cluster(WEST))}
    assert {image.rpartition("/ray-llm")[2] for image in images} == {IMAGE.rpartition("/ray-llm")[2]}


EDIT_OF_BOTH_REGIONS: dict[str, Any] = {
    **EXPLICIT_RELEASES,
    "infra.regions.0.release": "r2",
    "infra.regions.1.release": "r3",
    "serving.engine.max_model_len": 8192,
    "serving.kubernetes.releases.r2": RELEASE_2,
    "serving.kubernetes.releases.r3": RELEASE_3,
}


def test_without_room_for_two_clusters_an_active_region_is_not_changed(prod: RehearsedStack) -> None:
    before = uid(prod, EAST)
    prod.edit(EDIT_OF_BOTH_REGIONS)
    refused = prod.project.preview()
    assert refused.status != 0
    assert "marked for protection" in refused.text
    assert uid(prod, EAST) == before


def test_an_edit_that_drains_and_changes_a_region_drains_it_first(prod: RehearsedStack) -> None:
    before = uid(prod, EAST), uid(prod, WEST)
    prod.edit({**EDIT_OF_BOTH_REGIONS, "infra.regions.1.traffic": "drained"})
    result = prod.project.up().ok()
    steps = [(step.op, step.name) for step in result.steps]
    assert result.changes()[f"{EAST}-drained"] == "create"
    assert result.changes()[f"{EAST}-llm"] == "replace"
    assert steps.index(("create", f"{EAST}-drained")) < steps.index(("delete-replaced", f"{EAST}-llm"))
    assert uid(prod, EAST) != before[0]
    assert uid(prod, WEST) == before[1]
    assert prod.control_planes[EAST].get(EXPORT) is None
    assert prod.control_planes[WEST].get(EXPORT) is not None
    workers = [p for p in prod.pods(EAST) if p["metadata"]["labels"]["ray.io/node-type"] == "worker"]
    assert len(workers) == 2
    assert workers[0]["metadata"]["annotations"][WORKERS_ANNOTATION].startswith("2-2 ")


def test_a_drained_region_becomes_active_again(prod: RehearsedStack) -> None:
    prod.edit(EDIT_OF_BOTH_REGIONS)
    changes = up(prod)
    assert changes[f"{EAST}-drained"] == "delete"
    assert changes.pop(f"{EAST}-exports-serviceexport-llm-serve-svc") == "create"
    assert prod.control_planes[EAST].get(EXPORT) is not None
    prod.project.preview("--expect-no-changes").ok()


def test_destroy_of_protected_resources_fails_and_deletes_nothing(prod: RehearsedStack) -> None:
    ids = prod.cloud.ids()
    refused = prod.project.destroy()
    assert refused.status != 0
    assert "protect" in refused.text
    assert prod.cloud.ids() == ids
    assert all(prod.ray_service(region) is not None for region in (WEST, EAST))


def test_destroy_without_protection_leaves_nothing(prod: RehearsedStack) -> None:
    prod.edit({**EDIT_OF_BOTH_REGIONS, "infra.protect": False})
    prod.project.up().ok()
    deleted = [each.type.rpartition(":")[2] for each in prod.project.destroy().ok().steps if each.op == "delete"]
    gateway = ("Gateway", "HTTPRoute", "ServiceExport")
    last, first = max(n for n, kind in enumerate(deleted) if kind in gateway), deleted.index("RayService")
    assert last < first, "requests are sent to pods that terminate"
    for region in (WEST, EAST):
        assert prod.control_planes[region].get(f"{RAY}/rayservices")["items"] == []
        assert prod.control_planes[region].get(f"{RAY}/rayclusters")["items"] == []
        assert prod.control_planes[region].get(EXPORT) is None
        assert prod.control_planes[region].get(f"{ROUTES}/gateways")["items"] == []
    assert [each for each in prod.cloud.ids() if "/services/" not in each] == []


def _pods_of(prod: RehearsedStack, region: str, cluster: str) -> list[dict[str, Any]]:
    return [pod for pod in prod.pods(region) if pod["metadata"]["labels"]["ray.io/cluster"] == cluster]
