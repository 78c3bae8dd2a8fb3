"""What the real KubeRay operator does with a change of a RayService, one test a row, and what it refuses.

The rows that KubeRay answers with nothing are why workloads/kubernetes/ray_service.py writes what it writes.
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
from rehearsal.control_plane.control_plane import Plane
from tests.cluster.conftest import NAMESPACE, until
from tests.unit.ray_services import args, manifest
from workloads.kubernetes.ray_service import WORKERS_ANNOTATION

RAY = f"/apis/ray.io/v1/namespaces/{NAMESPACE}"
ROW = "row"
UNMOVED_S = 10
"""KubeRay looks every two seconds."""
Spec = dict[str, Any]


@pytest.fixture(scope="module")
def ground(plane: Plane, cluster: lightkube.Client) -> Plane:
    """What pods name."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    for name in ("ray-head", "ray-worker"):
        plane.apply({**account, "metadata": {"name": name, "namespace": NAMESPACE}})
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000000}
    plane.apply({**priority, "metadata": {"name": "rayllm-serving"}})
    return plane


def prod(edit: dict[str, Any] | None = None) -> Spec:
    """Prod's, with no time lost over old clusters."""
    whole = manifest("prod", edit)
    return {**whole, "serveConfigV2": yaml.safe_dump(whole["serveConfigV2"]), "rayClusterDeletionDelaySeconds": 1}


def put(plane: Plane, spec: Spec, name: str = ROW) -> None:
    metadata = {"name": name, "namespace": NAMESPACE}
    plane.apply({"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": spec})


def clusters(plane: Plane) -> list[str]:
    found = plane.get(f"{RAY}/rayclusters")["items"]
    return [each["metadata"]["name"] for each in found if each["metadata"]["name"].startswith(f"{ROW}-")]


def active(plane: Plane) -> str:
    status = (plane.get(f"{RAY}/rayservices/{ROW}") or {}).get("status", {})
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
    return status.get("activeServiceStatus", {}).get("rayClusterName", "") if ready else ""


@pytest.fixture
def before(ground: Plane) -> Iterator[str]:
    """A RayService that serves; the name of its RayCluster."""
    put(ground, prod())
    yield until("a RayService that serves", lambda: active(ground))
    ground.http.delete(f"{RAY}/rayservices/{ROW}").raise_for_status()
    until("it is gone", lambda: not clusters(ground))


def unscheduled(plane: Plane) -> list[str]:
    """What the scheduler says of each pod that it has looked at and has found no node for."""
    conditions = [each for pod in pods(plane) for each in pod["status"].get("conditions", [])]
    return [each["message"] for each in conditions if each.get("reason") == "Unschedulable"]


def stays(plane: Plane, cluster: str) -> bool:
    """Whether nothing happens, for longer than KubeRay takes to look."""
    time.sleep(UNMOVED_S)
    return clusters(plane) == [cluster] and active(plane) == cluster


def test_a_serve_configuration_is_applied_in_place(ground: Plane, before: str) -> None:
    put(ground, prod({"serving.engine.max_model_len": 8192}))
    assert stays(ground, before)


def test_another_image_makes_a_second_cluster_and_moves_there(ground: Plane, before: str) -> None:
    put(ground, prod({"serving.kubernetes.releases.r1.image": f"rayproject/ray-llm@sha256:{64 * 'b'}"}))
    after = until("the second cluster serves", lambda: active(ground) if active(ground) != before else "")
    until("the first one is gone", lambda: clusters(ground) == [after])


def test_without_the_annotation_bounds_change_nothing(ground: Plane, before: str) -> None:
    spec = prod()
    group = spec["rayClusterConfig"]["workerGroupSpecs"][0]
    group.update(minReplicas=0, maxReplicas=2)
    put(ground, spec)
    assert stays(ground, before)
    (found,) = ground.get(f"{RAY}/rayclusters/{before}")["spec"]["workerGroupSpecs"]
    assert (found["minReplicas"], found["maxReplicas"]) == (1, 1)


def test_with_it_bounds_make_a_second_cluster(ground: Plane, before: str) -> None:
    spec = prod()
    group = spec["rayClusterConfig"]["workerGroupSpecs"][0]
    group.update(minReplicas=1, maxReplicas=2)
    group["template"]["metadata"]["annotations"][WORKERS_ANNOTATION] = "1-2"
    put(ground, spec)
    until("the second cluster serves", lambda: active(ground) not in ("", before))


def test_without_the_annotation_tolerations_change_nothing(ground: Plane, before: str) -> None:
    spec = prod()
    pod = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]
    pod["tolerations"].append({"key": "other", "operator": "Exists"})
    put(ground, spec)
    assert stays(ground, before)


def test_with_strategy_none_other_pods_change_nothing(ground: Plane, before: str) -> None:
    """Where two clusters do not fit, KubeRay is told to leave it to Pulumi, which replaces the RayService."""
    spec = {**prod({"serving.kubernetes.releases.r1.ray_version": "2.59.0"}), "upgradeStrategy": {"type": "None"}}
    put(ground, spec)
    assert stays(ground, before)


def test_a_second_cluster_without_gpus_waits_and_the_first_serves_on(ground: Plane, before: str) -> None:
    """Both A4 nodes are taken. Serve, which would wait for replicas, is a stand-in here and is told to."""
    anyway = {"upgradeStrategy": {"type": "NewCluster"}}  # what ours never is where two do not fit
    put(ground, prod({"serving.replicas.num_replicas": 16}) | anyway)
    first = until("a cluster on both nodes", lambda: active(ground) if active(ground) != before else "")
    until("the one before is gone", lambda: clusters(ground) == [first])
    (head,) = (pod for pod in pods(ground) if is_head(pod, first))
    tell(status="RUNNING", address=head["status"]["podIP"])
    tell(status="DEPLOYING")
    try:
        put(ground, prod({"serving.replicas.num_replicas": 16, "serving.data_path": "python_proxy"}) | anyway)
        until("a second cluster", lambda: len(clusters(ground)) == 2)
        refused = until("the scheduler's word on its workers", lambda: unscheduled(ground))
        assert all("nvidia.com/gpu" in word for word in refused)
        time.sleep(UNMOVED_S)
        assert active(ground) == first
    finally:
        tell(status="RUNNING")


def pods(plane: Plane) -> list[dict[str, Any]]:
    return plane.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]


def is_head(pod: dict[str, Any], cluster: str) -> bool:
    """Whether a pod is the head of one RayCluster: pods of the one before it may still be leaving."""
    labels = pod["metadata"]["labels"]
    return (labels["ray.io/cluster"], labels["ray.io/node-type"]) == (cluster, "head")


def tell(**what: str) -> None:
    """The Ray API's stand-in."""
    httpx2.put(f"http://127.0.0.1:{ray_dashboard.DASHBOARD}/stand-in", json=what, trust_env=False).raise_for_status()


def refused(change: Callable[[Spec], None]) -> Spec:
    spec = copy.deepcopy(prod({"serving.replicas": {"kind": "autoscaling", "min_replicas": 1, "max_replicas": 8}}))
    change(spec)
    return spec


def _bounds(spec: Spec) -> None:
    spec["rayClusterConfig"]["workerGroupSpecs"][0].update(minReplicas=3, maxReplicas=2)


def _two_places_for_gpus(spec: Spec) -> None:
    head = spec["rayClusterConfig"]["headGroupSpec"]
    head["resources"] = {"num-gpus": "1"}
    head["rayStartParams"]["num-gpus"] = "1"


def _redis_twice(spec: Spec) -> None:
    cluster = spec["rayClusterConfig"]
    cluster["gcsFaultToleranceOptions"] = {"redisAddress": "redis:6379"}
    env = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    env.append({"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"})


def _strategy(spec: Spec) -> None:
    spec["upgradeStrategy"] = {"type": "Sometimes"}


def _head_service(spec: Spec) -> None:
    spec["rayClusterConfig"]["headGroupSpec"]["headService"] = {"metadata": {"name": "mine"}}


def _restarts(spec: Spec) -> None:
    spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["restartPolicy"] = "Always"


def _old_ray_with_tokens(spec: Spec) -> None:
    spec["rayClusterConfig"] |= {"authOptions": {"mode": "token"}, "rayVersion": "2.51.0"}


def _no_resources_of_the_head(spec: Spec) -> bool:
    return "resources" not in spec["rayClusterConfig"]["headGroupSpec"]


def _nowhere(what: str) -> Callable[[Spec], bool]:
    return lambda spec: what not in yaml.safe_dump(spec)


GUARDS: dict[str, tuple[Callable[[Spec], None], str, str | Callable[[Spec], bool]]] = {
    "bounds": (_bounds, "greater than maxReplicas", "serving.replicas.bounds"),
    "gpus-twice": (_two_places_for_gpus, "both rayStartParams", _no_resources_of_the_head),
    "redis-twice": (_redis_twice, "RAY_REDIS_ADDRESS", _nowhere("RAY_REDIS_ADDRESS")),
    "strategy": (_strategy, "UpgradeStrategy", lambda s: s["upgradeStrategy"]["type"] in ("NewCluster", "None")),
    "head-service": (_head_service, "headService", _nowhere("headService")),
    "restart-policy": (_restarts, "restartPolicy", _nowhere("restartPolicy")),
    "tokens": (_old_ray_with_tokens, "2.52.0", "serving.releases.ray-version-too-old"),
}
"""What breaks a RayService -> the operator's word for it, and what keeps ours from it: a rule of the settings, or that
no environment of this repository can come to it."""


@pytest.mark.parametrize("case", GUARDS)
def test_what_the_operator_refuses_the_settings_never_ask_for(case: str, ground: Plane) -> None:
    change, word, guard = GUARDS[case]
    name = f"refused-{case}"
    put(ground, refused(change), name)
    events = f"/api/v1/namespaces/{NAMESPACE}/events?fieldSelector=type=Warning,involvedObject.name={name}"
    told = until("the operator refuses it", lambda: [each["message"] for each in ground.get(events)["items"]])
    ground.http.delete(f"{RAY}/rayservices/{name}").raise_for_status()
    assert any(word in message for message in told), told
    if isinstance(guard, str):
        assert guard in Rule.registry
    else:
        assert all(guard(manifest(stack)) for stack in ("dev", "staging", "prod"))


def test_a_name_that_the_operator_finds_too_long_is_no_setting() -> None:
    name = TypeAdapter(AdditionalModel.model_fields["name"].rebuild_annotation())
    name.validate_python(47 * "a")
    with pytest.raises(ValidationError):
        name.validate_python(48 * "a")
    assert len(args("prod").plan.name) < 47
