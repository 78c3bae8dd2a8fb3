"""tokens.yaml: one row for each resource type that the stand-in knows, and what no package says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.rig.google import sdk


@dataclass(frozen=True)
class Token:
    """A row; tokens.yaml says what each column means."""

    name: str
    shape: sdk.Shape
    id: str
    document: str
    schema: str | None
    needs: str
    source: str
    own: frozenset[str]
    renames: Mapping[str, str]
    replace: frozenset[str]
    when: Mapping[str, str]
    sets: frozenset[str]
    parent: Mapping[str, str]
    refers: Mapping[str, str]
    also: Mapping[str, str]
    outputs: Mapping[str, Any]
    defaults: Mapping[str, Any]
    planned: frozenset[str]
    protected: str
    named: str
    again: bool

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


@cache
def known() -> Mapping[str, Token]:
    """Every row by its token."""
    rows = _raw()
    return {name: _token(name, row, rows["common"]) for name, row in rows.items() if name != "common"}


@cache
def agents() -> Mapping[str, str]:
    """API -> the part of its service agent's address before the domain, where that is not `gcp-sa-<API>`."""
    return _raw()["common"]["agents"]


@cache
def _raw() -> dict[str, Any]:
    return yaml.load(Path(__file__).with_name("tokens.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _token(name: str, row: Mapping[str, Any], common: Mapping[str, Any]) -> Token:
    shape = sdk.shape(name)
    if shape is None:
        raise LookupError(f"tokens.yaml: pulumi_gcp {sdk.VERSION} has no {name}")
    document, _, schema = row.get("api", "").partition(" ")

    def words(key: str) -> frozenset[str]:
        return frozenset(f"{common.get(key, '')} {row.get(key, '')}".split())

    return Token(
        name=name,
        shape=shape,
        id=row["id"],
        document=document,
        schema=schema or None,
        needs=row.get("needs", ""),
        source=row["source"],
        own=words("own"),
        renames=row.get("renames", {}),
        replace=words("replace"),
        when=row.get("when", {}),
        sets=words("sets"),
        parent=row.get("parent", {}),
        refers=row.get("refers", {}),
        also=row.get("also", {}),
        outputs={**{k: v for k, v in common["outputs"].items() if k in shape.outputs}, **row.get("outputs", {})},
        defaults=row.get("defaults", {}),
        planned=words("planned"),
        protected=row.get("protected", ""),
        named=row.get("named", "name"),
        again=row.get("again", False),
    )
