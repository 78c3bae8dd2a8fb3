"""Dev and staging on a real control plane: it accepts every manifest, and an `up` survives restarts of its programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.control_plane.control_plane import ControlPlane
from tests.cluster.stacks import RAY, RehearsedStack, rehearsed_stack
from tests.harness.waiting import wait_until

REGION = "us-central1"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/ray/httproutes/inference-gateway"
QWEN: dict[str, Any] = {
    "name": "qwen",
    "route": {"kind": "path", "prefix": "/qwen"},
    "model": {"id": "qwen", "source": "Qwen/Qwen3.5-4b"},
    "max_rate_per_endpoint": 5,
}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RehearsedStack]:
    with rehearsed_stack(tmp_path_factory.mktemp("dev"), "dev") as found:
        found.project.up().ok()
        yield found


def is_ready(stack: RehearsedStack, name: str) -> bool:
    status = (stack.control_planes[REGION].get(f"{RAY}/rayservices/{name}") or {}).get("status", {})
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))


def runs(pid: int) -> bool:
    """Return True if a process runs and is no zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_dev_comes_up_and_a_preview_has_no_changes(dev: RehearsedStack) -> None:
    assert is_ready(dev, "llm")
    dev.project.preview("--expect-no-changes").ok()


def test_a_second_model_is_a_second_service_behind_the_same_gateway(dev: RehearsedStack) -> None:
    dev.edit(
        {
            "serving.kubernetes.additional_models": [QWEN],
            "infra.regions.0.node_pools.0.nodes.total_max_nodes": 8,
        }
    )
    changes = dev.project.up().ok().changes()
    assert changes[f"{REGION}-qwen"] == "create"
    assert f"{REGION}-llm" not in changes
    assert is_ready(dev, "llm")
    assert is_ready(dev, "qwen")
    rules = dev.control_planes[REGION].get(ROUTE)["spec"]["rules"]
    services = {rule["matches"][0]["path"]["value"]: rule["backendRefs"][0]["name"] for rule in rules}
    assert services == {"/qwen": "qwen-serve-svc", "/": "llm-serve-svc"}
    for service in services.values():
        assert dev.control_planes[REGION].get(f"/api/v1/namespaces/ray/services/{service}") is not None


@pytest.mark.parametrize(("program", "ray_version"), [("kuberay-operator", "2.59.0"), ("kube-apiserver", "2.58.1")])
def test_an_up_survives_a_restart_of(program: str, ray_version: str, dev: RehearsedStack) -> None:
    """The program is killed with -9 while `up` waits for a second RayCluster, and started again seconds later."""
    control_plane, before = dev.control_planes[REGION], dev.active_ray_cluster(REGION)
    dev.edit({"serving.kubernetes.releases.r1.ray_version": ray_version})
    running = dev.project.start("up", "--yes", "--skip-preview", "--stack", dev.project.stack)
    wait_until("a second RayCluster", lambda: len(dev.ray_clusters(REGION)) > 1)
    control_plane.kill(program)
    time.sleep(5)
    control_plane.start_program(program)
    running.wait().ok()
    assert dev.active_ray_cluster(REGION) != before
    wait_until("the first RayCluster is deleted", lambda: len(dev.ray_clusters(REGION)) == 1)


def test_destroy_of_dev_leaves_nothing(dev: RehearsedStack) -> None:
    dev.project.destroy().ok()
    assert dev.control_planes[REGION].get(f"{RAY}/rayclusters")["items"] == []
    assert [each for each in dev.cloud.ids() if "/services/" not in each] == []


def test_staging_is_declared_without_waiting_for_gpus(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Flex-start nodes may come much later, so `up` ends without a wait, and reports it.

    Afterwards no process of its control plane is left, and another control plane still runs.
    """
    with rehearsed_stack(tmp_path_factory.mktemp("staging"), "staging") as staging:
        staging.project.up().ok()
        (status,) = (
            each["outputs"]["status"]
            for each in staging.project.export()["deployment"]["resources"]
            if each["type"].endswith(":RayServiceReady")
        )
        assert status == "declared"
        wait_until("KubeRay makes it ready nevertheless", lambda: is_ready(staging, "llm"))
        pids = staging.control_planes[REGION].pids()
        assert all(runs(pid) for pid in pids.values())
    assert [name for name, pid in pids.items() if runs(pid)] == []
    assert not staging.control_planes[REGION].folder.exists()
    assert [name for name, pid in control_plane.pids().items() if not runs(pid)] == []
