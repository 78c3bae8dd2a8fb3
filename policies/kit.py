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
RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
UNKNOWN = "(not known before it is made)"

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


def must_be(path: str, right: Any, sentence: str) -> Callable[[Mapping[str, Any]], Iterator[str]]:
    """Broken where something else, or nothing, is at `path`."""

    def broken(inputs: Mapping[str, Any]) -> Iterator[str]:
        if at(inputs, path) not in (right, UNKNOWN):
            yield sentence

    return broken


def _known(inside: Any, key: Any) -> Any:
    try:
        return inside[key]
    except UnknownValueError:
        return UNKNOWN
