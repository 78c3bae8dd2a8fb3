"""What a RayService and its RayClusters, pods and events report at one moment, as facts. Makes no request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import yaml

from config.kuberay import NODE_TYPE_LABEL
from workloads.kubernetes.kube_api import Object, condition, last_seen
from workloads.kubernetes.readiness.objects import RAY_CLUSTER_LABEL, last_spec_update

GPU = "nvidia.com/gpu"
IGNORED_REASONS = ("FailedScheduling", "Unhealthy", "NotTriggerScaleUp")
"""Reasons of Warning events that every starting pod has. The progress lines say the same in fewer words."""


@dataclass(frozen=True)
class RayServiceSnapshot:
    """A RayService and what belongs to it.

    KubeRay names up to two RayClusters in the status: the *active* one, which serves, and during an upgrade the
    *pending* one, which replaces it. The *target* is the pending RayCluster if there is one, else the active one.
    """

    service: Object
    all_ray_clusters: Sequence[Object]
    """RayClusters of this RayService."""
    all_pods: Sequence[Object]
    """Pods of these RayClusters."""
    events: Sequence[Object]
    """Warnings since the last update of the spec, oldest first (`events_since_update`)."""
    has_serve_service: bool
    """True if the Service `<name>-serve-svc` exists."""

    @property
    def name(self) -> str:
        """Name of the RayService."""
        return self.service["metadata"]["name"]

    @property
    def namespace(self) -> str:
        """Namespace of the RayService."""
        return self.service["metadata"]["namespace"]

    @property
    def spec(self) -> Object:
        """`spec` of the RayService."""
        return self.service["spec"]

    @property
    def status(self) -> Object:
        """`status` of the RayService; empty before KubeRay's first reconciliation."""
        return self.service.get("status", {})

    @property
    def spec_observed(self) -> bool:
        """True if KubeRay's status describes the current generation of the spec."""
        return self.status.get("observedGeneration", 0) >= self.service["metadata"].get("generation", 0)

    @property
    def ready_condition(self) -> Object:
        """KubeRay's condition `Ready`; during an upgrade it is that of the active RayCluster."""
        return condition(self.status.get("conditions", []), "Ready")

    @property
    def ready_condition_is_current(self) -> bool:
        """True if KubeRay wrote its status after the last update of the spec."""
        return self.status.get("lastUpdateTime", "") >= last_spec_update(self.service)

    @property
    def active(self) -> str:
        """Name of the active RayCluster; may be empty."""
        return self.status.get("activeServiceStatus", {}).get("rayClusterName", "")

    @property
    def pending(self) -> str:
        """Name of the pending RayCluster; empty if no upgrade is in progress."""
        return self.status.get("pendingServiceStatus", {}).get("rayClusterName", "")

    @property
    def target(self) -> str:
        """Name of the target RayCluster."""
        return self.pending or self.active

    @property
    def _target_status(self) -> Object:
        return self.status.get("pendingServiceStatus" if self.pending else "activeServiceStatus", {})

    @property
    def applications(self) -> Mapping[str, Object]:
        """Serve application -> its status in the target RayCluster."""
        return self._target_status.get("applicationStatuses") or {}

    @cached_property
    def declared_applications(self) -> list[str]:
        """Names of the applications in serveConfigV2; none if it is not valid."""
        try:
            config = yaml.safe_load(self.spec.get("serveConfigV2", ""))
            return [application.get("name", "default") for application in config["applications"]]
        except (yaml.YAMLError, TypeError, KeyError, AttributeError):
            return []

    @property
    def applications_running(self) -> bool:
        """True if Serve reports at least one application, and RUNNING for all that it reports."""
        return bool(self.applications) and all(
            status.get("status") == "RUNNING" for status in self.applications.values()
        )

    @property
    def desired_workers(self) -> int:
        """Worker pods that the target RayCluster is to have."""
        return int(self._target_status.get("rayClusterStatus", {}).get("desiredWorkerReplicas", 0))

    @property
    def endpoints(self) -> int:
        """Pods that serve, as KubeRay counts them."""
        return int(self.status.get("numServeEndpoints", 0))

    @property
    def ray_cluster(self) -> Object | None:
        """The target RayCluster, or None if it does not exist."""
        return next((each for each in self.all_ray_clusters if each["metadata"]["name"] == self.target), None)

    @cached_property
    def _pods(self) -> list[Object]:
        return [pod for pod in self.all_pods if pod["metadata"].get("labels", {}).get(RAY_CLUSTER_LABEL) == self.target]

    @property
    def heads(self) -> list[Object]:
        """Head pods of the target RayCluster."""
        return [pod for pod in self._pods if is_head(pod)]

    @property
    def workers(self) -> list[Object]:
        """Worker pods of the target RayCluster."""
        return [pod for pod in self._pods if not is_head(pod)]

    def last_event(self, pod: Object, *reasons: str) -> Object | None:
        """Return the last Warning event about the pod with one of these reasons, or None."""
        name = pod["metadata"]["name"]
        found = (
            event
            for event in reversed(self.events)
            if event.get("reason") in reasons
            and event["involvedObject"].get("kind") == "Pod"
            and event["involvedObject"].get("name") == name
        )
        return next(found, None)

    @property
    def serves(self) -> bool:
        """True if KubeRay reports Ready and at least one endpoint, and every declared application runs."""
        return (
            self.ready_condition.get("status") == "True"
            and self.endpoints >= 1
            and self.applications_running
            and all(name in self.applications for name in self.declared_applications)
        )

    @property
    def upgrade_suffix(self) -> str:
        """Text for the end of a message during an upgrade: which RayCluster keeps serving."""
        return f"; RayCluster {self.active} keeps serving" if self.active and self.pending else ""


def events_since_update(
    service: Object, clusters: Sequence[Object], pods: Sequence[Object], events: Iterable[Object]
) -> list[Object]:
    """Return the Warning events about these objects since the last update of the RayService's spec, oldest first."""
    names = {("RayService", service["metadata"]["name"])}
    names |= {("RayCluster", cluster["metadata"]["name"]) for cluster in clusters}
    names |= {("Pod", pod["metadata"]["name"]) for pod in pods}
    since = last_spec_update(service)
    found = [
        event
        for event in events
        if event.get("type") == "Warning"
        and event.get("reason") not in IGNORED_REASONS
        and (event["involvedObject"].get("kind"), event["involvedObject"].get("name")) in names
        and last_seen(event) >= since
    ]
    return sorted(found, key=last_seen)


def is_head(pod: Object) -> bool:
    """Return True for the pod of a Ray head."""
    return pod["metadata"].get("labels", {}).get(NODE_TYPE_LABEL) == "head"


def is_scheduled(pod: Object) -> bool:
    """Return True if the pod has a node."""
    return _pod_scheduled(pod).get("status") == "True"


def is_ready(pod: Object) -> bool:
    """Return True if the pod has the condition Ready."""
    return condition(pod.get("status", {}).get("conditions", []), "Ready").get("status") == "True"


def has_started(pod: Object) -> bool:
    """Return True if a container has run, or an init container runs: KubeRay's init container waits for the head."""
    status = pod.get("status", {})
    containers = [each.get("state", {}) for each in status.get("containerStatuses", [])]
    init_containers = [each.get("state", {}) for each in status.get("initContainerStatuses", [])]
    return any("waiting" not in state for state in containers) or any("running" in state for state in init_containers)


def requests_gpu(pod: Object) -> bool:
    """Return True if a container of the pod has a limit of GPUs."""
    containers = pod["spec"].get("containers", [])
    return any(GPU in each.get("resources", {}).get("limits", {}) for each in containers)


def failure(pod: Object) -> str:
    """Return why the kubelet ended the pod for good, or "": its phase is Failed, and its containers do not restart."""
    status = pod.get("status", {})
    if status.get("phase") != "Failed":
        return ""
    return ": ".join(part for part in (status.get("reason", "Failed"), status.get("message", "")) if part)


def volumes_mounted(pod: Object) -> bool:
    """Return False while the kubelet says that it could not mount the pod's volumes or connect its network yet."""
    return condition(pod.get("status", {}).get("conditions", []), "PodReadyToStartContainers").get("status") != "False"


def waiting_containers(pod: Object) -> Iterator[Object]:
    """Yield the state `waiting` of each waiting container: `reason`, and a `message` that begins with how it last
    ended."""
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            ended = container.get("lastState", {}).get("terminated", {})
            last = f"it ended before with exit code {ended.get('exitCode')} ({ended.get('reason')})" if ended else ""
            yield {**waiting, "message": "; ".join(part for part in (last, waiting.get("message", "")) if part)}


def has_scheduler_message(pod: Object) -> bool:
    """Return True if the scheduler has written why the pod has no node."""
    return bool(_pod_scheduled(pod).get("message"))


def scheduling_problem(pod: Object) -> str:
    """Return `Insufficient RESOURCE` from the scheduler's message, or the beginning of that message."""
    message = " ".join(_pod_scheduled(pod).get("message", "").split())
    insufficient = sorted(set(re.findall(r"Insufficient [\w./-]*\w", message)))
    beginning = message.split(" preemption:")[0][:240]
    return ", ".join(insufficient) or beginning or "the scheduler has not processed it yet"


def _pod_scheduled(pod: Object) -> Object:
    return condition(pod.get("status", {}).get("conditions", []), "PodScheduled")
