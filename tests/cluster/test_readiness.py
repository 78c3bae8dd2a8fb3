"""The waits on clusters against a real API server and the real KubeRay operator. Nodes and pods are simulated, and
Ray's API in them is a stand-in: what Serve says is what a test told it to say."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from rehearsal.control_plane.control_plane import Plane
from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.readiness import objects, ray_service_status, region_drain, wait
from workloads.kubernetes.readiness import ray_service as readiness
from workloads.kubernetes.readiness.crds import REQUIRED_CRDS_IN_FLEET, CrdsEstablishedProvider
from workloads.kubernetes.readiness.objects import SERVICE_EXPORT_API
from workloads.kubernetes.readiness.region_drain import RegionDrainedProvider

NAMESPACE = "waits"
LIMIT_S = 120.0
"""Nothing is asserted about time; a wait that fails on purpose has a short limit of its own."""
RAY = "http://127.0.0.1:8265/stand-in"
Object = dict[str, Any]

PROVIDER: Any = readiness.RayServiceReadyProvider()
CRDS: Any = CrdsEstablishedProvider()
DRAINED: Any = RegionDrainedProvider()


@pytest.fixture(scope="module", autouse=True)
def namespace(plane: Plane) -> Iterator[None]:
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    yield
    plane.http.delete(f"/api/v1/namespaces/{NAMESPACE}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wait, "POLL_INTERVAL_S", 0.2)
    monkeypatch.setattr(region_drain, "STATS_POLL_INTERVAL_S", 0.2)
    monkeypatch.setattr(readiness, "STABLE_FOR_S", 4)
    monkeypatch.setattr(ray_service_status, "SPEC_NOT_APPLIED_GRACE_S", 4)
    yield
    tell(status="RUNNING", streams=0)


@pytest.fixture
def config(plane: Plane) -> str:
    """An administrator's kubeconfig."""
    return (plane.folder / "admin.kubeconfig").read_text()


def tell(**what: Any) -> None:
    """The stand-in for Ray, of all its pods."""
    httpx2.put(RAY, json=what, trust_env=False).raise_for_status()


def ray_service(name: str, *, image: str = "ray:1", gpus: int = 1, low: int = 1, high: int = 1) -> Object:
    """As small as KubeRay takes it."""

    def pod(container: str, limits: Object) -> Object:
        tolerations = [{"operator": "Exists"}] if gpus else []
        return {
            "spec": {
                "tolerations": tolerations,
                "containers": [{"name": container, "image": image, "resources": {"limits": limits}}],
            }
        }

    size = {"cpu": "100m", "memory": "1Gi"}
    group = {
        "groupName": "gpu",
        "replicas": low,
        "minReplicas": low,
        "maxReplicas": high,
        "rayStartParams": {},
        "template": pod("ray-worker", {**size, "nvidia.com/gpu": str(gpus)}),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "serveConfigV2": "applications: [{name: llm, import_path: 'none:none'}]",
            "excludeHeadPodFromServeSvc": True,
            "rayClusterDeletionDelaySeconds": 1,
            "rayClusterConfig": {
                "rayVersion": "2.60.0",
                "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": pod("ray-head", size)},
                "workerGroupSpecs": [group],
            },
        },
    }


def props(config: str, name: str, **more: Any) -> Object:
    return {
        "kubeconfig": config,
        "namespace": NAMESPACE,
        "service": name,
        "spec_digest": "",
        "wait": True,
        "limit_s": LIMIT_S,
        **more,
    }


def run_once_seen(plane: Plane, name: str) -> None:
    """Let Serve's applications run as soon as the RayService says that they do not yet."""

    def follow() -> None:
        while "DEPLOYING" not in json.dumps(plane.get(f"{objects.RAY_API}/namespaces/{NAMESPACE}/rayservices/{name}")):
            time.sleep(0.2)
        time.sleep(1)  # several looks
        tell(status="RUNNING")

    threading.Thread(target=follow, daemon=True).start()


def remove(plane: Plane, name: str) -> None:
    plane.http.delete(f"{objects.RAY_API}/namespaces/{NAMESPACE}/rayservices/{name}")


def test_kinds_are_there_and_established(config: str) -> None:
    made = CRDS.create({"kubeconfig": config, "crds": list(REQUIRED_CRDS_IN_FLEET)})
    assert made.outs["status"] == "Established"


def test_a_rayservice_is_waited_for_from_nothing_to_ready(
    plane: Plane, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(status="DEPLOYING")
    plane.apply(ray_service("new"))
    run_once_seen(plane, "new")
    made = PROVIDER.create(props(config, "new"))
    said = capsys.readouterr().err
    assert made.outs["status"] == "Ready"
    assert made.outs["endpoints"] == 1, "the head is no endpoint"
    assert "Serve: llm DEPLOYING (LLMServer UPDATING)" in said
    assert PROVIDER.read(made.id, made.outs).outs == made.outs, "a refresh finds no drift"
    remove(plane, "new")
    while PROVIDER.read(made.id, made.outs).id:
        time.sleep(0.2)


def test_a_changed_pod_is_waited_for_until_its_cluster_has_taken_over(
    plane: Plane, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plane.apply(ray_service("changed"))
    before = PROVIDER.create(props(config, "changed")).outs["cluster"]
    tell(status="DEPLOYING")
    plane.apply(ray_service("changed", image="ray:2"))
    run_once_seen(plane, "changed")
    after = PROVIDER.create(props(config, "changed")).outs["cluster"]
    assert after != before
    assert f"RayCluster {before} keeps serving" in capsys.readouterr().err
    remove(plane, "changed")


def test_a_refused_spec_fails_in_kuberays_words_and_a_corrected_one_does_not(plane: Plane, config: str) -> None:
    plane.apply(ray_service("refused", low=3, high=1))
    with pytest.raises(
        OperationFailed, match=r"KubeRay rejects RayService refused: .*minReplicas 3 greater than maxReplicas 1"
    ):
        PROVIDER.create(props(config, "refused"))
    plane.apply(ray_service("refused"))
    assert PROVIDER.create(props(config, "refused")).outs["status"] == "Ready"
    remove(plane, "refused")


def test_bounds_that_kuberay_ignores_are_a_failure(plane: Plane, config: str) -> None:
    plane.apply(ray_service("bounds"))
    PROVIDER.create(props(config, "bounds"))
    plane.apply(ray_service("bounds", low=2, high=2))
    with pytest.raises(
        OperationFailed, match=r"\(workerGroupSpecs\[gpu\].maxReplicas: 1, not 2\)\. KubeRay does not apply this change"
    ):
        PROVIDER.create(props(config, "bounds"))
    remove(plane, "bounds")


def test_a_cluster_without_gpus_is_told_and_so_is_what_reverting_does(plane: Plane, config: str) -> None:
    plane.apply(ray_service("full"))
    before = PROVIDER.create(props(config, "full")).outs["cluster"]
    tell(status="DEPLOYING")
    plane.apply(ray_service("full", gpus=99))
    ready = props(config, "full", status="Ready", cluster=before)
    while "Insufficient" not in PROVIDER.read("full", ready).outs["status"]:
        time.sleep(0.2)
    with pytest.raises(OperationFailed) as failed:
        PROVIDER.create(props(config, "full", limit_s=1.0))
    said = str(failed.value)
    assert "waiting for GPUs: 0 of 1 workers scheduled (pod full-" in said
    assert f"Insufficient nvidia.com/gpu); RayCluster {before} keeps serving" in said
    assert "creates a third RayCluster" in said
    remove(plane, "full")


def test_an_application_that_cannot_be_deployed_is_a_failure(
    plane: Plane, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ray_service_status.NOT_DEPLOYED_GRACE_S, "DEPLOY_FAILED", 4)
    tell(status="DEPLOY_FAILED")
    plane.apply(ray_service("broken"))
    with pytest.raises(OperationFailed, match="The Serve application llm of RayService broken is DEPLOY_FAILED"):
        PROVIDER.create(props(config, "broken"))
    remove(plane, "broken")


def test_an_account_that_is_not_there_is_named(
    plane: Plane, config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_service_status, "NOT_CREATED_GRACE_S", 4)
    service = ray_service("nobody")
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    plane.apply(service)
    with pytest.raises(OperationFailed, match=r'cannot create the head pod .* serviceaccount "nobody" not found'):
        PROVIDER.create(props(config, "nobody"))
    assert "FailedToCreateHeadPod" in capsys.readouterr().err, "the operator's warning, as it came"
    remove(plane, "nobody")


def test_an_api_server_that_dies_meanwhile_is_waited_for(
    plane: Plane, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(status="DEPLOYING")
    plane.apply(ray_service("while"))

    def die_and_come_back() -> None:
        time.sleep(2)
        plane.kill("api-server")
        time.sleep(2)
        plane.start_api_server()
        tell(status="RUNNING")

    dying = threading.Thread(target=die_and_come_back)
    dying.start()
    try:
        made = PROVIDER.create(props(config, "while"))
    finally:
        dying.join()
    assert made.outs["status"] == "Ready"
    assert "the API server does not answer" in capsys.readouterr().err
    remove(plane, "while")


def test_draining_unexports_and_waits_for_the_streams_of_the_pods(
    plane: Plane, config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plane.apply(ray_service("leaving"))
    PROVIDER.create(props(config, "leaving"))
    export = {"name": "leaving-serve-svc", "namespace": NAMESPACE}
    plane.apply({"apiVersion": "net.gke.io/v1", "kind": "ServiceExport", "metadata": export})
    tell(streams=2)
    read: list[int] = []

    def streams(statistics: str) -> int:
        read.append(count(statistics))
        if len(read) == 4:  # two looks at two pods
            tell(streams=0)
        return read[-1]

    count = region_drain.open_requests
    monkeypatch.setattr(region_drain, "open_requests", streams)
    drain = {"kubeconfig": config, "namespace": NAMESPACE, "services": ["leaving"], "limit_s": LIMIT_S, "settle_s": 1.0}
    made = DRAINED.create(drain)
    assert (made.outs["status"], made.outs["requests_left"]) == ("drained", 0)
    assert "4 open request(s) on 2 of 2 pod(s)" in capsys.readouterr().err
    assert plane.get(f"{SERVICE_EXPORT_API}/namespaces/{NAMESPACE}/serviceexports/leaving-serve-svc") is None
    remove(plane, "leaving")
