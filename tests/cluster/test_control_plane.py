"""The rehearsal's control plane is as its README says: A4-shaped nodes, KubeRay's operator, and no route out."""

from __future__ import annotations

import errno
import socket
from typing import Any

import lightkube
import pytest
import yaml
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.resources.core_v1 import Service

from rehearsal.control_plane import network_namespace
from rehearsal.control_plane.control_plane import ControlPlane
from tests.cluster.conftest import A4, NAMESPACE
from tests.harness.waiting import wait_until

RayService = create_namespaced_resource("ray.io", "v1", "RayService", "rayservices")
SMALL = """
apiVersion: ray.io/v1
kind: RayService
metadata: {name: small}
spec:
  serveConfigV2: |
    applications:
      - name: calc
        import_path: conditional_dag.serve_dag
        runtime_env:
          working_dir: https://github.com/ray-project/test_dag/archive/78b4a5da38796123d9f9ffff59bab2792a043e95.zip
  rayClusterConfig:
    headGroupSpec:
      rayStartParams: {}
      template: {spec: {containers: [&container {name: ray, image: "rayproject/ray:2.52.0", resources: &small {
        requests: {cpu: "1", memory: 2Gi}, limits: {cpu: "1", memory: 2Gi}}}]}}
    workerGroupSpecs:
      - groupName: workers
        replicas: 1
        minReplicas: 1
        maxReplicas: 1
        rayStartParams: {}
        template: {spec: {containers: [*container]}}
"""
"""Runs on a real cluster, too; here no process downloads the application."""


@pytest.fixture
def small() -> dict[str, Any]:
    """A valid RayService."""
    found = yaml.safe_load(SMALL)
    found["metadata"]["namespace"] = NAMESPACE
    return found


def _has_condition(found: dict[str, Any], type_: str) -> bool:
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == type_ and each["status"] == "True" for each in conditions)


def _is_schedulable(node: dict[str, Any]) -> bool:
    """Return True if a node is Ready and the controllers have removed its not-ready taint."""
    return _has_condition(node, "Ready") and not any(
        "node.kubernetes.io/" in taint["key"] for taint in node["spec"]["taints"]
    )


def test_nodes_are_like_those_of_a_gke_pool_of_a4(control_plane: ControlPlane) -> None:
    def ready() -> list[dict[str, Any]]:
        nodes = control_plane.get(f"/api/v1/nodes?labelSelector=cloud.google.com/gke-nodepool={A4.name}")["items"]
        return nodes if len(nodes) == A4.count and all(_is_schedulable(node) for node in nodes) else []

    for node in wait_until("A4 nodes Ready", ready):
        labels, allocatable = node["metadata"]["labels"], node["status"]["allocatable"]
        assert labels["cloud.google.com/gke-accelerator"] == "nvidia-b200"
        assert labels["rayllm/pool"] == A4.name
        assert [(t["key"], t["value"], t["effect"]) for t in node["spec"]["taints"]] == [
            ("nvidia.com/gpu", "present", "NoSchedule")
        ]
        assert allocatable["nvidia.com/gpu"] == "8"
        # 224 vCPUs and 3968 GiB, less GKE's reservations
        assert 220_000 < int(allocatable["cpu"].removesuffix("m")) < 224_000
        assert 3800 * 1024 < int(allocatable["memory"].removesuffix("Mi")) < 3968 * 1024


def test_the_real_operator_makes_a_ray_service_ready(cluster: lightkube.Client, small: dict[str, Any]) -> None:
    name = small["metadata"]["name"]
    cluster.apply(RayService.from_dict(small))

    def ready() -> GenericNamespacedResource | None:
        found = cluster.get(RayService, name, namespace=NAMESPACE)
        return found if _has_condition(found.to_dict(), "Ready") else None

    try:
        status = wait_until(f"RayService {name} Ready", ready).to_dict()["status"]
        applications = status["activeServiceStatus"]["applicationStatuses"]
        assert {app: each["status"] for app, each in applications.items()} == {"calc": "RUNNING"}
        cluster.get(Service, f"{name}-serve-svc", namespace=NAMESPACE)
    finally:
        cluster.delete(RayService, name, namespace=NAMESPACE)


def test_an_unknown_field_of_a_ray_service_is_refused(cluster: lightkube.Client, small: dict[str, Any]) -> None:
    small["spec"]["serveConfigV3"] = ""
    with pytest.raises(ApiError, match=r"serveConfigV3: field not declared in schema"):
        cluster.apply(RayService.from_dict(small))


def test_no_connection_leaves_the_namespace(control_plane: ControlPlane) -> None:
    assert network_namespace.has_no_route()
    with pytest.raises(OSError, match="unreachable") as refused:
        socket.create_connection(("192.0.2.1", 443), timeout=5)  # RFC 5737: an address of no host
    assert refused.value.errno == errno.ENETUNREACH
