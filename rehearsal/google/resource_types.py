"""Read resource_types.yaml: facts about each resource type that neither the SDK nor Google's documents contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rehearsal.google import sdk_schema

WORD_LISTS = ("not_in_body", "force_new", "sets", "known_in_preview")
"""Columns that are space-separated words; the words of `common` apply to every resource type."""


@dataclass(frozen=True)
class ResourceType:
    """One entry of resource_types.yaml; the head of that file describes each column."""

    token: str
    """Pulumi's type token, `gcp:container/nodePool:NodePool`."""
    schema: sdk_schema.ResourceSchema
    id_template: str
    source: str
    not_in_body: frozenset[str]
    force_new: frozenset[str]
    sets: frozenset[str]
    known_in_preview: frozenset[str]
    outputs: Mapping[str, Any]
    body_schema: str = ""
    required_api: str = ""
    name_input: str = "name"
    deletion_protection_error: str = ""
    create_is_idempotent: bool = False
    renames: Mapping[str, str] = field(default_factory=dict)
    force_new_if: Mapping[str, str] = field(default_factory=dict)
    parent: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The token's module, `container/nodePool`."""
        return self.token.split(":")[1]

    @property
    def service(self) -> str:
        """The first part of the module, `container`."""
        return self.module.split("/")[0]

    @property
    def name(self) -> str:
        """The token's type name, `NodePool`."""
        return self.token.split(":")[2]


def tokens() -> list[str]:
    """Return the type token of every entry."""
    return [token for token in _entries() if token != "common"]


@cache
def resource_type(token: str) -> ResourceType:
    """Return the entry of a type token. Raises `KeyError` if there is none, `LookupError` if the SDK lacks the type."""
    entry, common, schema = _entries()[token], _entries()["common"], sdk_schema.resource_schema(token)
    if schema is None:
        raise LookupError(f"resource_types.yaml: pulumi_gcp {sdk_schema.SDK_VERSION} has no {token}")
    words = {column: frozenset(f"{common.get(column, '')} {entry.get(column, '')}".split()) for column in WORD_LISTS}
    outputs = {key: value for key, value in common["outputs"].items() if key in schema.outputs}
    outputs |= entry.get("outputs", {})
    return ResourceType(**{**entry, **words, "token": token, "schema": schema, "outputs": outputs})


@cache
def service_agents() -> Mapping[str, str]:
    """Return, for each API whose service agent is not `gcp-sa-<API>`, the agent's name before the `@`."""
    return _entries()["common"]["service_agents"]


@cache
def _entries() -> dict[str, Any]:
    file = Path(__file__).with_name("resource_types.yaml")
    return yaml.load(file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
