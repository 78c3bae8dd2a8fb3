"""Decide whether a RayService is ready, in progress or failed. Makes no request.

KubeRay 1.6's own conditions are not enough. `Ready` is True while any RayCluster serves; during an upgrade that is the
old one. The API server accepts a RayService that KubeRay then rejects. KubeRay marks a change of worker bounds alone as
observed, and does nothing (ray-operator/controllers/ray/rayservice_controller.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.kuberay import SERVE_SERVICE_SUFFIX
from workloads.kubernetes.kube_api import Object
from workloads.kubernetes.readiness.objects import RAY_CLUSTER_LABEL
from workloads.kubernetes.readiness.ray_service_snapshot import (
    RayServiceSnapshot,
    events_since_update,
    failure,
    has_scheduler_message,
    has_started,
    is_ready,
    is_scheduled,
    requests_gpu,
    scheduling_problem,
    volumes_mounted,
    waiting_containers,
)
from workloads.kubernetes.readiness.spec_difference import first_difference
from workloads.kubernetes.readiness.wait import RESUME_HINT, Failed, InProgress, State, Succeeded

REJECTED_REASONS = ("InvalidRayService", "InvalidRayCluster")
"""Prefixes of the reasons of KubeRay's validation events. KubeRay validates again only when the object changes."""
CONFIG_REJECTED_REASON = "FailedToUpdateServeApplications"
NOT_CREATED_REASONS = ("FailedToCreate", "AutoscalerServiceAccountNotFound")
"""Prefixes of the reasons of events about objects that KubeRay cannot create. KubeRay retries."""

VALIDATION_GRACE_S = 3
"""Times of the object and of the status are whole seconds, so a status about the spec before the last update can look
current."""
SPEC_NOT_APPLIED_GRACE_S = 15
"""KubeRay updates a RayCluster in the same reconciliation in which it marks the change as observed."""
NOT_CREATED_GRACE_S = 60
CONFIG_REJECTED_GRACE_S = 60
"""Ray's dashboard answers some seconds after the head is ready."""
NOT_DEPLOYED_GRACE_S = {"DEPLOY_FAILED": 20, "UNHEALTHY": 90}
"""Application status -> seconds tolerated. KubeRay reads Serve's status before it submits the configuration, so the
first status after a correction is an old one."""
WAITING_REASON_GRACE_S = {
    "InvalidImageName": 5,
    "ErrImagePull": 120,
    "ImagePullBackOff": 120,
    "CreateContainerConfigError": 120,
    "CreateContainerError": 120,
    "RunContainerError": 120,
    "ErrImageNeverPull": 5,
    "ImageInspectError": 120,
    "RegistryUnavailable": 240,
    "SignatureValidationFailed": 120,
    "PostStartHookError": 120,
    "CrashLoopBackOff": 240,
}
"""Waiting reason of a container -> seconds tolerated before the rollout counts as failed."""
POD_FAILED_GRACE_S = 120
"""KubeRay replaces a pod of phase Failed in seconds, and the next one may start."""
NOT_MOUNTED_GRACE_S = 300
"""A new node registers its CSI drivers some minutes after its first pod."""
NO_SCALE_UP_GRACE_S = 600
"""GKE's cluster autoscaler tries again after up to 30 minutes; quota that is missing after two attempts stays so."""
QUOTA_WORDS = ("quota exceeded", "QUOTA_EXCEEDED")
"""In events FailedScaleUp (GKE, "View cluster autoscaler events"). Without them GPUs are out of stock, and may come."""

IMAGE_REMEDY = "Check that the release's image exists and that the node service account may read it"
WAITING_REASON_REMEDY = {
    "InvalidImageName": IMAGE_REMEDY,
    "ErrImagePull": IMAGE_REMEDY,
    "ImagePullBackOff": IMAGE_REMEDY,
    "ErrImageNeverPull": IMAGE_REMEDY,
    "ImageInspectError": IMAGE_REMEDY,
    "RegistryUnavailable": IMAGE_REMEDY,
    "SignatureValidationFailed": IMAGE_REMEDY,
    "CreateContainerConfigError": "Check that the Secret or ConfigMap that it names exists",
    "CrashLoopBackOff": "Read the container's log",
}


def evaluate(
    service: Object,
    clusters: Sequence[Object],
    pods: Sequence[Object],
    events: Sequence[Object],
    has_serve_service: bool,
) -> State:
    """Return the state of a RayService, from its RayClusters and pods and the namespace's events.

    `has_serve_service`: whether the Service `<name>-serve-svc` exists. There are ten cases; the first that applies, in
    this order, decides:

    1. KubeRay rejected the spec: Failed.
    2. KubeRay has not observed the spec: Failed if it reports that Serve rejected the configuration, else InProgress.
    3. No upgrade is in progress, and the RayCluster differs from the spec: Failed.
    4. No upgrade is in progress, and the RayService serves: Succeeded, with the outputs `cluster` (name of the
       RayCluster) and `endpoints` (number of pods that serve).
    5. The RayCluster, its head or a worker does not exist: Failed if KubeRay reports why, else InProgress.
    6. A pod has no node: Failed if the cluster autoscaler reports that quota is exceeded, else InProgress.
    7. A pod does not start: Failed if the kubelet ended it, cannot mount its volumes, or a container waits for a reason
       that does not pass by itself, else InProgress.
    8. Serve rejected the configuration: Failed.
    9. An application does not run: Failed if Serve reports a failure, else InProgress.
    10. All applications run and KubeRay switches traffic to them: InProgress.

    Every Failed state has a grace period, because it may describe the spec before the last update.
    """
    current_events = events_since_update(service, clusters, pods, events)
    snapshot = RayServiceSnapshot(service, clusters, pods, current_events, has_serve_service)
    return (
        _spec_rejected(snapshot)
        or _spec_not_observed(snapshot)
        or _spec_not_applied(snapshot)
        or _ready(snapshot)
        or _pods_not_created(snapshot)
        or _pods_not_scheduled(snapshot)
        or _pods_not_started(snapshot)
        or _serve_config_rejected(snapshot)
        or _applications_not_running(snapshot)
        or _traffic_not_switched(snapshot)
    )


def _spec_rejected(snapshot: RayServiceSnapshot) -> Failed | None:
    reason = _rejection(snapshot)
    if reason is None:
        return None
    effect = (
        f"RayCluster {snapshot.active} keeps running unchanged" if snapshot.active else "KubeRay created no RayCluster"
    )
    return Failed(
        f"KubeRay rejects the spec: {reason}",
        f"KubeRay rejects RayService {snapshot.name}: {_one_line(reason)}. {effect}. Correct the settings, then run "
        "`pulumi up` again.",
        VALIDATION_GRACE_S,
    )


def _rejection(snapshot: RayServiceSnapshot) -> str | None:
    """Return why KubeRay rejects the spec, from the condition (since KubeRay 1.6) or else from the first event."""
    ready = snapshot.ready_condition
    # KubeRay keeps the condition after a correction until it observes the new spec, so compare the times as well.
    if (
        ready.get("reason") == "ValidationFailed"
        and not snapshot.spec_observed
        and snapshot.ready_condition_is_current
        and ready.get("message")
    ):
        return ready["message"]
    for event in snapshot.events:
        involved = event["involvedObject"]
        is_about_spec = involved["kind"] == "RayService" and not snapshot.spec_observed
        if event["reason"].startswith(REJECTED_REASONS) and (is_about_spec or involved["name"] == snapshot.target):
            return event["message"].removeprefix(f"{snapshot.namespace}/{involved['name']}: ")
    return None


def _spec_not_observed(snapshot: RayServiceSnapshot) -> State | None:
    if snapshot.spec_observed:
        return None
    return _serve_config_rejected(snapshot) or InProgress(
        "KubeRay has not observed the spec yet", "Check that KubeRay's operator runs (GKE's Ray Operator add-on)."
    )


def _spec_not_applied(snapshot: RayServiceSnapshot) -> Failed | None:
    """KubeRay has observed the change and left the RayCluster as it was."""
    if snapshot.pending or snapshot.ray_cluster is None:
        return None
    declared, actual = snapshot.spec["rayClusterConfig"], snapshot.ray_cluster["spec"]
    difference = first_difference(_without_scaling(declared), _without_scaling(actual))
    if difference is None:
        return None
    name, target = snapshot.name, snapshot.target
    return Failed(
        f"RayCluster {target} differs from the spec: {difference}",
        f"RayCluster {target} differs from RayService {name} ({difference}). KubeRay does not apply this change to a "
        f"running RayCluster. Set `traffic: drained` for the region, delete the RayService (`kubectl -n "
        f"{snapshot.namespace} delete rayservice {name}`), then run `pulumi up --refresh` to create it again.",
        SPEC_NOT_APPLIED_GRACE_S,
    )


def _ready(snapshot: RayServiceSnapshot) -> Succeeded | None:
    if snapshot.pending or not snapshot.serves or not snapshot.has_serve_service:
        return None
    applications = ", ".join(sorted(snapshot.applications))
    return Succeeded(
        f"Ready: RayCluster {snapshot.active}, {snapshot.endpoints} serving pod(s), {applications}",
        {"cluster": snapshot.active, "endpoints": snapshot.endpoints},
    )


def _pods_not_created(snapshot: RayServiceSnapshot) -> State | None:
    reasons: tuple[str, ...]
    if snapshot.ray_cluster is None:
        missing, reasons = "the RayCluster", ("RayCluster",)
    elif not snapshot.heads:
        missing, reasons = "the head pod", ("HeadPod", "Role", "Service", "AutoscalerServiceAccountNotFound")
    elif len(snapshot.workers) < snapshot.desired_workers:
        missing, reasons = f"{snapshot.desired_workers - len(snapshot.workers)} worker pod(s)", ("WorkerPod",)
    else:
        return None
    suffix = snapshot.upgrade_suffix
    for event in reversed(snapshot.events):
        if event["reason"].startswith(NOT_CREATED_REASONS) and any(part in event["reason"] for part in reasons):
            message = _one_line(event["message"])
            return Failed(
                f"KubeRay cannot create {missing}{suffix}: {message}",
                f"KubeRay cannot create {missing} of RayService {snapshot.name}{suffix}: {message}. Correct this; "
                f"KubeRay then retries by itself. {RESUME_HINT}",
                NOT_CREATED_GRACE_S,
            )
    return InProgress(f"KubeRay is creating {missing}{suffix}")


def _pods_not_scheduled(snapshot: RayServiceSnapshot) -> State | None:
    for kind, pods, desired in (
        ("head", snapshot.heads, len(snapshot.heads)),
        ("workers", snapshot.workers, max(len(snapshot.workers), snapshot.desired_workers)),
    ):
        unscheduled = [pod for pod in pods if not is_scheduled(pod)]
        if unscheduled:
            for pod in unscheduled:
                event = snapshot.last_event(pod, "FailedScaleUp")
                if event and any(words in event.get("message", "") for words in QUOTA_WORDS):
                    return _no_quota(snapshot, kind, pod, event)
            count = f"{len(pods) - len(unscheduled)} of {desired} {kind} scheduled"
            return _waiting_for_nodes(snapshot, count, unscheduled)
    return None


def _no_quota(snapshot: RayServiceSnapshot, kind: str, pod: Object, event: Object) -> Failed:
    name, message, suffix = pod["metadata"]["name"], _one_line(event["message"]), snapshot.upgrade_suffix
    return Failed(
        f"GKE adds no node for the {kind}{suffix}: {message}",
        f"GKE adds no node for pod {name} of RayService {snapshot.name}{suffix}: {message}. Raise the project's quota, "
        f"which `make preflight` names, or lower the number of nodes. {RESUME_HINT}",
        NO_SCALE_UP_GRACE_S,
    )


def _waiting_for_nodes(snapshot: RayServiceSnapshot, count: str, unscheduled: Sequence[Object]) -> InProgress:
    pod = next((pod for pod in unscheduled if has_scheduler_message(pod)), unscheduled[0])
    resource = "GPUs" if any(requests_gpu(pod) for pod in unscheduled) else "a node"
    problem = f"pod {pod['metadata']['name']}: {scheduling_problem(pod)}"
    text = f"waiting for {resource}: {count} ({problem}){snapshot.upgrade_suffix}"
    if not snapshot.upgrade_suffix:
        return InProgress(
            text, f"Add nodes to the pool: check its bounds, its reservation and the project's quota. {RESUME_HINT}"
        )
    return InProgress(
        text,
        f"The new RayCluster {snapshot.pending} does not fit beside {snapshot.active}, and KubeRay neither stops the "
        "upgrade nor rolls it back. Add the missing nodes to the pool, or drain the region and delete the RayService. "
        "Do not revert the edit: KubeRay then creates a third RayCluster, which needs as many nodes again.",
    )


def _pods_not_started(snapshot: RayServiceSnapshot) -> State | None:
    heads, workers = snapshot.heads, snapshot.workers
    for kind, pods in (("head", heads), ("worker", workers)):
        for pod in pods:
            if ended := _pod_ended(snapshot, kind, pod):
                return ended
            for waiting in waiting_containers(pod):
                if waiting.get("reason") in WAITING_REASON_GRACE_S:
                    return _container_stuck(snapshot, kind, pod, waiting)
    pods = [*heads, *workers]
    not_ready = [pod for pod in pods if not is_ready(pod)]
    if not not_ready or (snapshot.applications and is_ready(heads[0])):
        return None  # workers become ready with Serve's applications, whose status says more
    not_started = [pod for pod in not_ready if not has_started(pod)]
    if not_started:
        step = "pulling images and mounting volumes"
    elif any(not is_ready(pod) for pod in heads):
        step = "starting Ray on the head"
    else:
        return None
    name = (not_started or not_ready)[0]["metadata"]["name"]
    ready = f"{len(pods) - len(not_ready)} of {len(pods)} pods ready"
    return InProgress(f"{step}: {ready} (pod {name}){snapshot.upgrade_suffix}", RESUME_HINT)


def _pod_ended(snapshot: RayServiceSnapshot, kind: str, pod: Object) -> Failed | None:
    """The kubelet ended the pod, or cannot mount its volumes."""
    event = None if volumes_mounted(pod) else snapshot.last_event(pod, "FailedMount", "FailedAttachVolume")
    if reason := failure(pod):
        problem, grace_s = reason, POD_FAILED_GRACE_S
        remedy = "KubeRay creates it again, which does not help until this is corrected"
    elif event is not None:
        problem, grace_s = f"{event['reason']}: {event.get('message', '')}", NOT_MOUNTED_GRACE_S
        remedy = "Check that the Secret, ConfigMap, claim or bucket that it names exists and that the pod may read it"
    else:
        return None
    name, namespace, suffix = pod["metadata"]["name"], snapshot.namespace, snapshot.upgrade_suffix
    return Failed(
        f"{kind} pod {name} does not start ({_one_line(problem)}){suffix}",
        f"The {kind} pod {name} of RayService {snapshot.name} does not start{suffix}: {_one_line(problem)}. {remedy} "
        f"(`kubectl -n {namespace} describe pod {name}`). {RESUME_HINT}",
        grace_s,
    )


def _container_stuck(snapshot: RayServiceSnapshot, kind: str, pod: Object, waiting: Object) -> Failed:
    name, reason = pod["metadata"]["name"], waiting["reason"]
    problem = f"{reason}: {_one_line(waiting.get('message', ''))}".rstrip(": ")
    remedy = WAITING_REASON_REMEDY.get(reason, "Read the pod's events")
    namespace, suffix = snapshot.namespace, snapshot.upgrade_suffix
    return Failed(
        f"{kind} pod {name} does not start ({problem}){suffix}",
        f"The {kind} pod {name} of RayService {snapshot.name} does not start{suffix}: {problem}. {remedy} "
        f"(`kubectl -n {namespace} describe pod {name}`, `kubectl -n {namespace} logs {name}`). {RESUME_HINT}",
        WAITING_REASON_GRACE_S[reason],
    )


def _serve_config_rejected(snapshot: RayServiceSnapshot) -> Failed | None:
    """KubeRay or Serve rejects the Serve configuration. KubeRay leaves its status unchanged then."""
    if snapshot.spec_observed and snapshot.applications:
        return None
    for event in reversed(snapshot.events):
        if event["reason"] == CONFIG_REJECTED_REASON:
            message, suffix = _one_line(event["message"]), snapshot.upgrade_suffix
            return Failed(
                f"Serve rejects the configuration{suffix}: {message}",
                f"Serve rejects the configuration of RayService {snapshot.name}{suffix}: {message}. Correct the "
                "settings, then run `pulumi up` again.",
                CONFIG_REJECTED_GRACE_S,
            )
    return None


def _applications_not_running(snapshot: RayServiceSnapshot) -> State | None:
    suffix = snapshot.upgrade_suffix
    for name, application in snapshot.applications.items():
        if application.get("status", "") in NOT_DEPLOYED_GRACE_S:
            return _application_failed(snapshot, name, application)
    if not snapshot.applications or any(name not in snapshot.applications for name in snapshot.declared_applications):
        return InProgress(f"Serve has not started the applications{suffix}", RESUME_HINT)
    if snapshot.applications_running:
        return None
    statuses = [f"{name} {_describe(application)}" for name, application in snapshot.applications.items()]
    return InProgress(f"Serve: {', '.join(statuses)}{suffix}", f"Loading weights can take long. {RESUME_HINT}")


def _application_failed(snapshot: RayServiceSnapshot, name: str, application: Object) -> Failed:
    status, suffix = application["status"], snapshot.upgrade_suffix
    messages = "\n".join(_last_lines(application)) or "(no message)"
    return Failed(
        f"application {name} is {status}{suffix}",
        f"The Serve application {name} of RayService {snapshot.name} is {status}{suffix}. Messages of Serve:\n"
        f"{messages}\nCorrect the settings, then run `pulumi up` again. All logs: kubectl -n {snapshot.namespace} logs "
        f"-l {RAY_CLUSTER_LABEL}={snapshot.target} --all-containers",
        NOT_DEPLOYED_GRACE_S[status],
    )


def _traffic_not_switched(snapshot: RayServiceSnapshot) -> InProgress:
    service = f"{snapshot.name}{SERVE_SERVICE_SUFFIX}"
    if snapshot.pending:
        return InProgress(
            f"Serve runs in RayCluster {snapshot.pending}; KubeRay is switching traffic to it", RESUME_HINT
        )
    if not snapshot.has_serve_service:
        return InProgress(f"Serve runs; KubeRay has not created Service {service} yet", RESUME_HINT)
    selector = f"{RAY_CLUSTER_LABEL}={snapshot.target}"
    return InProgress(
        f"Serve runs; {snapshot.endpoints} pod(s) serve behind {service}",
        f"Find out why no more do: `kubectl -n {snapshot.namespace} describe pods -l {selector}`.",
    )


def _without_scaling(cluster: Object) -> Object:
    """Return a RayCluster's spec without the fields that Ray's autoscaler and Kueue write."""
    written_by_autoscaler = {"replicas", "scaleStrategy"}
    groups = [
        {key: value for key, value in group.items() if key not in written_by_autoscaler}
        for group in cluster.get("workerGroupSpecs", [])
    ]
    return {**{key: value for key, value in cluster.items() if key != "suspend"}, "workerGroupSpecs": groups}


def _describe(application: Object) -> str:
    deployments = application.get("serveDeploymentStatuses", {})
    parts = [f"{name} {deployment.get('status', '?')}" for name, deployment in deployments.items()]
    suffix = f" ({', '.join(parts)})" if parts else ""
    return f"{application.get('status', 'NOT_STARTED')}{suffix}"


def _last_lines(application: Object) -> Iterator[str]:
    """Yield the last eight lines of each message: a traceback ends with its cause."""
    for status in (application, *application.get("serveDeploymentStatuses", {}).values()):
        lines = [line for line in status.get("message", "").splitlines() if line.strip()]
        yield from lines[-8:]


def _one_line(text: str) -> str:
    return " ".join(text.split())[:600].rstrip(".")
