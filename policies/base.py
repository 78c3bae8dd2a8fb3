"""What a policy of this pack is, and how it reads inputs: an unknown of a preview is skipped, not tripped over.

Policies are plain functions of plain inputs. They repeat only what a resource made by hand, or an edit of the program,
could break: what settings refuse is not said twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pulumi_policy.proxy import UnknownValueError

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
BUCKET = "gcp:storage/bucket:Bucket"
REDIS = "gcp:redis/instance:Instance"
SERVICE = "kubernetes:core/v1:Service"
RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
RAY = (RAY_SERVICE, "kubernetes:ray.io/v1:RayCluster", "kubernetes:ray.io/v1:RayJob")
WITH_PODS = (
    *RAY,
    "kubernetes:core/v1:Pod",
    "kubernetes:apps/v1:Deployment",
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:apps/v1:DaemonSet",
    "kubernetes:apps/v1:ReplicaSet",
    "kubernetes:batch/v1:Job",
    "kubernetes:batch/v1:CronJob",
)
UNKNOWN = "(not known before it is made)"
PROTECT = "(protect)"
"""Beside a resource's inputs: whether Pulumi refuses to delete it."""

Severity = Literal["low", "medium", "high", "critical"]


@dataclass(frozen=True)
class Policy:
    """One rule for resources of `types`.

    `broken` gives one sentence, what is wrong and what to write, for each time that inputs break it; `risk` is what may
    happen then.
    """

    name: str
    severity: Severity
    risk: str
    types: Sequence[str]
    broken: Callable[[Mapping[str, Any]], Iterator[str]]


@dataclass(frozen=True)
class Resource:
    """One resource, among all those of a stack."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    urn: str = ""
    provider: str = ""
    """The provider's URN: of a Kubernetes object, which cluster it is in."""

    @property
    def namespace(self) -> Any:
        """Of a Kubernetes object."""
        return at(self.inputs, "metadata.namespace")

    @property
    def called(self) -> Any:
        """A Kubernetes object's name in its cluster."""
        return at(self.inputs, "metadata.name")

    def beside(self, other: Resource) -> bool:
        """In the same namespace of the same cluster."""
        return (self.provider, self.namespace) == (other.provider, other.namespace)


Finding = tuple[str, Resource | None]
"""A sentence, and the resource that it is about; None: the stack."""


@dataclass(frozen=True)
class StackPolicy:
    """One rule for what a stack has together. `types` are those that it looks at, `settings` what an environment may
    write for it in policies/<environment>.json: name -> JSON schema."""

    name: str
    severity: Severity
    risk: str
    types: Sequence[str]
    broken: Callable[[Sequence[Resource], Mapping[str, Any]], Iterator[Finding]]
    settings: Mapping[str, Mapping[str, Any]] | None = None
    advises: bool = False
    """It says something and never stops anything."""


def plain(value: Any) -> Any:
    """Inputs as plain data, `UNKNOWN` for what a preview does not know. Reading that through the proxy would turn the
    whole policy into a note."""
    if isinstance(value, Mapping):
        return {key: plain(_known(value, key)) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(_known(value, i)) for i in range(len(value))]
    return value


def at(inputs: Any, path: str) -> Any:
    """What is at `a.b.0`; None where nothing is, `UNKNOWN` where nothing is known."""
    for step in path.split("."):
        if inputs == UNKNOWN:
            return UNKNOWN
        if isinstance(inputs, list):
            inputs = inputs[int(step)] if int(step) < len(inputs) else None
        else:
            inputs = inputs.get(step) if isinstance(inputs, Mapping) else None
    return inputs


def each(inputs: Any, path: str) -> list[Any]:
    """The list at `a.b`; empty where there is none."""
    found = at(inputs, path)
    return found if isinstance(found, list) else []


def number(inputs: Any, path: str) -> float | None:
    """The number at `a.b`, also one that is written as text; None where there is none."""
    try:
        return float(at(inputs, path))
    except (TypeError, ValueError):
        return None


def must_be(path: str, right: Any, sentence: str) -> Callable[[Mapping[str, Any]], Iterator[str]]:
    """Broken where something else, or nothing, is at `path`."""

    def broken(inputs: Mapping[str, Any]) -> Iterator[str]:
        if at(inputs, path) not in (right, UNKNOWN):
            yield sentence

    return broken


def pods(inputs: Any, where: str = "the pod") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(head, a worker group's name or `the pod`, pod spec) of whatever makes pods, at any depth."""
    if isinstance(inputs, list):
        for one in inputs:
            yield from pods(one, where)
    elif isinstance(inputs, Mapping):
        here = str(inputs.get("groupName", where))
        if isinstance(inputs.get("containers"), list):
            yield here, inputs
            return
        for key, value in inputs.items():
            yield from pods(value, "head" if key == "headGroupSpec" else here)


def containers(inputs: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, container) of all that run in its pods, helpers too."""
    for where, pod in pods(inputs):
        for kind in ("initContainers", "containers"):
            yield from ((where, one) for one in each(pod, kind) if isinstance(one, Mapping))


def ray_cluster(inputs: Mapping[str, Any]) -> Any:
    """`spec` of the RayCluster in a RayService, a RayJob or a RayCluster."""
    return at(inputs, "spec.rayClusterConfig") or at(inputs, "spec.rayClusterSpec") or at(inputs, "spec")


def _known(inside: Any, key: Any) -> Any:
    try:
        return inside[key]
    except UnknownValueError:
        return UNKNOWN
