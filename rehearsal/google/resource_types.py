"""resource_types.yaml: one row for each resource type that the stand-in knows, and what no package says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rehearsal.google import sdk_schema

LISTS = ("own", "replace", "sets", "planned")
"""Columns that are words in one text; `common` adds its own to each row."""


@dataclass(frozen=True)
class Token:
    """A row; resource_types.yaml says what each column means."""

    name: str
    shape: sdk_schema.Shape
    id: str
    source: str
    own: frozenset[str]
    replace: frozenset[str]
    sets: frozenset[str]
    planned: frozenset[str]
    outputs: Mapping[str, Any]
    api: str = ""
    needs: str = ""
    named: str = "name"
    protected: str = ""
    again: bool = False
    renames: Mapping[str, str] = field(default_factory=dict)
    when: Mapping[str, str] = field(default_factory=dict)
    parent: Mapping[str, str] = field(default_factory=dict)
    refers: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """`container/nodePool`"""
        return self.name.split(":")[1]

    @property
    def service(self) -> str:
        """`container`"""
        return self.kind.split("/")[0]

    @property
    def title(self) -> str:
        """`NodePool`"""
        return self.name.split(":")[2]


def names() -> list[str]:
    """The token of every row."""
    return [name for name in _rows() if name != "common"]


@cache
def get(name: str) -> Token:
    """The row of a token. Raises `KeyError` where there is none."""
    row, common, shape = _rows()[name], _rows()["common"], sdk_schema.shape(name)
    if shape is None:
        raise LookupError(f"resource_types.yaml: pulumi_gcp {sdk_schema.VERSION} has no {name}")
    lists = {column: frozenset(f"{common.get(column, '')} {row.get(column, '')}".split()) for column in LISTS}
    outputs = {key: value for key, value in common["outputs"].items() if key in shape.outputs}
    return Token(**{**row, **lists, "name": name, "shape": shape, "outputs": {**outputs, **row.get("outputs", {})}})


@cache
def agents() -> Mapping[str, str]:
    """API -> the part of its service agent's address before the domain, where that is not `gcp-sa-<API>`."""
    return _rows()["common"]["agents"]


@cache
def _rows() -> dict[str, Any]:
    return yaml.load(
        Path(__file__).with_name("resource_types.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
