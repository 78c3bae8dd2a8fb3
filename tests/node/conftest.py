"""The workloads half of the stack on a real node.

These tests run inside the node's namespaces (`make test TIER=node` and the other NODE_TIERS of tests/run.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import yaml

from paths import CHECKOUT
from rehearsal import install_plugins
from rehearsal.control_plane import gke_controllers as controllers
from tests.harness.node import host
from tests.harness.node.node import SingleNodeCluster, cluster_in
from tests.harness.pulumi_project import CommandResult, PulumiProject
from tests.harness.waiting import wait_until
from tests.node.record import Section
from tests.unit.case import edited

HARNESS = CHECKOUT / "tests" / "harness" / "node"
FOLDER_ENV_VAR = "RAYLLM_NODE_FOLDER"
RAY = "/apis/ray.io/v1/namespaces/ray"
PODS = "/api/v1/namespaces/ray/pods"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/ray/httproutes"


@dataclass(frozen=True)
class Stack:
    """The stack of preset.yaml on the node, deployed with the real Pulumi CLI."""

    project: PulumiProject
    node: SingleNodeCluster
    created: CommandResult
    """Result of the `up` that created it."""

    def edit(self, changes: Mapping[str, Any] | None = None, **config: str) -> None:
        """Write the stack's file: the preset with `changes` (`replicas.num_replicas`), and other keys of `rayllm`."""
        preset = yaml.safe_load((HARNESS / "preset.yaml").read_text())
        own = {"model.source": str(self.node.model), "kubernetes.releases.r1.image": self.node.image}
        serving = edited(preset, {**own, **(changes or {})})
        content = yaml.safe_load(self.project.stack_file.read_text()) or {}
        content["config"] = {"rayllm:serving": serving, **{f"rayllm:{name}": value for name, value in config.items()}}
        self.project.stack_file.write_text(yaml.safe_dump(content, sort_keys=False))

    @property
    def ray_service(self) -> dict[str, Any]:
        """The live RayService; empty if there is none."""
        return self.node.get(f"{RAY}/rayservices/llm") or {}

    @property
    def is_ready(self) -> bool:
        """True if KubeRay reports the RayService as Ready."""
        return _is_ready(self.ray_service)

    @property
    def is_deleted(self) -> bool:
        """True if the RayService is deleted or is being deleted."""
        service = self.ray_service
        return not service or "deletionTimestamp" in service["metadata"]

    @property
    def routes(self) -> list[Any]:
        """The HTTPRoutes, by which the gateway finds the Service."""
        return self.node.get(ROUTES)["items"]

    @property
    def active_ray_cluster(self) -> str:
        """Name of the RayCluster that serves."""
        return self.ray_service["status"]["activeServiceStatus"]["rayClusterName"]

    def pods(self, node_type: str) -> list[dict[str, Any]]:
        """Return the pods of a node type (`head` or `worker`) that run and do not terminate, of every RayCluster."""
        return [each for each in self._all_pods(node_type) if "deletionTimestamp" not in each["metadata"]]

    def _all_pods(self, node_type: str) -> list[dict[str, Any]]:
        found = self.node.get(f"{PODS}?labelSelector=ray.io/node-type={node_type}")["items"]
        return [each for each in found if each["status"]["phase"] in ("Pending", "Running")]

    def ready_pods(self, node_type: str) -> list[dict[str, Any]]:
        """Return the ready pods of a node type, of the RayCluster that serves."""
        pods, cluster = self.pods(node_type), self.active_ray_cluster
        return [each for each in pods if each["metadata"]["labels"]["ray.io/cluster"] == cluster and _is_ready(each)]

    def processes(self, pod: Mapping[str, Any], name: str = "") -> list[psutil.Process]:
        """Return the pod's processes whose name contains `name`. A process is the pod's if it is in its cgroup."""
        processes = psutil.process_iter(["name"])  # reads the names now, because a process may end meanwhile
        return [each for each in processes if name in each.info["name"] and _is_in(each, pod["metadata"]["uid"])]

    def dashboard(self, path: str) -> Any:
        """Return the answer of the REST API of the head that serves."""
        (head,) = self.ready_pods("head")
        url = f"http://{head['status']['podIP']}:8265/{path}"
        return httpx2.get(url, timeout=30, trust_env=False).raise_for_status().json()

    def delete_pod(self, pod: Mapping[str, Any], grace_s: int | None = None) -> None:
        """Delete a pod as `kubectl delete pod` does; with `grace_s` 0, as the loss of its node would."""
        options = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        path = f"{PODS}/{pod['metadata']['name']}"
        self.node.http.request("DELETE", path, content=json.dumps(options)).raise_for_status()

    def evict(self, pod: str) -> bool:
        """Evict a pod. Return False if a disruption budget forbids it."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "ray"}}
        reply = self.node.http.post(f"{PODS}/{pod}/eviction", json=body)
        if reply.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            return False
        reply.raise_for_status()
        return True

    def cordon(self, unschedulable: bool) -> None:
        """Set whether the scheduler may place new pods on the node."""
        reply = self.node.http.patch(
            f"/api/v1/nodes/{host.NODE_NAME}",
            content=json.dumps({"spec": {"unschedulable": unschedulable}}),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        reply.raise_for_status()

    def waiting_reasons(self, node_type: str) -> set[str]:
        """Return why containers of a node type's pods wait."""
        kinds = ("initContainerStatuses", "containerStatuses")
        states = [one["state"] for pod in self.pods(node_type) for each in kinds for one in pod["status"].get(each, [])]
        return {state["waiting"].get("reason", "") for state in states if "waiting" in state}

    def serve_status(self) -> str:
        """Return Serve's status of the applications and replicas as JSON text; empty if no head answers."""
        try:
            return json.dumps(self.dashboard("api/serve/applications/"))
        except (httpx2.HTTPError, ValueError):  # no head is ready
            return ""

    @contextmanager
    def watch_status(self) -> Iterator[list[str]]:
        """Yield a list to which every change of the RayService's status is appended while the block runs."""
        seen: list[str] = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(1):
                try:
                    now = _status_text(self.ray_service)
                except httpx2.HTTPError:
                    continue  # the API server restarts
                if [now] != seen[-1:]:
                    seen.append(now)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()

    def is_complete(self, workers: int = 2) -> bool:
        """Return True if one head, `workers` workers and as many replicas are ready, and no other pod exists."""
        if not self.is_ready:
            return False
        for node_type, count in (("head", 1), ("worker", workers)):
            if not count == len(self.ready_pods(node_type)) == len(self._all_pods(node_type)):
                return False
        try:
            return len(self.running_replicas()) == workers
        except (httpx2.HTTPError, KeyError):
            return False

    def running_replicas(self, deployment: str = "LLMServer:tiny") -> set[str]:
        """Return the ids of a deployment's replicas that run; by default the model's deployment."""
        found = self.dashboard("api/serve/applications/")["applications"]["llm"]["deployments"][deployment]
        return {each["replica_id"] for each in found["replicas"] if each["state"] == "RUNNING"}

    @property
    def service_endpoints(self) -> set[str]:
        """Addresses of the pods to which the Service sends requests."""
        slices = "/apis/discovery.k8s.io/v1/namespaces/ray/endpointslices"
        found = self.node.get(f"{slices}?labelSelector=kubernetes.io/service-name=llm-serve-svc")["items"]
        ready = [each for one in found for each in one["endpoints"] or [] if each["conditions"].get("ready")]
        return {address for each in ready for address in each["addresses"]}

    @property
    def url(self) -> str:
        """URL of the Service behind the gateway, by its name in the cluster."""
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


def _is_ready(body: Mapping[str, Any]) -> bool:
    """Return True if the object has the condition Ready."""
    conditions = body.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


SHARED_STACK_ORDER = ("test_proof.py", "test_verify.py", "test_regions.py")
"""Order of the files that run together and share one stack; every other file has a run of its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {Path(__file__).with_name(name): number for number, name in enumerate(SHARED_STACK_ORDER)}
    items.sort(key=lambda item: place.get(item.path, len(SHARED_STACK_ORDER)))


@pytest.fixture(scope="session")
def node() -> SingleNodeCluster:
    """The cluster in whose namespaces these tests run."""
    return cluster_in(Path(os.environ[FOLDER_ENV_VAR]))


@pytest.fixture(scope="session")
def gke_controllers(node: SingleNodeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The stand-in for GKE's controllers: a Gateway becomes Programmed, and carries no traffic."""
    work = tmp_path_factory.mktemp("gke")
    control_planes = work / "control-planes.json"
    control_planes.write_text(json.dumps({node.name: node.access}))
    with (work / "log").open("wb") as log:
        words = [sys.executable, "-m", controllers.__name__, str(control_planes)]
        process = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    yield
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def initial_changes() -> dict[str, Any]:
    """Changes of the preset with which the stack is created; a file may override this fixture."""
    return {}


@pytest.fixture(scope="session")
def stack(
    node: SingleNodeCluster,
    gke_controllers: None,
    initial_changes: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Stack:
    """The stack after its `up`. It ends with the node."""
    project = PulumiProject.from_source(
        tmp_path_factory.mktemp("stack"), (HARNESS / "pulumi_program.py").read_text(), stack=host.NODE_NAME
    )
    project.env |= {"PYTHONPATH": str(CHECKOUT), FOLDER_ENV_VAR: str(node.folder)}
    install_plugins.install_kubernetes(project.pulumi_home)
    project.init()
    deployed = Stack(project, node, CommandResult(0, ""))
    deployed.edit(initial_changes)
    deployed = replace(deployed, created=project.up().ok())
    wait_until("both replicas", deployed.is_complete)
    return deployed


@pytest.fixture(scope="session")
def proof() -> Section:
    """The transcript in docs/measurements.md."""
    return Section("node")
