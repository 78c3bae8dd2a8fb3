"""Where Google's own discovery documents know a field of the SDK, and what they say of it.

The documents come with `google-api-python-client`. The SDK's names differ from the API's where the Terraform provider
renames (resource_types.yaml, `renames`); the rest is found by its own name, in the singular or in the plural.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient

from rehearsal.google import sdk_schema
from rehearsal.google.resource_types import Token

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Spot:
    """One input field, at any depth. `path` has no list indexes (`nodeConfig.taints.effect`)."""

    path: str
    type: sdk_schema.Type
    required: bool
    api: Schema | None
    """None: not found in the document, or `own`."""
    own: bool
    """In the URL, or only in the provider: the API's body has no such field."""

    def of(self, element: sdk_schema.Type) -> Spot:
        """One element of a list or map."""
        return replace(self, type=element)


def fields(token: Token, parent: Spot | None) -> dict[str, Spot] | None:
    """The fields of an object of the SDK (of the resource itself where `parent` is None); None: it is not an object."""
    if parent is None:
        body = _schemas(token)[token.api.split()[1]] if token.api else None
        known, prefix, own = token.shape.inputs, "", not token.api
    else:
        inner = parent.type
        while inner.of is not None:
            inner = inner.of
        if inner.kind != "object":
            return None
        body, known, own = _one(token, parent.api), sdk_schema.fields(token.shape.folder, inner.name), parent.own
        prefix = f"{parent.path}."
    return {name: _spot(token, body, prefix + name, field, own) for name, field in known.items()}


def every_field(token: Token, parent: Spot | None = None) -> Iterator[Spot]:
    """All input fields of a token, depth first."""
    for spot in (fields(token, parent) or {}).values():
        yield spot
        yield from every_field(token, spot)


def scalar(token: Token, spot: Spot) -> Schema | None:
    """The API's schema of one value of a field; None where the API has none, or has an object there."""
    found = _one(token, spot.api)
    return found if found and "properties" not in found else None


def _spot(token: Token, body: Schema | None, path: str, field: sdk_schema.Field, own: bool) -> Spot:
    own = own or path in token.own
    found = None if own else _follow(token, body, token.renames.get(path) or path.split(".")[-1])
    return Spot(path, field.type, field.required, found, own)


def _follow(token: Token, schema: Schema | None, names: str) -> Schema | None:
    """The property at dotted `names`; `.` is the object itself, for a block that only the provider has."""
    if names == ".":
        return schema
    for name in names.split("."):
        properties = (_one(token, schema) or {}).get("properties", {})
        forms = (name, name[:-1] if name.endswith("s") else name + "s")
        schema = next((properties[form] for form in forms if form in properties), None)
    return schema


def _one(token: Token, schema: Schema | None) -> Schema | None:
    """Through references, arrays and maps to what one value looks like."""
    while schema is not None:
        if "$ref" in schema:
            schema = _schemas(token)[schema["$ref"]]
        elif "items" in schema or "additionalProperties" in schema:
            schema = schema.get("items") or schema["additionalProperties"]
        else:
            return schema
    return None


def _schemas(token: Token) -> Schema:
    return _document(token.api.split()[0])["schemas"]


@cache
def _document(name: str) -> Schema:
    folder = Path(next(iter(googleapiclient.__path__))) / "discovery_cache" / "documents"
    return json.loads((folder / f"{name}.json").read_text())
