"""A Kubernetes cluster for the tests of this tier: a control plane of the rehearsal, or the reader's own cluster.

With RAYLLM_KUBECONFIG set to a file, tests use the cluster that it names, of kind or of GKE, with a KubeRay operator in
it. Tests of the rehearsal itself are then skipped.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lightkube
import pytest
from lightkube.config.kubeconfig import KubeConfig
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace

from paths import CHECKOUT
from rehearsal.control_plane import ray_dashboard
from rehearsal.control_plane.control_plane import ControlPlane
from rehearsal.control_plane.nodes import SimulatedNodePool
from tests.harness import own_cluster
from tests.harness.waiting import wait_until

HERE = Path(__file__).resolve().parent
NAMESPACE = "ray"
A4 = SimulatedNodePool("a4", "a4-highgpu-8g", 2)
POOLS = (SimulatedNodePool("system", "e2-standard-8", 3), A4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the reader's own cluster, run only tests that use the fixture `kubeconfig` and not `control_plane`."""
    if not own_cluster.kubeconfig():
        return
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.path.is_relative_to(HERE) and ("kubeconfig" not in fixtures or "control_plane" in fixtures):
            reason = f"needs the rehearsal's control plane; {own_cluster.ENV_VAR} is set"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def ray_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The stand-in for Ray's API. It answers for every simulated pod in this network namespace, of every cluster."""
    if own_cluster.kubeconfig():
        yield
        return
    with (tmp_path_factory.mktemp("ray") / "ray_dashboard.log").open("wb") as log:
        words = [sys.executable, "-m", ray_dashboard.__name__]
        process = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_until("the stand-in for Ray's API", lambda: _accepts_connections(ray_dashboard.DASHBOARD_PORT))
    yield
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory, ray_api: None) -> Iterator[ControlPlane]:
    """The rehearsal's control plane, with CRDs, operator and the nodes of POOLS."""
    created = ControlPlane("us-central1", tmp_path_factory.mktemp("control-plane") / "us-central1", index=2)
    try:
        created.start(POOLS)
        yield created
    finally:
        created.stop()


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> str:
    """An administrator's kubeconfig file, of the reader's own cluster or of `control_plane`."""
    return own_cluster.kubeconfig() or request.getfixturevalue("control_plane").access["kubeconfig"]


@pytest.fixture(scope="session")
def cluster(kubeconfig: str) -> Iterator[lightkube.Client]:
    """An administrator's client; NAMESPACE exists. In the reader's own cluster it is deleted afterwards."""
    config = KubeConfig.from_file(kubeconfig)
    client = lightkube.Client(config, field_manager="tests", trust_env=False)  # without a proxy
    client.apply(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
    yield client
    if own_cluster.kubeconfig():
        client.delete(Namespace, NAMESPACE)


def _accepts_connections(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
