"""The serving half of the stack on the rig's node. These tests run inside its namespaces (`make test TIER=node` and the
other tiers of tests/run.py, NODE_TIERS)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
import pytest
import yaml

from paths import CHECKOUT
from rehearsal import install_plugins
from tests.harness.node import host
from tests.harness.node.node import SingleNodeCluster, cluster_in
from tests.harness.pulumi_project import CommandResult, PulumiProject
from tests.node.record import Section
from tests.unit.case import edited

HARNESS = CHECKOUT / "tests" / "harness" / "node"
FOLDER_ENV_VAR = "RAYLLM_NODE_FOLDER"
TIMEOUT_S = 300
"""For a condition that only a broken cluster misses."""
RAY = "/apis/ray.io/v1/namespaces/ray"
PODS = "/api/v1/namespaces/ray/pods"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/ray/httproutes"
Found = TypeVar("Found")


def until(what: str, there: Callable[[], Found | None], limit_s: float = TIMEOUT_S, *, every_s: float = 1) -> Found:
    """Wait until `there` returns something; the failure says `what` was missing. Each look costs the two cores what
    pods start with: `every_s` is for moments that must not be missed."""
    end = time.monotonic() + limit_s
    while not (found := there()):
        assert time.monotonic() < end, f"{what}: not after {limit_s} s"
        time.sleep(every_s)
    return found


@dataclass(frozen=True)
class Stack:
    """The preset, by way of Pulumi's real engine."""

    project: PulumiProject
    node: SingleNodeCluster
    created: CommandResult
    """By the `up` that created it."""

    def edit(self, changes: Mapping[str, Any] | None = None, **config: str) -> None:
        """The stack's file: the preset with `changes` (`replicas.num_replicas`) on top."""
        preset = yaml.safe_load((HARNESS / "preset.yaml").read_text())
        own = {"model.source": str(self.node.model), "kubernetes.releases.r1.image": self.node.image}
        serving = edited(preset, {**own, **(changes or {})})
        whole = yaml.safe_load(self.project.stack_file.read_text()) or {}
        whole["config"] = {"rayllm:serving": serving, **{f"rayllm:{name}": value for name, value in config.items()}}
        self.project.stack_file.write_text(yaml.safe_dump(whole, sort_keys=False))

    @property
    def ray_service(self) -> dict[str, Any]:
        return self.node.get(f"{RAY}/rayservices/llm") or {}

    @property
    def is_ready(self) -> bool:
        """Whether KubeRay says so."""
        conditions = self.ray_service.get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    @property
    def is_deleted(self) -> bool:
        """Whether it is deleted, or about to be."""
        service = self.ray_service
        return not service or "deletionTimestamp" in service["metadata"]

    @property
    def routes(self) -> list[Any]:
        """By which the entrance finds the Service."""
        return self.node.get(ROUTES)["items"]

    @property
    def active_ray_cluster(self) -> str:
        """The RayCluster that serves."""
        return self.ray_service["status"]["activeServiceStatus"]["rayClusterName"]

    def pods(self, kind: str) -> list[dict[str, Any]]:
        """`head` or `worker`: those that run and are not on their way out, of whichever RayCluster."""
        return [each for each in self._all(kind) if "deletionTimestamp" not in each["metadata"]]

    def _all(self, kind: str) -> list[dict[str, Any]]:
        found = self.node.get(f"{PODS}?labelSelector=ray.io/node-type={kind}")["items"]
        return [each for each in found if each["status"]["phase"] in ("Pending", "Running")]

    def ready_pods(self, kind: str) -> list[dict[str, Any]]:
        """Those of `pods` that are of the RayCluster that serves and whose containers are ready."""
        pods, cluster = self.pods(kind), self.active_ray_cluster
        return [each for each in pods if each["metadata"]["labels"]["ray.io/cluster"] == cluster and _is_ready(each)]

    def processes(self, pod: Mapping[str, Any], name: str = "") -> list[psutil.Process]:
        """The pod's own, of that name, by the cgroup that the kubelet has made for it."""
        there = psutil.process_iter(["name"])  # asked for here, so that one that ends meanwhile is left out
        return [each for each in there if name in each.info["name"] and _is_in(each, pod["metadata"]["uid"])]

    def dashboard(self, path: str) -> Any:
        """Ray's REST API of the head that serves."""
        (head,) = self.ready_pods("head")
        url = f"http://{head['status']['podIP']}:8265/{path}"
        return httpx2.get(url, timeout=30, trust_env=False).raise_for_status().json()

    def delete_pod(self, pod: Mapping[str, Any], grace_s: int | None = None) -> None:
        """As `kubectl delete pod`, or as a node that is lost (`grace_s` 0)."""
        options = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        path = f"{PODS}/{pod['metadata']['name']}"
        self.node.http.request("DELETE", path, content=json.dumps(options)).raise_for_status()

    def evict(self, pod: str) -> bool:
        """Whether the budgets let it go."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "ray"}}
        reply = self.node.http.post(f"{PODS}/{pod}/eviction", json=body)
        if reply.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            return False
        reply.raise_for_status()
        return True

    def cordon(self, closed: bool) -> None:
        """Whether the node takes no new pods."""
        reply = self.node.http.patch(
            f"/api/v1/nodes/{host.NODE_NAME}",
            content=json.dumps({"spec": {"unschedulable": closed}}),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        reply.raise_for_status()

    def waiting_reasons(self, kind: str) -> set[str]:
        """Why containers of such pods do not run."""
        kinds = ("initContainerStatuses", "containerStatuses")
        states = [one["state"] for pod in self.pods(kind) for each in kinds for one in pod["status"].get(each, [])]
        return {state["waiting"].get("reason", "") for state in states if "waiting" in state}

    def serve_status(self) -> str:
        """What Serve says of the application and its replicas."""
        try:
            return json.dumps(self.dashboard("api/serve/applications/"))
        except (httpx2.HTTPError, ValueError):  # no head, or one that is not ready
            return ""

    @contextmanager
    def watch_status(self) -> Iterator[list[str]]:
        """What the RayService says of itself, each time that it says something else."""
        said: list[str] = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(1):
                try:
                    now = _status_text(self.ray_service)
                except httpx2.HTTPError:
                    continue  # the API server is away
                if [now] != said[-1:]:
                    said.append(now)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield said
        finally:
            done.set()
            thread.join()

    def is_complete(self, workers: int = 2) -> bool:
        """Whether head, workers and replicas are all there, and no more, nor any on its way out."""
        wanted = {"head": 1, "worker": workers}
        if not (
            self.is_ready and all(n == len(self.ready_pods(kind)) == len(self._all(kind)) for kind, n in wanted.items())
        ):
            return False
        try:
            return len(self.running_replicas()) == workers
        except (httpx2.HTTPError, KeyError):
            return False

    def running_replicas(self, deployment: str = "LLMServer:tiny") -> set[str]:
        """Names of those that run; the model's, where no other deployment is named."""
        found = self.dashboard("api/serve/applications/")["applications"]["llm"]["deployments"][deployment]
        return {each["replica_id"] for each in found["replicas"] if each["state"] == "RUNNING"}

    @property
    def service_endpoints(self) -> set[str]:
        """Of the pods that the Service sends requests to."""
        slices = "/apis/discovery.k8s.io/v1/namespaces/ray/endpointslices"
        found = self.node.get(f"{slices}?labelSelector=kubernetes.io/service-name=llm-serve-svc")["items"]
        there = [each for one in found for each in one["endpoints"] or [] if each["conditions"].get("ready")]
        return {address for each in there for address in each["addresses"]}

    @property
    def url(self) -> str:
        """Of the Service that the gateway sends requests to, by its name in the cluster."""
        return "http://llm-serve-svc.ray.svc.cluster.local:8000/v1"


def _is_in(process: psutil.Process, uid: str) -> bool:
    try:
        return f"pod{uid}" in Path(f"/proc/{process.pid}/cgroup").read_text()
    except OSError:
        return False


def _status_text(service: Mapping[str, Any]) -> str:
    conditions = {each["type"]: each for each in service.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    upgrading = conditions.get("UpgradeInProgress", {}).get("status") == "True"
    return ("Ready" if ready.get("status") == "True" else f"not Ready ({ready.get('reason')})") + (
        ", upgrading" if upgrading else ""
    )


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


SHARED_STACK_ORDER = ("test_proof.py", "test_verify.py", "test_regions.py")
"""Of those that run together and share one stack; the others run alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {Path(__file__).with_name(name): number for number, name in enumerate(SHARED_STACK_ORDER)}
    items.sort(key=lambda item: place.get(item.path, len(SHARED_STACK_ORDER)))


@pytest.fixture(scope="session")
def node() -> SingleNodeCluster:
    return cluster_in(Path(os.environ[FOLDER_ENV_VAR]))


@pytest.fixture(scope="session")
def gke_controllers(node: SingleNodeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The load balancer's stand-in: a Gateway becomes Programmed, and nothing goes through it."""
    work = tmp_path_factory.mktemp("gke")
    (work / "clusters.json").write_text(json.dumps({node.name: node.access}))
    with (work / "log").open("wb") as log:
        words = [sys.executable, "-m", "rehearsal.control_plane.gke_controllers", str(work / "clusters.json")]
        process = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    yield
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def first() -> dict[str, Any]:
    """What the stack begins with, on top of the preset."""
    return {}


@pytest.fixture(scope="session")
def stack(
    node: SingleNodeCluster, gke_controllers: None, first: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Stack:
    """Up. It ends with the node."""
    project = PulumiProject.from_source(
        tmp_path_factory.mktemp("stack"), (HARNESS / "pulumi_program.py").read_text(), stack=host.NODE_NAME
    )
    project.env |= {"PYTHONPATH": str(CHECKOUT), FOLDER_ENV_VAR: str(node.folder)}
    install_plugins.install_kubernetes(project.pulumi_home)
    project.init()
    made = Stack(project, node, CommandResult(0, ""))
    made.edit(first)
    made = replace(made, made=project.up().ok())
    until("both replicas", made.is_complete)
    return made


@pytest.fixture(scope="session")
def proof() -> Section:
    """The transcript."""
    return Section("node")
