"""Dev and staging on a real control plane: every manifest is taken, and an `up` outlives restarts beneath it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.control_plane.control_plane import Plane
from tests.cluster.conftest import until
from tests.cluster.stacks import RAY, Rehearsal, rehearsal

REGION = "us-central1"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/ray/httproutes/inference-gateway"
QWEN: dict[str, Any] = {
    "name": "qwen",
    "route": {"kind": "path", "prefix": "/qwen"},
    "model": {"id": "qwen", "source": "Qwen/Qwen3.5-4b"},
    "max_rate_per_endpoint": 5,
}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with rehearsal(tmp_path_factory.mktemp("dev"), "dev") as found:
        found.engine.up().ok()
        yield found


def ready(stack: Rehearsal, name: str) -> bool:
    status = (stack.clusters[REGION].get(f"{RAY}/rayservices/{name}") or {}).get("status", {})
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))


def programs(plane: Plane) -> dict[str, int]:
    """Name -> pid of what it started."""
    return json.loads((plane.folder / "pids.json").read_text())


def runs(pid: int) -> bool:
    """A zombie does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_dev_comes_up_and_then_nothing_changes(dev: Rehearsal) -> None:
    assert ready(dev, "llm")
    dev.engine.preview("--expect-no-changes").ok()


def test_a_second_model_is_a_second_service_behind_the_same_entrance(dev: Rehearsal) -> None:
    dev.edit(serving__clusters__services=[QWEN], infra__regions__0__pools__0__nodes__max_nodes=8)
    did = dev.engine.up().ok().changed()
    assert did[f"{REGION}-qwen"] == "create"
    assert f"{REGION}-llm" not in did
    assert ready(dev, "llm")
    assert ready(dev, "qwen")
    rules = dev.clusters[REGION].get(ROUTE)["spec"]["rules"]
    where = {rule["matches"][0]["path"]["value"]: rule["backendRefs"][0]["name"] for rule in rules}
    assert where == {"/qwen": "qwen-serve-svc", "/": "llm-serve-svc"}
    for service in where.values():
        assert dev.clusters[REGION].get(f"/api/v1/namespaces/ray/services/{service}") is not None


@pytest.mark.parametrize("what", ["operator", "api-server"])
def test_an_up_outlives_a_restart_of(what: str, dev: Rehearsal) -> None:
    """Killed with -9 while a second RayCluster is being waited for, and started again seconds later."""
    plane, before = dev.clusters[REGION], dev.active(REGION)
    version = {"operator": "2.59.0", "api-server": "2.58.1"}[what]
    dev.edit(serving__clusters__releases__r1__ray_version=version)
    running = dev.engine.start("up", "--yes", "--skip-preview", "--stack", dev.engine.stack)
    until("a second RayCluster", lambda: len(dev.ray_clusters(REGION)) > 1)
    plane.kill(what)
    time.sleep(5)
    {"operator": plane.start_operator, "api-server": plane.start_api_server}[what]()
    running.wait().ok()
    assert dev.active(REGION) != before
    until("the first one is gone", lambda: len(dev.ray_clusters(REGION)) == 1)


def test_dev_goes_without_a_rest(dev: Rehearsal) -> None:
    dev.engine.destroy().ok()
    assert dev.clusters[REGION].get(f"{RAY}/rayclusters")["items"] == []
    assert [each for each in dev.cloud.ids() if "/services/" not in each] == []


def test_staging_declares_and_waits_for_no_gpu(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Flex-start nodes come when they come: `up` ends, and says that it waited for nothing.

    Of its control plane nothing is left in the end, and another's runs on.
    """
    with rehearsal(tmp_path_factory.mktemp("staging"), "staging") as staging:
        staging.engine.up().ok()
        (status,) = (
            each["outputs"]["status"]
            for each in staging.engine.export()["deployment"]["resources"]
            if each["type"].endswith(":RayServiceReady")
        )
        assert status == "declared"
        until("KubeRay takes it up all the same", lambda: ready(staging, "llm"))
        of_staging = programs(staging.clusters[REGION])
        assert all(runs(pid) for pid in of_staging.values())
    assert [name for name, pid in of_staging.items() if runs(pid)] == []
    assert not staging.clusters[REGION].folder.exists()
    assert [name for name, pid in programs(plane).items() if not runs(pid)] == []
