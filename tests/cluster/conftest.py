"""A Kubernetes cluster for the tests of this tier: a control plane of the rig, or the reader's own.

With RAYLLM_KUBECONFIG set to a file, the cluster that it names is used as it is: kind or GKE, with a KubeRay operator
in it. Tests of the rig itself then do not run.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import lightkube
import pytest
from lightkube.config.kubeconfig import KubeConfig
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace

from paths import CHECKOUT
from rehearsal.control_plane import OWN_CLUSTER
from rehearsal.control_plane import ray_dashboard as ray
from rehearsal.control_plane.control_plane import Plane
from rehearsal.control_plane.nodes import Pool

HERE = Path(__file__).resolve().parent
NAMESPACE = "ray"
A4 = Pool("a4", "a4-highgpu-8g", 2)
POOLS = (Pool("system", "e2-standard-8", 3), A4)
LIMIT_S = 300
"""For a condition that only a broken cluster misses."""
Found = TypeVar("Found")


def until(what: str, there: Callable[[], Found | None]) -> Found:
    """Wait until `there` returns something; the failure says `what` was missing."""
    end = time.monotonic() + LIMIT_S
    while not (found := there()):
        assert time.monotonic() < end, f"{what}: not after {LIMIT_S} s"
        time.sleep(0.5)
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the reader's own cluster only what says so runs: what asks for `kubeconfig`, and not for the rig's `plane`."""
    if OWN_CLUSTER not in os.environ:
        return
    for item in items:
        asked = getattr(item, "fixturenames", ())
        if item.path.is_relative_to(HERE) and ("kubeconfig" not in asked or "plane" in asked):
            item.add_marker(pytest.mark.skip(reason=f"needs the rig's own control plane; {OWN_CLUSTER} is set"))


@pytest.fixture(scope="session", autouse=True)
def ray_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Answers for every simulated pod in this network namespace, whichever cluster it is of."""
    if OWN_CLUSTER in os.environ:
        yield
        return
    with (tmp_path_factory.mktemp("ray") / "ray_api.log").open("wb") as log:
        words = [sys.executable, "-m", "rehearsal.control_plane.ray_dashboard"]
        process = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    until("the Ray API's stand-in", lambda: _listens(ray.DASHBOARD))
    yield
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory, ray_api: None) -> Iterator[Plane]:
    """The rig's control plane: CRDs, operator, nodes of POOLS."""
    made = Plane("us-central1", tmp_path_factory.mktemp("plane") / "us-central1", number=2)
    try:
        made.start(POOLS)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> str:
    """An administrator's: of the reader's cluster, else of the rig's."""
    own = os.environ.get(OWN_CLUSTER)
    return own or request.getfixturevalue("plane").access["kubeconfig"]


@pytest.fixture(scope="session")
def cluster(kubeconfig: str) -> Iterator[lightkube.Client]:
    """As administrator, with NAMESPACE there; in the reader's own cluster it goes again."""
    config = KubeConfig.from_file(kubeconfig)
    client = lightkube.Client(config, field_manager="tests", trust_env=False)  # no proxy comes between
    client.apply(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
    yield client
    if OWN_CLUSTER in os.environ:
        client.delete(Namespace, NAMESPACE)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
