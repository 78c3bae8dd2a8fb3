"""What a stack is made of, as a specification that people read: one YAML file a scenario.

stack      whose settings file it starts from
edit       path -> value: what is written differently in it
exist      what others made before: type, and its inputs
counts     how many of each type; a type that is not listed must not be there, and zeros say so aloud
values     `Type name` -> some of its inputs; `__missing__` for one that must not be written
protected  `Type name` of everything that Pulumi refuses to delete
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
    """One file."""

    name: str
    stack: str
    counts: Mapping[str, int]
    values: Mapping[str, Mapping[str, Any]]
    protected: Sequence[str]
    edit: Mapping[str, Any] = field(default_factory=dict)
    exist: Sequence[tuple[str, Mapping[str, Any]]] = ()


def scenarios() -> list[Scenario]:
    """All of them."""
    return [Scenario(path.stem, **yaml.safe_load(path.read_text())) for path in sorted(FOLDER.glob("*.yaml"))]


@dataclass(frozen=True)
class Inventory:
    """What is there: `Type name` -> inputs, of Google's types only, and which of it is protected."""

    inputs: Mapping[str, Mapping[str, Any]]
    protected: Sequence[str]

    @property
    def counts(self) -> Counter[str]:
        """How many of each type."""
        return Counter(key.split()[0] for key in self.inputs)


def short(token: str, urn: str) -> str:
    """`Type name`: a `gcp:container/nodePool:NodePool` is a `container.NodePool`."""
    if token.startswith("gcp:"):
        package, kind = token.removeprefix("gcp:").split(":")
        token = f"{package.split('/')[0]}.{kind}"
    return f"{token} {urn.split('::')[-1]}"


def inventory(state: Mapping[str, Any]) -> Inventory:
    """Of an exported state."""
    found = {short(r["type"], r["urn"]): r for r in state["deployment"]["resources"] if r["type"].startswith("gcp:")}
    return Inventory(
        {key: resource.get("inputs", {}) for key, resource in found.items()},
        sorted(key for key, resource in found.items() if resource.get("protect")),
    )


def differences(scenario: Scenario, actual: Inventory) -> list[str]:
    """Where what is there is not what the scenario says, each as `path: expected ..., there is ...`."""
    counts = {kind: actual.counts[kind] for kind in {*scenario.counts, *actual.counts}}
    expected = {kind: scenario.counts.get(kind, 0) for kind in counts}
    return [
        *(
            f"counts.{kind}: expected {expected[kind]}, there are {n}"
            for kind, n in counts.items()
            if n != expected[kind]
        ),
        *_differ(scenario.values, actual.inputs, "values"),
        *_differ(sorted(scenario.protected), actual.protected, "protected"),
    ]


def _differ(expected: Any, actual: Any, at: str) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key, value in expected.items():
            if value == MISSING:
                if key in actual:
                    yield f"{at}.{key}: expected nothing, there is {actual[key]!r}"
            elif key not in actual:
                yield f"{at}.{key}: expected {value!r}, there is nothing"
            else:
                yield from _differ(value, actual[key], f"{at}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for i, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from _differ(one, other, f"{at}[{i}]")
    elif expected != actual:
        yield f"{at}: expected {expected!r}, there is {actual!r}"
