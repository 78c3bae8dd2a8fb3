"""What a RayService, its RayClusters, pods and events say together: ready, not yet, or never. No request is made here.

KubeRay 1.6's own words are not enough. `Ready` means that somebody serves: in an upgrade that is the old RayCluster.
A RayService that KubeRay refuses is accepted by the API server all the same. And a change of worker bounds alone is
taken note of, and nothing else happens (ray-operator/controllers/ray/rayservice_controller.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from workloads.kubernetes.kube_api import Object, condition, last_seen
from workloads.kubernetes.readiness.wait import Failed, InProgress, State, Succeeded

GPU = "nvidia.com/gpu"
RAY_SERVICE_LABEL = "ray.io/originated-from-cr-name"
"""Label on the RayClusters of a RayService."""
RAY_CLUSTER_LABEL = "ray.io/cluster"
"""Label on the pods of a RayCluster."""

REFUSED = ("InvalidRayService", "InvalidRayCluster")
"""How the reasons of KubeRay's refusals begin. It looks again only when the object changes."""
NOT_SUBMITTED = "FailedToUpdateServeApplications"
NOT_CREATED = ("FailedToCreate", "AutoscalerServiceAccountNotFound")
"""It tries again and again."""
NOISE = ("FailedScheduling", "Unhealthy", "NotTriggerScaleUp")
"""Of pods that start: progress says as much, in fewer words."""

VALIDATION_GRACE_S = 3
"""The object and the answer carry times of whole seconds: an answer to what was written just before looks the same."""
SPEC_NOT_APPLIED_GRACE_S = 15
"""KubeRay updates a RayCluster in the same round in which it says that it has seen the change."""
NOT_CREATED_GRACE_S = 60
NOT_SUBMITTED_GRACE_S = 60
"""The dashboard answers some seconds after the head is ready."""
NOT_DEPLOYED_GRACE_S = {"DEPLOY_FAILED": 20, "UNHEALTHY": 90}
"""KubeRay asks Serve before it submits: what it says first after a correction is still of before."""

WAITING_REASON_GRACE_S = {
    "InvalidImageName": 5,
    "ErrImagePull": 120,
    "ImagePullBackOff": 120,
    "CreateContainerConfigError": 120,
    "CreateContainerError": 120,
    "RunContainerError": 120,
    "CrashLoopBackOff": 240,
}
"""A container's reason to wait that starting does not mend -> how long it may be a hiccup."""
IMAGE = "See that the release's image is there and that the node account may read it"
WAITING_REASON_REMEDY = {
    "InvalidImageName": IMAGE,
    "ErrImagePull": IMAGE,
    "ImagePullBackOff": IMAGE,
    "CreateContainerConfigError": "See that the Secret or ConfigMap is there that it names",
    "CrashLoopBackOff": "See what its log says",
}

RESUME_HINT = "`pulumi up` goes on waiting where this ended."


def evaluate(
    service: Object, clusters: Sequence[Object], pods: Sequence[Object], events: Sequence[Object], has_service: bool
) -> State:
    """Of a RayService, its RayClusters and pods, the namespace's events, and whether `<name>-serve-svc` exists."""
    facts = RayServiceSnapshot(service, clusters, pods, events_since_update(service, clusters, pods, events))
    if refused := facts.spec_rejected():
        return refused
    if not facts.seen:
        return facts.not_submitted() or InProgress(
            "KubeRay has not taken it up yet", "See whether KubeRay's operator runs (the Ray Operator add-on)."
        )
    wrong = None if facts.pending else facts.spec_not_applied()
    if facts.serving and not facts.pending and has_service and not wrong:
        return Succeeded(f"Ready: {facts.running}", {"cluster": facts.active, "endpoints": facts.endpoints})
    return (
        wrong
        or facts.not_created()
        or facts.not_scheduled()
        or facts.not_started()
        or facts.not_submitted()
        or facts.not_deployed()
        or facts.switching(has_service)
    )


def last_spec_update(service: Object) -> str:
    """When somebody last wrote anything but the status (RFC 3339)."""
    metadata = service["metadata"]
    times = [
        field["time"] for field in metadata.get("managedFields", []) if not field.get("subresource") and "time" in field
    ]
    return max(times, default=metadata.get("creationTimestamp", ""))


def events_since_update(
    service: Object, clusters: Sequence[Object], pods: Sequence[Object], events: Iterable[Object]
) -> list[Object]:
    """Warnings about these since the RayService was last written, oldest first."""
    names = {("RayService", service["metadata"]["name"])}
    names |= {("RayCluster", cluster["metadata"]["name"]) for cluster in clusters}
    names |= {("Pod", pod["metadata"]["name"]) for pod in pods}
    since = last_spec_update(service)
    found = [
        event
        for event in events
        if event.get("type") == "Warning"
        and event.get("reason") not in NOISE
        and (event["involvedObject"].get("kind"), event["involvedObject"].get("name")) in names
        and last_seen(event) >= since
    ]
    return sorted(found, key=last_seen)


def difference(asked: Any, there: Any, where: str = "") -> str | None:
    """The first thing that is asked for and not there, as `where: X, not Y`. What is there besides is nobody's
    business: defaults and admission add things."""
    if isinstance(asked, Mapping) and isinstance(there, Mapping):
        deeper = ((asked[key], there.get(key), f"{where}.{key}".lstrip(".")) for key in asked)
    elif isinstance(asked, list) and isinstance(there, list):
        deeper = ((each, *found) for each, found in zip(asked, _partners(asked, there, where), strict=True))
    else:
        return None if asked == there else f"{where}: {there}, not {asked}"
    return next((text for text in (difference(*each) for each in deeper) if text), None)


class RayServiceSnapshot:
    """One look at everything."""

    def __init__(
        self, service: Object, clusters: Sequence[Object], pods: Sequence[Object], events: Sequence[Object]
    ) -> None:
        self.name = service["metadata"]["name"]
        self.namespace = service["metadata"]["namespace"]
        self.spec = service["spec"]
        self.events = events
        status = service.get("status", {})
        self.conditions = status.get("conditions", [])
        self.generation = service["metadata"].get("generation", 0)
        self.seen = status.get("observedGeneration", 0) >= self.generation
        self.last_update = status.get("lastUpdateTime", "")
        self.written = last_spec_update(service)
        self.endpoints = int(status.get("numServeEndpoints", 0))
        active, pending = status.get("activeServiceStatus", {}), status.get("pendingServiceStatus", {})
        self.active: str = active.get("rayClusterName", "")
        self.pending: str = pending.get("rayClusterName", "")
        self.target = self.pending or self.active
        side = pending if self.pending else active
        self.applications: Mapping[str, Object] = side.get("applicationStatuses") or {}
        self.wanted_workers = int(side.get("rayClusterStatus", {}).get("desiredWorkerReplicas", 0))
        self.cluster = next((each for each in clusters if each["metadata"]["name"] == self.target), None)
        ours = [each for each in pods if each["metadata"].get("labels", {}).get(RAY_CLUSTER_LABEL) == self.target]
        self.heads = [pod for pod in ours if _is_head(pod)]
        self.workers = [pod for pod in ours if not _is_head(pod)]

    @property
    def serving(self) -> bool:
        return (
            condition(self.conditions, "Ready").get("status") == "True"
            and self.endpoints >= 1
            and bool(self.applications)
            and all(state.get("status") == "RUNNING" for state in self.applications.values())
            and all(name in self.applications for name in _wanted_applications(self.spec))
        )

    @property
    def running(self) -> str:
        return f"RayCluster {self.active}, {self.endpoints} serving pod(s), {', '.join(sorted(self.applications))}"

    @property
    def upgrade_suffix(self) -> str:
        """What goes on meanwhile."""
        return f"; RayCluster {self.active} keeps serving" if self.active and self.pending else ""

    def spec_rejected(self) -> Failed | None:
        ready = condition(self.conditions, "Ready")
        said = None
        # The condition outlives a correction: it is of this object only if it is younger than the object.
        if ready.get("reason") == "ValidationFailed" and not self.seen and self.last_update >= self.written:
            said = ready.get("message")
        for event in self.events:
            about = event["involvedObject"]
            of_us = about["kind"] == "RayService" and not self.seen
            if event["reason"].startswith(REFUSED) and (of_us or about["name"] == self.target):
                said = said or event["message"].removeprefix(f"{self.namespace}/{about['name']}: ")
        if said is None:
            return None
        runs = f"RayCluster {self.active} runs on as it was" if self.active else "Nothing was made"
        return Failed(
            f"KubeRay refuses it: {said}",
            f"KubeRay refuses RayService {self.name}: {_line(said)}. {runs}; correct the settings and run `pulumi up` "
            "again.",
            VALIDATION_GRACE_S,
        )

    def spec_not_applied(self) -> Failed | None:
        """KubeRay has seen the change and left the RayCluster as it was."""
        if self.cluster is None:
            return None
        told = difference(_comparable(self.spec["rayClusterConfig"]), _comparable(self.cluster["spec"]))
        if told is None:
            return None
        return Failed(
            f"RayCluster {self.target} is not what is asked for: {told}",
            f"RayCluster {self.target} is not what RayService {self.name} asks for ({told}), and KubeRay lets it be: "
            "it does not apply such a change to a RayCluster that runs. Drain the region (`traffic: drained`) and "
            f"delete the RayService (`kubectl -n {self.namespace} delete rayservice {self.name}`); the next "
            "`pulumi up --refresh` makes it new.",
            SPEC_NOT_APPLIED_GRACE_S,
        )

    def not_created(self) -> State | None:
        missing: tuple[str, ...]
        if self.cluster is None:
            what, missing = "the RayCluster", ("RayCluster",)
        elif not self.heads:
            what, missing = "the head's pod", ("HeadPod", "Role", "Service", "AutoscalerServiceAccountNotFound")
        elif len(self.workers) < self.wanted_workers:
            what, missing = f"{self.wanted_workers - len(self.workers)} worker pod(s)", ("WorkerPod",)
        else:
            return None
        for event in reversed(self.events):
            if event["reason"].startswith(NOT_CREATED) and any(part in event["reason"] for part in missing):
                return Failed(
                    f"KubeRay cannot make {what}{self.upgrade_suffix}: {_line(event['message'])}",
                    f"KubeRay cannot make {what} of RayService {self.name}{self.upgrade_suffix}: "
                    f"{_line(event['message'])}. "
                    f"Put right what it names; KubeRay tries again by itself. {RESUME_HINT}",
                    NOT_CREATED_GRACE_S,
                )
        return InProgress(f"KubeRay is making {what}{self.upgrade_suffix}")

    def not_scheduled(self) -> InProgress | None:
        for kind, pods in (("head", self.heads), ("workers", self.workers)):
            waiting = [pod for pod in pods if _scheduled(pod).get("status") != "True"]
            if waiting:
                return self._waiting_for_nodes(kind, pods, waiting)
        return None

    def _waiting_for_nodes(self, kind: str, pods: Sequence[Object], waiting: Sequence[Object]) -> InProgress:
        told = next((pod for pod in waiting if _scheduled(pod).get("message")), waiting[0])
        what = "GPUs" if any(_wants_gpu(pod) for pod in waiting) else "a node"
        wanted = max(len(pods), self.wanted_workers if kind == "workers" else 0)
        count = f"{len(pods) - len(waiting)} of {wanted} {kind} scheduled"
        text = f"waiting for {what}: {count} (pod {told['metadata']['name']}: {_why_not(told)}){self.upgrade_suffix}"
        remedy = (
            f"The new RayCluster {self.pending} does not fit beside {self.active}, and KubeRay neither gives up nor "
            "goes back: give the pool the nodes that it lacks, or drain the region and delete the RayService. Taking "
            "the edit back does not help: that makes a third RayCluster, which needs as many nodes again."
            if self.upgrade_suffix
            else f"Give the pool nodes: see its bounds, its reservation and the project's quota. {RESUME_HINT}"
        )
        return InProgress(text, remedy)

    def not_started(self) -> State | None:
        for kind, pods in (("head", self.heads), ("worker", self.workers)):
            for pod in pods:
                for state in _waiting_containers(pod):
                    if state.get("reason") in WAITING_REASON_GRACE_S:
                        return self._stuck(kind, pod, state)
        behind = [pod for pod in (*self.heads, *self.workers) if not _ready(pod)]
        if not behind or (self.applications and _ready(self.heads[0])):
            return None  # a worker's readiness is Serve's: the applications say more
        count = len(self.heads) + len(self.workers)
        creating = [pod for pod in behind if not _begun(pod)]
        if creating:
            doing = "pulling images and mounting volumes"
        elif any(not _ready(pod) for pod in self.heads):
            doing = "starting Ray on the head"
        else:
            return None
        name = (creating or behind)[0]["metadata"]["name"]
        return InProgress(
            f"{doing}: {count - len(behind)} of {count} pods ready (pod {name}){self.upgrade_suffix}", RESUME_HINT
        )

    def _stuck(self, kind: str, pod: Object, state: Object) -> Failed:
        name, reason = pod["metadata"]["name"], state["reason"]
        said = f"{reason}: {_line(state.get('message', ''))}".rstrip(": ")
        remedy = WAITING_REASON_REMEDY.get(reason, "See what its events say")
        return Failed(
            f"{kind} pod {name} does not start ({said}){self.upgrade_suffix}",
            f"The {kind} pod {name} of RayService {self.name} does not start{self.upgrade_suffix}: {said}. {remedy} "
            f"(`kubectl -n {self.namespace} describe pod {name}`, `kubectl -n {self.namespace} logs {name}`). "
            f"{RESUME_HINT}",
            WAITING_REASON_GRACE_S[reason],
        )

    def not_submitted(self) -> Failed | None:
        """Serve, or KubeRay before it, does not take the configuration. KubeRay then leaves its status as it was."""
        if self.seen and self.applications:
            return None
        for event in reversed(self.events):
            if event["reason"] == NOT_SUBMITTED:
                said = _line(event["message"])
                return Failed(
                    f"Serve does not take the configuration{self.upgrade_suffix}: {said}",
                    f"The Serve configuration of RayService {self.name} was not taken{self.upgrade_suffix}: {said}. "
                    "Correct "
                    "the settings and run `pulumi up` again.",
                    NOT_SUBMITTED_GRACE_S,
                )
        return None

    def not_deployed(self) -> State | None:
        for name, state in self.applications.items():
            limit = NOT_DEPLOYED_GRACE_S.get(state.get("status", ""))
            if limit is not None:
                said = "\n".join(_messages(state)) or "(nothing)"
                return Failed(
                    f"application {name} is {state['status']}{self.upgrade_suffix}",
                    f"The Serve application {name} of RayService {self.name} is {state['status']}{self.upgrade_suffix}."
                    f" Serve says:\n{said}\nCorrect the settings and run `pulumi up` again. All logs: "
                    f"kubectl -n {self.namespace} logs -l {RAY_CLUSTER_LABEL}={self.target} --all-containers",
                    limit,
                )
        missing = [name for name in _wanted_applications(self.spec) if name not in self.applications]
        if missing or not self.applications:
            return InProgress(f"Serve has not begun{self.upgrade_suffix}", RESUME_HINT)
        states = [f"{name} {_described(state)}" for name, state in self.applications.items()]
        if all(state.get("status") == "RUNNING" for state in self.applications.values()):
            return None
        return InProgress(
            f"Serve: {', '.join(states)}{self.upgrade_suffix}", f"Loading weights can take long. {RESUME_HINT}"
        )

    def switching(self, has_service: bool) -> InProgress:
        if self.pending:
            return InProgress(f"Serve runs in RayCluster {self.pending}; KubeRay is switching to it", RESUME_HINT)
        if not has_service:
            return InProgress(f"Serve runs; KubeRay has not made Service {self.name}-serve-svc yet", RESUME_HINT)
        return InProgress(
            f"Serve runs; {self.endpoints} pod(s) answer behind {self.name}-serve-svc",
            f"See why no more are: `kubectl -n {self.namespace} describe pods -l {RAY_CLUSTER_LABEL}={self.target}`.",
        )


def _comparable(cluster: Object) -> Object:
    """Without what Ray's autoscaler and Kueue write."""
    changing = {"replicas", "scaleStrategy"}
    groups = [
        {key: value for key, value in group.items() if key not in changing}
        for group in cluster.get("workerGroupSpecs", [])
    ]
    return {**{k: v for k, v in cluster.items() if k != "suspend"}, "workerGroupSpecs": groups}


def _partners(asked: Sequence[Any], there: Sequence[Any], where: str) -> Iterator[tuple[Any, str]]:
    """For each of `asked` the one with the same name in `there`, else the one at its place."""
    for place, each in enumerate(asked):
        for key in ("groupName", "name", "key") if isinstance(each, Mapping) else ():
            if key in each:
                same = (one for one in there if isinstance(one, Mapping) and one.get(key) == each[key])
                yield next(same, None), f"{where}[{each[key]}]"
                break
        else:
            yield there[place] if place < len(there) else None, f"{where}[{place}]"


def _wanted_applications(spec: Object) -> list[str]:
    try:
        return [each.get("name", "default") for each in yaml.safe_load(spec.get("serveConfigV2", ""))["applications"]]
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return []


def _described(state: Object) -> str:
    parts = [f"{name} {one.get('status', '?')}" for name, one in state.get("serveDeploymentStatuses", {}).items()]
    suffix = f" ({', '.join(parts)})" if parts else ""
    return f"{state.get('status', 'NOT_STARTED')}{suffix}"


def _messages(state: Object) -> Iterator[str]:
    """The last lines of each message: tracebacks end with what matters."""
    for said in (state, *state.get("serveDeploymentStatuses", {}).values()):
        lines = [line for line in said.get("message", "").splitlines() if line.strip()]
        yield from lines[-8:]


def _line(text: str) -> str:
    return " ".join(text.split())[:600].rstrip(".")


def _is_head(pod: Object) -> bool:
    return pod["metadata"].get("labels", {}).get("ray.io/node-type") == "head"


def _scheduled(pod: Object) -> Object:
    return condition(pod.get("status", {}).get("conditions", []), "PodScheduled")


def _ready(pod: Object) -> bool:
    return condition(pod.get("status", {}).get("conditions", []), "Ready").get("status") == "True"


def _begun(pod: Object) -> bool:
    """Whether one of its containers runs or ran, or an init container runs (KubeRay's waits for the head)."""
    status = pod.get("status", {})
    main = [each.get("state", {}) for each in status.get("containerStatuses", [])]
    first = [each.get("state", {}) for each in status.get("initContainerStatuses", [])]
    return any("waiting" not in state for state in main) or any("running" in state for state in first)


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _waiting_containers(pod: Object) -> Iterator[Object]:
    for each in _statuses(pod):
        waiting = each.get("state", {}).get("waiting")
        if waiting:
            ended = each.get("lastState", {}).get("terminated", {})
            last = f"it ended before with code {ended.get('exitCode')} ({ended.get('reason')})" if ended else ""
            yield {**waiting, "message": "; ".join(part for part in (last, waiting.get("message", "")) if part)}


def _wants_gpu(pod: Object) -> bool:
    containers = pod["spec"].get("containers", [])
    return any(GPU in each.get("resources", {}).get("limits", {}) for each in containers)


def _why_not(pod: Object) -> str:
    """`Insufficient nvidia.com/gpu` out of the scheduler's sentence, or the sentence's beginning."""
    message = " ".join(_scheduled(pod).get("message", "").split())
    short = sorted(set(re.findall(r"Insufficient [\w./-]*\w", message)))
    return ", ".join(short) or message.split(" preemption:")[0][:240] or "the scheduler has not looked at it yet"
