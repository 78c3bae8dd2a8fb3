"""What a stack creates at Google, as YAML files that people read: one file for each scenario.

stack      the stack whose settings file the scenario starts from
edit       path -> value: changes of these settings
exist      resources that exist before: type, and inputs
counts     number of resources of each type; a type that is not listed must have none, and a listed 0 says so explicitly
values     `Type name` -> some of its inputs; `__missing__` for an input that must not be set
protected  `Type name` of every resource that Pulumi protects
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
MISSING = "__missing__"


@dataclass(frozen=True)
class Scenario:
    """One file; the head of this module describes its keys."""

    name: str
    stack: str
    counts: Mapping[str, int]
    values: Mapping[str, Mapping[str, Any]]
    protected: Sequence[str]
    edit: Mapping[str, Any] = field(default_factory=dict)
    exist: Sequence[tuple[str, Mapping[str, Any]]] = ()


def scenarios() -> list[Scenario]:
    """Return every scenario."""
    return [Scenario(path.stem, **yaml.safe_load(path.read_text())) for path in sorted(FOLDER.glob("*.yaml"))]


@dataclass(frozen=True)
class Inventory:
    """Google's resources of a state: `Type name` -> inputs, and the names of those that are protected."""

    inputs: Mapping[str, Mapping[str, Any]]
    protected: Sequence[str]

    @property
    def counts(self) -> Counter[str]:
        """Number of resources of each type."""
        return Counter(key.split()[0] for key in self.inputs)


def short_name(token: str, urn: str) -> str:
    """Return `Type name`; the type of a `gcp:container/nodePool:NodePool` is `container.NodePool`."""
    if token.startswith("gcp:"):
        package, kind = token.removeprefix("gcp:").split(":")
        token = f"{package.split('/')[0]}.{kind}"
    return f"{token} {urn.split('::')[-1]}"


def inventory(state: Mapping[str, Any]) -> Inventory:
    """Return the inventory of an exported state."""
    resources = state["deployment"]["resources"]
    found = {short_name(r["type"], r["urn"]): r for r in resources if r["type"].startswith("gcp:")}
    return Inventory(
        {key: resource.get("inputs", {}) for key, resource in found.items()},
        sorted(key for key, resource in found.items() if resource.get("protect")),
    )


def differences(scenario: Scenario, actual: Inventory) -> list[str]:
    """Return a line `path: expected ..., found ...` for each difference from the scenario."""
    types = {*scenario.counts, *actual.counts}
    wrong = [kind for kind in types if actual.counts[kind] != scenario.counts.get(kind, 0)]
    return [
        *(f"counts.{kind}: expected {scenario.counts.get(kind, 0)}, found {actual.counts[kind]}" for kind in wrong),
        *_differences(scenario.values, actual.inputs, "values"),
        *_differences(sorted(scenario.protected), actual.protected, "protected"),
    ]


def _differences(expected: Any, actual: Any, path: str) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key, value in expected.items():
            if value == MISSING:
                if key in actual:
                    yield f"{path}.{key}: expected nothing, found {actual[key]!r}"
            elif key not in actual:
                yield f"{path}.{key}: expected {value!r}, found nothing"
            else:
                yield from _differences(value, actual[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for i, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from _differences(one, other, f"{path}[{i}]")
    elif expected != actual:
        yield f"{path}: expected {expected!r}, found {actual!r}"
