"""Ray: settings that RayServices need to stream fast, to survive the loss of their head, and to stay off the node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

import versions
from config.secret_patterns import SECRET_ENV_VAR
from policies.base import Policy
from policies.inputs import HEAD_POD, UNKNOWN, at, containers, display, each, pods, ray_cluster, require
from policies.resource_types import RAY, RAY_SERVICE, WITH_PODS

FLAG_PREFIXES = ("RAY_", "VLLM_")
DIRECT_STREAMING = "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING"
HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
FAULT_TOLERANCE = "gcsFaultToleranceOptions"
STORAGE_NAMESPACE_ANNOTATION = "ray.io/external-storage-namespace"
INITIALIZING_TIMEOUT_ANNOTATION = "ray.io/initializing-timeout"


def _ray_containers(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, Ray container) of each group, the head's first. The Ray container is the first of its pod."""
    found = [
        (where, container) for where, pod in pods(ray_cluster(inputs)) for container in each(pod, "containers")[:1]
    ]
    yield from sorted(found, key=lambda pair: pair[0] != HEAD_POD)


def _flags(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of Ray and vLLM in `env`, without secrets."""
    variables = {at(variable, "name"): at(variable, "value") for variable in each(container, "env")}
    return {
        name: value
        for name, value in variables.items()
        if str(name).startswith((*FLAG_PREFIXES, UNKNOWN)) and not SECRET_ENV_VAR.search(str(name))
    }


def _consistent_flags(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Compare the flags of each worker group with the head's."""
    (_, head), *workers = list(_ray_containers(inputs)) or [("", {})]
    for where, worker in workers:
        on_head, on_worker = _flags(head), _flags(worker)
        names = on_head.keys() | on_worker.keys()
        if UNKNOWN in names:
            continue
        for name in sorted(names):
            pair = (on_head.get(name), on_worker.get(name))
            if pair[0] != pair[1] and UNKNOWN not in pair:
                yield (
                    f"{name} is {display(pair[0])} in {HEAD_POD} and {display(pair[1])} in {where}. Set the "
                    "same value in both."
                )


def _haproxy_streaming(inputs: Mapping[str, Any]) -> Iterator[str]:
    for where, container in _ray_containers(inputs):
        flags = _flags(container)
        if flags.get(DIRECT_STREAMING) == "1" and flags.get(HAPROXY) not in ("1", UNKNOWN):
            yield f"Direct streaming is on in {where} and HAProxy is off. Set {HAPROXY}=1."


def _min_ray_version(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `rayVersion`."""
    ray_version = at(ray_cluster(inputs), "rayVersion")
    if ray_version != UNKNOWN and not _is_supported(str(ray_version)):
        yield (
            f"rayVersion is {display(ray_version)}. Set {versions.RAY_FLOOR} or later, with an image of that version."
        )


def _is_supported(ray_version: str) -> bool:
    try:
        return Version(ray_version) >= Version(versions.RAY_FLOOR)
    except InvalidVersion:
        return False


def _gcs_fault_tolerance(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(ray_cluster(inputs), FAULT_TOLERANCE) is None:
        yield f"Ray's head keeps its state in its pod only. Set {FAULT_TOLERANCE} with the address of a Redis."


def _own_redis_namespace(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `externalStorageNamespace` and the annotation of the same meaning (ray-project/ray#39525)."""
    annotations = at(inputs, "metadata.annotations")
    namespace = at(ray_cluster(inputs), f"{FAULT_TOLERANCE}.externalStorageNamespace")
    fix = "so that KubeRay gives each RayCluster a namespace of its own (ray-project/ray#39525)"
    if namespace not in (None, UNKNOWN):
        yield f"Two RayClusters can share one state in Redis. Remove externalStorageNamespace, {fix}."
    if isinstance(annotations, Mapping) and STORAGE_NAMESPACE_ANNOTATION in annotations:
        yield f"Two RayClusters can share one state in Redis. Remove annotation {STORAGE_NAMESPACE_ANNOTATION}, {fix}."


def _initializing_timeout(inputs: Mapping[str, Any]) -> Iterator[str]:
    annotations = at(inputs, "metadata.annotations")
    if isinstance(annotations, Mapping) and INITIALIZING_TIMEOUT_ANNOTATION in annotations:
        yield (
            f"KubeRay gives up on a RayService that starts slowly. Remove annotation {INITIALIZING_TIMEOUT_ANNOTATION}."
        )


def _autoscaler_version(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `autoscalerOptions.version`."""
    cluster = ray_cluster(inputs)
    version = at(cluster, "autoscalerOptions.version")
    if at(cluster, "enableInTreeAutoscaling") is True and version not in ("v2", UNKNOWN):
        yield (
            "Autoscaler v1 removes every worker after one failed query for the nodes. Set autoscalerOptions.version: "
            "v2 (ray-project/ray#58933)."
        )


def _privileged_containers(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `securityContext` of each container."""
    for where, container in containers(inputs):
        security = at(container, "securityContext")
        if at(security, "privileged") is True:
            yield f"A container in {where} is privileged. Remove privileged; the device plugin provides the GPUs."
        if each(security, "capabilities.add"):
            yield f"A container in {where} has additional Linux capabilities. Remove capabilities.add."
        if at(security, "allowPrivilegeEscalation") is True:
            yield f"A process in {where} can become root. Set allowPrivilegeEscalation: false."


def _host_access(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `hostNetwork`, `hostPID`, `hostIPC`, `hostPath` and `hostPort` of each pod."""
    for where, pod in pods(inputs):
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(field) is True:
                yield f"{field} is true in {where}, so the pod shares a namespace of the node. Remove {field}."
        for volume in each(pod, "volumes"):
            if at(volume, "hostPath") not in (None, UNKNOWN):
                yield f"A volume in {where} is a directory of the node. Use emptyDir instead of hostPath."
    for where, container in containers(inputs):
        if any(at(port, "hostPort") not in (None, 0, UNKNOWN) for port in each(container, "ports")):
            yield f"A container in {where} listens on the node's address. Remove hostPort."


POLICIES = (
    Policy(
        "raycluster-consistent-flags",
        "high",
        "The head and the workers disagree on which process proxies and streams requests.",
        RAY,
        _consistent_flags,
    ),
    Policy(
        "raycluster-haproxy-streaming",
        "high",
        "Ray Serve sends requests to a proxy that cannot stream directly.",
        RAY,
        _haproxy_streaming,
    ),
    Policy(
        "raycluster-min-ray-version",
        "high",
        "An older Ray loses requests and runs an HAProxy with known vulnerabilities (ray-project/ray#62585).",
        RAY,
        _min_ray_version,
    ),
    Policy(
        "rayservice-gcs-fault-tolerance",
        "high",
        "When the head pod is lost, all workers are lost with it.",
        [RAY_SERVICE],
        _gcs_fault_tolerance,
    ),
    Policy(
        "raycluster-own-redis-namespace",
        "high",
        "A new RayCluster loads the state of the old one.",
        RAY,
        _own_redis_namespace,
    ),
    Policy(
        "rayservice-exclude-head",
        "high",
        "The load balancer sends requests to the head, which passes health checks and has no replica.",
        [RAY_SERVICE],
        require(
            "spec.excludeHeadPodFromServeSvc",
            value=True,
            message="The head pod belongs to the Service of Ray Serve. Set spec.excludeHeadPodFromServeSvc: true.",
        ),
    ),
    Policy(
        "rayservice-no-initializing-timeout",
        "medium",
        "KubeRay never retries a RayService that failed to start in time.",
        [RAY_SERVICE],
        _initializing_timeout,
    ),
    Policy(
        "raycluster-autoscaler-v2",
        "high",
        "Ray's autoscaler removes all workers at once.",
        RAY,
        _autoscaler_version,
    ),
    Policy(
        "pod-no-privileged-containers",
        "critical",
        "Model code controls the node.",
        WITH_PODS,
        _privileged_containers,
    ),
    Policy(
        "pod-no-host-access",
        "critical",
        "Model code can read the node's network and disks.",
        WITH_PODS,
        _host_access,
    ),
)
