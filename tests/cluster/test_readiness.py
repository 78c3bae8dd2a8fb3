"""The waits for Kubernetes objects against a real API server and the real KubeRay operator.

Nodes and pods are simulated. Ray's API in them is a stand-in, and reports the status that a test sets.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from rehearsal.control_plane.control_plane import ControlPlane
from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.readiness import objects, ray_service_status, region_drain, wait
from workloads.kubernetes.readiness import ray_service as readiness
from workloads.kubernetes.readiness.crds import REQUIRED_CRDS_IN_FLEET, CrdsEstablishedProvider
from workloads.kubernetes.readiness.objects import SERVICE_EXPORT_API
from workloads.kubernetes.readiness.region_drain import RegionDrainedProvider

NAMESPACE = "waits"
LIMIT_S = 120.0
"""No test asserts a duration; a wait that fails on purpose has a shorter limit."""
RAY = "http://127.0.0.1:8265/stand-in"
Object = dict[str, Any]

PROVIDER: Any = readiness.RayServiceReadyProvider()
CRDS: Any = CrdsEstablishedProvider()
DRAINED: Any = RegionDrainedProvider()


@pytest.fixture(scope="module", autouse=True)
def namespace(control_plane: ControlPlane) -> Iterator[None]:
    control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    yield
    control_plane.http.delete(f"/api/v1/namespaces/{NAMESPACE}")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wait, "POLL_INTERVAL_S", 0.2)
    monkeypatch.setattr(region_drain, "STATS_POLL_INTERVAL_S", 0.2)
    monkeypatch.setattr(readiness, "STABLE_FOR_S", 4)
    monkeypatch.setattr(ray_service_status, "SPEC_NOT_APPLIED_GRACE_S", 4)
    yield
    set_ray_status(status="RUNNING", streams=0)


@pytest.fixture
def config(control_plane: ControlPlane) -> str:
    """An administrator's kubeconfig."""
    return (control_plane.folder / "admin.kubeconfig").read_text()


def set_ray_status(**override: Any) -> None:
    """Set what the stand-in for Ray's API reports for all pods."""
    httpx2.put(RAY, json=override, trust_env=False).raise_for_status()


def ray_service(name: str, *, image: str = "ray:1", gpus: int = 1, low: int = 1, high: int = 1) -> Object:
    """Return the smallest RayService that KubeRay accepts."""

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


def report_running_after_deploying(control_plane: ControlPlane, name: str) -> None:
    """In the background, report RUNNING after the RayService has shown DEPLOYING."""

    def follow() -> None:
        while "DEPLOYING" not in json.dumps(
            control_plane.get(f"{objects.RAY_API}/namespaces/{NAMESPACE}/rayservices/{name}")
        ):
            time.sleep(0.2)
        time.sleep(1)  # several polls of the wait
        set_ray_status(status="RUNNING")

    threading.Thread(target=follow, daemon=True).start()


def remove(control_plane: ControlPlane, name: str) -> None:
    control_plane.http.delete(f"{objects.RAY_API}/namespaces/{NAMESPACE}/rayservices/{name}")


def test_the_required_crds_are_established(config: str) -> None:
    created = CRDS.create({"kubeconfig": config, "crds": list(REQUIRED_CRDS_IN_FLEET)})
    assert created.outs["status"] == "Established"


def test_the_wait_ends_when_a_new_rayservice_is_ready(
    control_plane: ControlPlane, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_ray_status(status="DEPLOYING")
    control_plane.apply(ray_service("new"))
    report_running_after_deploying(control_plane, "new")
    created = PROVIDER.create(props(config, "new"))
    output = capsys.readouterr().err
    assert created.outs["status"] == "Ready"
    assert created.outs["endpoints"] == 1, "the head is no endpoint"
    assert "Serve: llm DEPLOYING (LLMServer UPDATING)" in output
    assert PROVIDER.read(created.id, created.outs).outs == created.outs, "a refresh finds no drift"
    remove(control_plane, "new")
    while PROVIDER.read(created.id, created.outs).id:
        time.sleep(0.2)


def test_the_wait_for_changed_pods_ends_when_the_second_cluster_serves(
    control_plane: ControlPlane, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    control_plane.apply(ray_service("changed"))
    before = PROVIDER.create(props(config, "changed")).outs["cluster"]
    set_ray_status(status="DEPLOYING")
    control_plane.apply(ray_service("changed", image="ray:2"))
    report_running_after_deploying(control_plane, "changed")
    after = PROVIDER.create(props(config, "changed")).outs["cluster"]
    assert after != before
    assert f"RayCluster {before} keeps serving" in capsys.readouterr().err
    remove(control_plane, "changed")


def test_a_refused_spec_fails_with_kuberays_message_and_a_corrected_one_succeeds(
    control_plane: ControlPlane, config: str
) -> None:
    control_plane.apply(ray_service("refused", low=3, high=1))
    with pytest.raises(
        OperationFailed, match=r"KubeRay rejects RayService refused: .*minReplicas 3 greater than maxReplicas 1"
    ):
        PROVIDER.create(props(config, "refused"))
    control_plane.apply(ray_service("refused"))
    assert PROVIDER.create(props(config, "refused")).outs["status"] == "Ready"
    remove(control_plane, "refused")


def test_bounds_that_kuberay_ignores_are_a_failure(control_plane: ControlPlane, config: str) -> None:
    control_plane.apply(ray_service("bounds"))
    PROVIDER.create(props(config, "bounds"))
    control_plane.apply(ray_service("bounds", low=2, high=2))
    with pytest.raises(
        OperationFailed, match=r"\(workerGroupSpecs\[gpu\].maxReplicas: 1, not 2\)\. KubeRay does not apply this change"
    ):
        PROVIDER.create(props(config, "bounds"))
    remove(control_plane, "bounds")


def test_missing_gpus_are_reported_with_the_effect_of_a_revert(control_plane: ControlPlane, config: str) -> None:
    control_plane.apply(ray_service("full"))
    before = PROVIDER.create(props(config, "full")).outs["cluster"]
    set_ray_status(status="DEPLOYING")
    control_plane.apply(ray_service("full", gpus=99))
    ready = props(config, "full", status="Ready", cluster=before)
    while "Insufficient" not in PROVIDER.read("full", ready).outs["status"]:
        time.sleep(0.2)
    with pytest.raises(OperationFailed) as failed:
        PROVIDER.create(props(config, "full", limit_s=1.0))
    message = str(failed.value)
    assert "waiting for GPUs: 0 of 1 workers scheduled (pod full-" in message
    assert f"Insufficient nvidia.com/gpu); RayCluster {before} keeps serving" in message
    assert "creates a third RayCluster" in message
    remove(control_plane, "full")


def test_an_application_that_cannot_be_deployed_is_a_failure(
    control_plane: ControlPlane, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ray_service_status.NOT_DEPLOYED_GRACE_S, "DEPLOY_FAILED", 4)
    set_ray_status(status="DEPLOY_FAILED")
    control_plane.apply(ray_service("broken"))
    with pytest.raises(OperationFailed, match="The Serve application llm of RayService broken is DEPLOY_FAILED"):
        PROVIDER.create(props(config, "broken"))
    remove(control_plane, "broken")


def test_a_missing_service_account_is_named(
    control_plane: ControlPlane, config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_service_status, "NOT_CREATED_GRACE_S", 4)
    service = ray_service("nobody")
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    control_plane.apply(service)
    with pytest.raises(OperationFailed, match=r'cannot create the head pod .* serviceaccount "nobody" not found'):
        PROVIDER.create(props(config, "nobody"))
    assert "FailedToCreateHeadPod" in capsys.readouterr().err, "the operator's warning, unchanged"
    remove(control_plane, "nobody")


def test_the_wait_survives_a_restart_of_the_api_server(
    control_plane: ControlPlane, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_ray_status(status="DEPLOYING")
    control_plane.apply(ray_service("while"))

    def restart() -> None:
        time.sleep(2)
        control_plane.kill("kube-apiserver")
        time.sleep(2)
        control_plane.start_program("kube-apiserver")
        set_ray_status(status="RUNNING")

    restarting = threading.Thread(target=restart)
    restarting.start()
    try:
        created = PROVIDER.create(props(config, "while"))
    finally:
        restarting.join()
    assert created.outs["status"] == "Ready"
    assert "the API server does not answer" in capsys.readouterr().err
    remove(control_plane, "while")


def test_draining_deletes_the_export_and_waits_for_open_streams(
    control_plane: ControlPlane, config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    control_plane.apply(ray_service("leaving"))
    PROVIDER.create(props(config, "leaving"))
    export = {"name": "leaving-serve-svc", "namespace": NAMESPACE}
    control_plane.apply({"apiVersion": "net.gke.io/v1", "kind": "ServiceExport", "metadata": export})
    set_ray_status(streams=2)
    read: list[int] = []

    def streams(statistics: str) -> int:
        read.append(count(statistics))
        if len(read) == 4:  # two polls of two pods
            set_ray_status(streams=0)
        return read[-1]

    count = region_drain.open_requests
    monkeypatch.setattr(region_drain, "open_requests", streams)
    drain = {"kubeconfig": config, "namespace": NAMESPACE, "services": ["leaving"], "limit_s": LIMIT_S, "settle_s": 1.0}
    created = DRAINED.create(drain)
    assert (created.outs["status"], created.outs["requests_left"]) == ("drained", 0)
    assert "4 open request(s) on 2 of 2 pod(s)" in capsys.readouterr().err
    assert control_plane.get(f"{SERVICE_EXPORT_API}/namespaces/{NAMESPACE}/serviceexports/leaving-serve-svc") is None
    remove(control_plane, "leaving")
