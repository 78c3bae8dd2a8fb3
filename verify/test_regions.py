"""Checks of each region through its API server."""

from __future__ import annotations

from verify.targets import PodTarget, RegionTarget
from workloads.kubernetes.ray_service import PORTS


def test_head_and_workers_are_there(region: RegionTarget) -> None:
    heads, workers = ([pod for pod in region.pods if bool(pod.head) is worker] for worker in (False, True))
    assert len(heads) == 1
    assert len(workers) in region.service.worker_counts


def test_a_pod_is_ready_and_runs_the_declared_image(pod: PodTarget) -> None:
    (container,) = (each for each in pod.manifest["spec"]["containers"] if each["name"] == pod.container)
    (status,) = (each for each in pod.manifest["status"]["containerStatuses"] if each["name"] == pod.container)
    assert container["image"] == pod.image
    assert status["imageID"].endswith(pod.image.rpartition("@")[2])
    assert status["ready"], status["state"]


def test_the_dashboard_is_closed_to_others(region: RegionTarget) -> None:
    """The declared network policies exist, and no Service leads to the dashboard from outside the cluster."""
    found = {each["metadata"]["name"]: each["spec"] for each in region.get("networkpolicies")["items"]}
    assert {name: found.get(name) for name in region.service.network_policies} == region.service.network_policies
    outside = [
        each["metadata"]["name"]
        for each in region.get("services")["items"]
        if each["spec"]["type"] in ("NodePort", "LoadBalancer")
        and any(port.get("targetPort") in ("dashboard", PORTS["dashboard"]) for port in each["spec"]["ports"])
    ]
    assert outside == []
