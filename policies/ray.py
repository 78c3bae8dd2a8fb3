"""Ray: what makes a RayService fast, and what keeps it when its head is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import versions
from policies.base import Policy
from policies.identity import SECRET_NAME
from policies.inputs import UNKNOWN, at, containers, each, pods, ray_cluster, require
from policies.resource_types import RAY, RAY_SERVICE, WITH_PODS

PREFIXES = ("RAY_", "VLLM_")
STREAMING = "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING"
HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
FAULT_TOLERANCE = "gcsFaultToleranceOptions"
STORAGE = "ray.io/external-storage-namespace"
INITIALIZING = "ray.io/initializing-timeout"


def _ray_containers(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(group, its Ray container), the head's first."""
    found = [(where, one) for where, pod in pods(ray_cluster(inputs)) for one in each(pod, "containers")[:1]]
    yield from sorted(found, key=lambda one: one[0] != "head")


def _flags(container: Mapping[str, Any]) -> dict[str, Any]:
    named = {at(one, "name"): at(one, "value") for one in each(container, "env")}
    return {
        name: value
        for name, value in named.items()
        if str(name).startswith((*PREFIXES, UNKNOWN)) and not SECRET_NAME.search(str(name))
    }


def _differ(inputs: Mapping[str, Any]) -> Iterator[str]:
    (_, head), *workers = list(_ray_containers(inputs)) or [("", {})]
    for name, worker in workers:
        own, theirs = _flags(head), _flags(worker)
        if UNKNOWN in (own.keys() | theirs.keys()):
            continue
        for flag in sorted(own.keys() | theirs.keys()):
            if own.get(flag) != theirs.get(flag) and UNKNOWN not in (own.get(flag), theirs.get(flag)):
                yield f"{flag} is {own.get(flag)} on the head and {theirs.get(flag)} on {name}: write the same on both."


def _without_haproxy(inputs: Mapping[str, Any]) -> Iterator[str]:
    for name, container in _ray_containers(inputs):
        flags = _flags(container)
        if flags.get(STREAMING) == "1" and flags.get(HAPROXY) not in ("1", UNKNOWN):
            yield f"Direct streaming on {name} goes through HAProxy: write {HAPROXY}=1."


def _too_old(inputs: Mapping[str, Any]) -> Iterator[str]:
    written = at(ray_cluster(inputs), "rayVersion")
    if written != UNKNOWN and _release(written) < _release(versions.RAY_FLOOR):
        yield f"rayVersion is {written}: write {versions.RAY_FLOOR} or later, and an image that has it."


def _release(text: Any) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in str(text).split(".")[:3])


def _head_state(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(ray_cluster(inputs), FAULT_TOLERANCE) is None:
        yield f"The head keeps what it knows in its pod: write {FAULT_TOLERANCE} with a Redis."


def _shared_state(inputs: Mapping[str, Any]) -> Iterator[str]:
    metadata = at(inputs, "metadata.annotations")
    written = at(ray_cluster(inputs), f"{FAULT_TOLERANCE}.externalStorageNamespace")
    if written not in (None, UNKNOWN) or (isinstance(metadata, Mapping) and STORAGE in metadata):
        yield "Two RayClusters would load one state: leave externalStorageNamespace out (ray-project/ray#39525)."


def _gives_up(inputs: Mapping[str, Any]) -> Iterator[str]:
    metadata = at(inputs, "metadata.annotations")
    if isinstance(metadata, Mapping) and INITIALIZING in metadata:
        yield f"A slow start would be its last: leave the annotation {INITIALIZING} out."


def _autoscaler(inputs: Mapping[str, Any]) -> Iterator[str]:
    cluster = ray_cluster(inputs)
    if at(cluster, "enableInTreeAutoscaling") is True and at(cluster, "autoscalerOptions.version") not in (
        "v2",
        UNKNOWN,
    ):
        yield "A failed look at the nodes removes all: write autoscalerOptions.version: v2 (ray-project/ray#58933)."


def _owns_the_node(inputs: Mapping[str, Any]) -> Iterator[str]:
    for name, container in containers(inputs):
        security = at(container, "securityContext")
        if at(security, "privileged") is True:
            yield f"The container of {name} is privileged: leave that out, GPUs come by the device plugin."
        if each(security, "capabilities.add"):
            yield f"The container of {name} has capabilities on top: leave capabilities.add out."
        if at(security, "allowPrivilegeEscalation") is True:
            yield f"The container of {name} may become root: write allowPrivilegeEscalation: false."


def _on_the_host(inputs: Mapping[str, Any]) -> Iterator[str]:
    for name, pod in pods(inputs):
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(field) is True:
                yield f"{name} shares the node's own: leave {field} out."
        for volume in each(pod, "volumes"):
            if at(volume, "hostPath") not in (None, UNKNOWN):
                yield f"{name} mounts the node's disk: write an emptyDir instead of hostPath."
    for name, container in containers(inputs):
        if any(at(port, "hostPort") not in (None, 0, UNKNOWN) for port in each(container, "ports")):
            yield f"{name} listens on the node's address: leave hostPort out."


POLICIES = (
    Policy(
        "raycluster-consistent-flags", "high", "Head and workers disagree about who proxies and streams.", RAY, _differ
    ),
    Policy("raycluster-haproxy-streaming", "high", "Requests go to a proxy that cannot do it.", RAY, _without_haproxy),
    Policy(
        "raycluster-min-ray-version",
        "high",
        "Lost requests, and a HAProxy with known holes (ray-project/ray#62585).",
        RAY,
        _too_old,
    ),
    Policy(
        "rayservice-gcs-fault-tolerance", "high", "A lost head takes all workers with it.", [RAY_SERVICE], _head_state
    ),
    Policy("raycluster-own-redis-namespace", "high", "A new RayCluster wakes up as the old one.", RAY, _shared_state),
    Policy(
        "rayservice-exclude-head",
        "high",
        "The head answers health checks and has no replica behind it.",
        [RAY_SERVICE],
        require(
            "spec.excludeHeadPodFromServeSvc",
            right=True,
            sentence="The gateway sends requests to the head: write excludeHeadPodFromServeSvc: true.",
        ),
    ),
    Policy(
        "rayservice-no-initializing-timeout", "medium", "A RayService that failed stays so.", [RAY_SERVICE], _gives_up
    ),
    Policy("raycluster-autoscaler-v2", "high", "All workers go at once.", RAY, _autoscaler),
    Policy("pod-no-privileged-containers", "critical", "Model code owns the node.", WITH_PODS, _owns_the_node),
    Policy("pod-no-host-access", "critical", "Model code reads the node's network and disks.", WITH_PODS, _on_the_host),
)
