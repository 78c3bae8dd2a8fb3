"""Find the fields of the SDK in Google's discovery documents, and return the schema that the API has for them.

The documents are part of `google-api-python-client`. The SDK's names differ from the API's where the Terraform provider
renames (resource_types.yaml, `renames`). Every other field is found by its own name, in the singular or in the plural.
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
from rehearsal.google.resource_types import ResourceType

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class InputField:
    """One input field, at any depth. `path` has no list indexes (`nodeConfig.taints.effect`)."""

    path: str
    type: sdk_schema.FieldType
    required: bool
    api_schema: Schema | None
    """None: the document does not contain the field, or `not_in_body` is true."""
    not_in_body: bool
    """The field is part of the URL or exists only in the provider: the API's body has no such field."""

    def element(self, type_: sdk_schema.FieldType) -> InputField:
        """Return the field for one element, of type `type_`, of this list or map."""
        return replace(self, type=type_)


def input_fields(resource: ResourceType, parent: InputField | None) -> dict[str, InputField] | None:
    """Return the fields of an object by name, or None if `parent` is no object.

    Without `parent`, return the fields of the resource itself.
    """
    if parent is None:
        body = _schemas(resource)[resource.body_schema.split()[1]] if resource.body_schema else None
        known, prefix, not_in_body = resource.schema.inputs, "", not resource.body_schema
    else:
        inner = parent.type
        while inner.element is not None:
            inner = inner.element
        if inner.kind != "object":
            return None
        body = _dereference(resource, parent.api_schema)
        known = sdk_schema.object_fields(resource.schema.package, inner.name)
        prefix, not_in_body = f"{parent.path}.", parent.not_in_body
    return {name: _input_field(resource, body, prefix + name, field, not_in_body) for name, field in known.items()}


def all_input_fields(resource: ResourceType, parent: InputField | None = None) -> Iterator[InputField]:
    """Yield every input field of a resource type, depth first."""
    for field in (input_fields(resource, parent) or {}).values():
        yield field
        yield from all_input_fields(resource, field)


def scalar_schema(resource: ResourceType, field: InputField) -> Schema | None:
    """Return the API's schema for one value of a field; None if the API has no such field or has an object there."""
    found = _dereference(resource, field.api_schema)
    return found if found and "properties" not in found else None


def _input_field(
    resource: ResourceType, body: Schema | None, path: str, field: sdk_schema.Field, not_in_body: bool
) -> InputField:
    not_in_body = not_in_body or path in resource.not_in_body
    names = resource.renames.get(path) or path.split(".")[-1]
    return InputField(
        path, field.type, field.required, None if not_in_body else _property(resource, body, names), not_in_body
    )


def _property(resource: ResourceType, schema: Schema | None, names: str) -> Schema | None:
    """Return the property at dotted `names`; `.` is the object itself, for a block that only the provider has."""
    if names == ".":
        return schema
    for name in names.split("."):
        properties = (_dereference(resource, schema) or {}).get("properties", {})
        forms = (name, name[:-1] if name.endswith("s") else name + "s")
        schema = next((properties[form] for form in forms if form in properties), None)
    return schema


def _dereference(resource: ResourceType, schema: Schema | None) -> Schema | None:
    """Follow references, arrays and maps to the schema of one value."""
    while schema is not None:
        if "$ref" in schema:
            schema = _schemas(resource)[schema["$ref"]]
        elif "items" in schema or "additionalProperties" in schema:
            schema = schema.get("items") or schema["additionalProperties"]
        else:
            return schema
    return None


def _schemas(resource: ResourceType) -> Schema:
    return _document(resource.body_schema.split()[0])["schemas"]


@cache
def _document(name: str) -> Schema:
    folder = Path(next(iter(googleapiclient.__path__))) / "discovery_cache" / "documents"
    return json.loads((folder / f"{name}.json").read_text())
