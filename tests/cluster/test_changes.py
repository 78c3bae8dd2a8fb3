"""The real KubeRay operator's reaction to each change of a RayService, and the specs that it refuses.

KubeRay ignores some changes; workloads/kubernetes/ray_service.py adds an annotation that makes it apply them.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import lightkube
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from config.issues import Rule
from config.releases import AdditionalModel
from rehearsal.control_plane import ray_dashboard
from rehearsal.control_plane.control_plane import ControlPlane
from tests.cluster.conftest import NAMESPACE
from tests.harness.waiting import wait_until
from tests.unit.ray_services import args, manifest
from workloads.kubernetes.ray_service import WORKERS_ANNOTATION

RAY = f"/apis/ray.io/v1/namespaces/{NAMESPACE}"
NAME = "row"
UNCHANGED_S = 10
"""KubeRay reconciles every two seconds."""
Spec = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def referenced_objects(control_plane: ControlPlane, cluster: lightkube.Client) -> None:
    """Creates the objects that the pods' specs name: service accounts and the priority class."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    for name in ("ray-head", "ray-worker"):
        control_plane.apply({**account, "metadata": {"name": name, "namespace": NAMESPACE}})
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000000}
    control_plane.apply({**priority, "metadata": {"name": "rayllm-serving"}})


def prod_spec(edit: dict[str, Any] | None = None) -> Spec:
    """Return prod's RayService spec; KubeRay deletes an old RayCluster after one second."""
    spec = manifest("prod", edit)
    return {**spec, "serveConfigV2": yaml.safe_dump(spec["serveConfigV2"]), "rayClusterDeletionDelaySeconds": 1}


def apply_ray_service(control_plane: ControlPlane, spec: Spec, name: str = NAME) -> None:
    metadata = {"name": name, "namespace": NAMESPACE}
    control_plane.apply({"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": spec})


def ray_clusters(control_plane: ControlPlane) -> list[str]:
    found = control_plane.get(f"{RAY}/rayclusters")["items"]
    return [each["metadata"]["name"] for each in found if each["metadata"]["name"].startswith(f"{NAME}-")]


def active_ray_cluster(control_plane: ControlPlane) -> str:
    status = (control_plane.get(f"{RAY}/rayservices/{NAME}") or {}).get("status", {})
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
    return status.get("activeServiceStatus", {}).get("rayClusterName", "") if ready else ""


@pytest.fixture
def first_cluster(control_plane: ControlPlane) -> Iterator[str]:
    """The name of the RayCluster of a RayService that serves; deleted afterwards."""
    apply_ray_service(control_plane, prod_spec())
    yield wait_until("a RayService that serves", lambda: active_ray_cluster(control_plane))
    control_plane.http.delete(f"{RAY}/rayservices/{NAME}").raise_for_status()
    wait_until("its RayClusters are deleted", lambda: not ray_clusters(control_plane))


def scheduling_failures(control_plane: ControlPlane) -> list[str]:
    """Return the scheduler's message for each pod that it found no node for."""
    conditions = [each for pod in pods(control_plane) for each in pod["status"].get("conditions", [])]
    return [each["message"] for each in conditions if each.get("reason") == "Unschedulable"]


def is_unchanged(control_plane: ControlPlane, cluster: str) -> bool:
    """Return True if the RayClusters stay the same for longer than KubeRay needs to reconcile."""
    time.sleep(UNCHANGED_S)
    return ray_clusters(control_plane) == [cluster] and active_ray_cluster(control_plane) == cluster


def test_a_serve_configuration_is_applied_in_place(control_plane: ControlPlane, first_cluster: str) -> None:
    apply_ray_service(control_plane, prod_spec({"serving.engine.max_model_len": 8192}))
    assert is_unchanged(control_plane, first_cluster)


def test_another_image_creates_a_second_cluster_and_moves_traffic_there(
    control_plane: ControlPlane, first_cluster: str
) -> None:
    apply_ray_service(
        control_plane, prod_spec({"serving.kubernetes.releases.r1.image": f"rayproject/ray-llm@sha256:{64 * 'b'}"})
    )
    after = wait_until(
        "the second cluster serves",
        lambda: active_ray_cluster(control_plane) if active_ray_cluster(control_plane) != first_cluster else "",
    )
    wait_until("the first cluster is deleted", lambda: ray_clusters(control_plane) == [after])


def test_changed_bounds_without_the_annotation_change_nothing(control_plane: ControlPlane, first_cluster: str) -> None:
    spec = prod_spec()
    group = spec["rayClusterConfig"]["workerGroupSpecs"][0]
    group.update(minReplicas=0, maxReplicas=2)
    apply_ray_service(control_plane, spec)
    assert is_unchanged(control_plane, first_cluster)
    (found,) = control_plane.get(f"{RAY}/rayclusters/{first_cluster}")["spec"]["workerGroupSpecs"]
    assert (found["minReplicas"], found["maxReplicas"]) == (1, 1)


def test_changed_bounds_with_the_annotation_create_a_second_cluster(
    control_plane: ControlPlane, first_cluster: str
) -> None:
    spec = prod_spec()
    group = spec["rayClusterConfig"]["workerGroupSpecs"][0]
    group.update(minReplicas=1, maxReplicas=2)
    group["template"]["metadata"]["annotations"][WORKERS_ANNOTATION] = "1-2"
    apply_ray_service(control_plane, spec)
    wait_until("the second cluster serves", lambda: active_ray_cluster(control_plane) not in ("", first_cluster))


def test_changed_tolerations_without_the_annotation_change_nothing(
    control_plane: ControlPlane, first_cluster: str
) -> None:
    spec = prod_spec()
    pod = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]
    pod["tolerations"].append({"key": "other", "operator": "Exists"})
    apply_ray_service(control_plane, spec)
    assert is_unchanged(control_plane, first_cluster)


def test_changed_pods_with_upgrade_strategy_none_change_nothing(
    control_plane: ControlPlane, first_cluster: str
) -> None:
    """This stack sets the strategy None where two clusters do not fit; Pulumi then replaces the RayService."""
    spec = {**prod_spec({"serving.kubernetes.releases.r1.ray_version": "2.59.0"}), "upgradeStrategy": {"type": "None"}}
    apply_ray_service(control_plane, spec)
    assert is_unchanged(control_plane, first_cluster)


def test_a_second_cluster_without_gpus_waits_while_the_first_serves(
    control_plane: ControlPlane, first_cluster: str
) -> None:
    """The first cluster uses both A4 nodes. The stand-in for Serve's API reports DEPLOYING, as Serve would."""
    new_cluster = {"upgradeStrategy": {"type": "NewCluster"}}  # this stack never sets it where two do not fit
    apply_ray_service(control_plane, prod_spec({"serving.replicas.num_replicas": 16}) | new_cluster)
    first = wait_until(
        "a cluster on both nodes",
        lambda: active_ray_cluster(control_plane) if active_ray_cluster(control_plane) != first_cluster else "",
    )
    wait_until("the cluster before is deleted", lambda: ray_clusters(control_plane) == [first])
    (head,) = (pod for pod in pods(control_plane) if is_head(pod, first))
    set_ray_status(status="RUNNING", address=head["status"]["podIP"])
    set_ray_status(status="DEPLOYING")
    try:
        apply_ray_service(
            control_plane,
            prod_spec({"serving.replicas.num_replicas": 16, "serving.data_path": "python_proxy"}) | new_cluster,
        )
        wait_until("a second cluster", lambda: len(ray_clusters(control_plane)) == 2)
        failures = wait_until("the scheduler's message about its workers", lambda: scheduling_failures(control_plane))
        assert all("nvidia.com/gpu" in message for message in failures)
        time.sleep(UNCHANGED_S)
        assert active_ray_cluster(control_plane) == first
    finally:
        set_ray_status(status="RUNNING")


def pods(control_plane: ControlPlane) -> list[dict[str, Any]]:
    return control_plane.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]


def is_head(pod: dict[str, Any], cluster: str) -> bool:
    """Return True if a pod is the head of this RayCluster. Pods of the cluster before may still be terminating."""
    labels = pod["metadata"]["labels"]
    return (labels["ray.io/cluster"], labels["ray.io/node-type"]) == (cluster, "head")


def set_ray_status(**override: str) -> None:
    """Set what the stand-in for Ray's API reports."""
    url = f"http://127.0.0.1:{ray_dashboard.DASHBOARD_PORT}/stand-in"
    httpx2.put(url, json=override, trust_env=False).raise_for_status()


def invalid_spec(change: Callable[[Spec], None]) -> Spec:
    spec = copy.deepcopy(prod_spec({"serving.replicas": {"kind": "autoscaling", "min_replicas": 1, "max_replicas": 8}}))
    change(spec)
    return spec


def _wrong_bounds(spec: Spec) -> None:
    spec["rayClusterConfig"]["workerGroupSpecs"][0].update(minReplicas=3, maxReplicas=2)


def _gpus_in_two_fields(spec: Spec) -> None:
    head = spec["rayClusterConfig"]["headGroupSpec"]
    head["resources"] = {"num-gpus": "1"}
    head["rayStartParams"]["num-gpus"] = "1"


def _redis_twice(spec: Spec) -> None:
    cluster = spec["rayClusterConfig"]
    cluster["gcsFaultToleranceOptions"] = {"redisAddress": "redis:6379"}
    env = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    env.append({"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"})


def _unknown_strategy(spec: Spec) -> None:
    spec["upgradeStrategy"] = {"type": "Sometimes"}


def _own_head_service(spec: Spec) -> None:
    spec["rayClusterConfig"]["headGroupSpec"]["headService"] = {"metadata": {"name": "mine"}}


def _restart_policy(spec: Spec) -> None:
    spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["restartPolicy"] = "Always"


def _old_ray_with_tokens(spec: Spec) -> None:
    spec["rayClusterConfig"] |= {"authOptions": {"mode": "token"}, "rayVersion": "2.51.0"}


def _head_has_no_resources(spec: Spec) -> bool:
    return "resources" not in spec["rayClusterConfig"]["headGroupSpec"]


def _does_not_contain(word: str) -> Callable[[Spec], bool]:
    return lambda spec: word not in yaml.safe_dump(spec)


GUARDS: dict[str, tuple[Callable[[Spec], None], str, str | Callable[[Spec], bool]]] = {
    "bounds": (_wrong_bounds, "greater than maxReplicas", "serving.replicas.bounds"),
    "gpus-twice": (_gpus_in_two_fields, "both rayStartParams", _head_has_no_resources),
    "redis-twice": (_redis_twice, "RAY_REDIS_ADDRESS", _does_not_contain("RAY_REDIS_ADDRESS")),
    "strategy": (
        _unknown_strategy,
        "UpgradeStrategy",
        lambda s: s["upgradeStrategy"]["type"] in ("NewCluster", "None"),
    ),
    "head-service": (_own_head_service, "headService", _does_not_contain("headService")),
    "restart-policy": (_restart_policy, "restartPolicy", _does_not_contain("restartPolicy")),
    "tokens": (_old_ray_with_tokens, "2.52.0", "serving.releases.ray-version-too-old"),
}
"""Case -> change that makes a spec invalid, a word of the operator's message, and what prevents it in this stack: the
id of a settings rule, or a check of the specs of all environments."""


@pytest.mark.parametrize("case", GUARDS)
def test_the_settings_never_produce_a_spec_that_the_operator_refuses(case: str, control_plane: ControlPlane) -> None:
    change, word, guard = GUARDS[case]
    name = f"invalid-{case}"
    apply_ray_service(control_plane, invalid_spec(change), name)
    events = f"/api/v1/namespaces/{NAMESPACE}/events?fieldSelector=type=Warning,involvedObject.name={name}"
    messages = wait_until(
        "the operator's warning", lambda: [each["message"] for each in control_plane.get(events)["items"]]
    )
    control_plane.http.delete(f"{RAY}/rayservices/{name}").raise_for_status()
    assert any(word in message for message in messages), messages
    if isinstance(guard, str):
        assert guard in Rule.registry
    else:
        assert all(guard(manifest(stack)) for stack in ("dev", "staging", "prod"))


def test_the_settings_refuse_a_name_that_is_too_long_for_the_operator() -> None:
    name = TypeAdapter(AdditionalModel.model_fields["name"].rebuild_annotation())
    name.validate_python(47 * "a")
    with pytest.raises(ValidationError):
        name.validate_python(48 * "a")
    assert len(args("prod").plan.name) < 47
