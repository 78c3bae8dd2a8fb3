"""Read a resource's inputs; a value that a preview does not know yet is skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy.proxy import UnknownValueError

UNKNOWN = "(not known before it is made)"


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


def require(path: str, right: Any, sentence: str) -> Callable[[Mapping[str, Any]], Iterator[str]]:
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
