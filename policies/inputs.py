"""Read the inputs of a resource. A value that a preview does not know is `UNKNOWN` and never a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy.proxy import UnknownValueError

UNKNOWN = "(not known before the update)"
"""Placeholder for a value that Pulumi knows only after it creates another resource."""
HEAD_POD = "the head pod"
"""Name that `pods` gives the head pod of a RayCluster."""


def plain(value: Any) -> Any:
    """Copy inputs to plain dicts and lists, with `UNKNOWN` for each value that a preview does not know.

    Pulumi's proxy raises UnknownValueError when a policy reads such a value, and then reports the whole policy as an
    advisory note "can't run policy".
    """
    if isinstance(value, Mapping):
        return {key: plain(_read(value, key)) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(_read(value, i)) for i in range(len(value))]
    return value


def at(inputs: Any, path: str) -> Any:
    """Return the value at a path such as `a.b.0`: None if it is not set, `UNKNOWN` if the path leads into one."""
    for step in path.split("."):
        if inputs == UNKNOWN:
            return UNKNOWN
        if isinstance(inputs, list):
            inputs = inputs[int(step)] if int(step) < len(inputs) else None
        else:
            inputs = inputs.get(step) if isinstance(inputs, Mapping) else None
    return inputs


def each(inputs: Any, path: str) -> list[Any]:
    """Return the list at a path; an empty list if there is none."""
    value = at(inputs, path)
    return value if isinstance(value, list) else []


def number(inputs: Any, path: str) -> float | None:
    """Return the number at a path, also if it is written as text; None if there is no number."""
    try:
        return float(at(inputs, path))
    except (TypeError, ValueError):
        return None


def display(value: Any) -> str:
    """Return a value as text for a message. Pulumi passes every number as a float, so 8000.0 becomes 8000."""
    if value is None:
        return "not set"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def require(path: str, value: Any, message: str) -> Callable[[Mapping[str, Any]], Iterator[str]]:
    """Return a check that yields `message` unless the inputs have `value` at `path`."""

    def violations(inputs: Mapping[str, Any]) -> Iterator[str]:
        if at(inputs, path) not in (value, UNKNOWN):
            yield message

    return violations


def pods(inputs: Any, where: str = "the pod") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, pod spec) for each pod spec at any depth of the inputs.

    The place is `HEAD_POD`, `worker group NAME` (from `groupName`) or `the pod`.
    """
    if isinstance(inputs, list):
        for item in inputs:
            yield from pods(item, where)
    elif isinstance(inputs, Mapping):
        here = f"worker group {inputs['groupName']}" if "groupName" in inputs else where
        if isinstance(inputs.get("containers"), list):
            yield here, inputs
            return
        for key, value in inputs.items():
            yield from pods(value, HEAD_POD if key == "headGroupSpec" else here)


def containers(inputs: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, container) for each container and init container of the pod specs in the inputs."""
    for where, pod in pods(inputs):
        for kind in ("initContainers", "containers"):
            yield from ((where, container) for container in each(pod, kind) if isinstance(container, Mapping))


def ray_cluster(inputs: Mapping[str, Any]) -> Any:
    """Return the RayCluster spec in the inputs of a RayService, a RayJob or a RayCluster."""
    return at(inputs, "spec.rayClusterConfig") or at(inputs, "spec.rayClusterSpec") or at(inputs, "spec")


def _read(values: Any, key: Any) -> Any:
    try:
        return values[key]
    except UnknownValueError:
        return UNKNOWN
