"""What a policy of this pack is, and how it reads inputs: an unknown of a preview is skipped, not tripped over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_policy import Severity
from pulumi_policy.proxy import UnknownValueError

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"


@dataclass(frozen=True)
class Policy:
    """`broken` gives one sentence, what is wrong and what to write, for each time that inputs break it."""

    name: str
    severity: Severity
    risk: str
    types: Sequence[str]
    broken: Callable[[Mapping[str, Any]], Iterator[str]]


def plain(value: Any) -> Any:
    """Inputs as plain data; what is unknown in a preview is None. Reading it through the proxy would turn the whole
    policy into a note."""
    if isinstance(value, Mapping):
        return {key: plain(_known(value, key)) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(_known(value, i)) for i in range(len(value))]
    return value


def at(inputs: Any, path: str) -> Any:
    """What is at `a.b.0`; None where nothing is, or nothing is known."""
    for step in path.split("."):
        if isinstance(inputs, list):
            inputs = inputs[int(step)] if int(step) < len(inputs) else None
        else:
            inputs = inputs.get(step) if isinstance(inputs, Mapping) else None
    return inputs


def _known(inside: Any, key: Any) -> Any:
    try:
        return inside[key]
    except UnknownValueError:
        return None
