"""Check a resource's inputs as Google's provider and API do before they create anything.

Names, types and required fields come from the SDK; allowed values and patterns come from the discovery documents.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rehearsal.google import discovery
from rehearsal.google.discovery import InputField
from rehearsal.google.resource_types import ResourceType
from rehearsal.plugin_values import UNKNOWN

PYTHON_TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "map": dict, "object": dict}
"""Kind of an SDK field -> Python types of its values."""

Problem = tuple[str, str]
"""Path and reason."""


def find_problems(resource: ResourceType, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every problem of `inputs`, which have no envelopes."""
    yield from _object(resource, None, inputs, "")


def _object(
    resource: ResourceType, parent: InputField | None, value: Mapping[str, Any], path: str
) -> Iterator[Problem]:
    known = discovery.input_fields(resource, parent) or {}
    prefix = f"{path}." if path else ""
    for name, inner in value.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known fields: {', '.join(sorted(known))}"
            yield prefix + name, f"no such field in the SDK: {hint}"
        elif inner is not None:
            yield from _value(resource, known[name], inner, prefix + name)
    for name, field in known.items():
        if field.required and value.get(name) is None:
            yield prefix + name, "required field is missing"


def _value(resource: ResourceType, field: InputField, value: Any, path: str) -> Iterator[Problem]:
    type_ = field.type
    if value == UNKNOWN or type_.kind == "any":
        return
    if not isinstance(value, PYTHON_TYPES[type_.kind]) or isinstance(value, bool) is not (type_.kind == "bool"):
        yield path, f"{type_} expected, not {value!r}"
    elif type_.kind == "list" and type_.element:
        for i, item in enumerate(value):
            yield from _value(resource, field.element(type_.element), item, f"{path}[{i}]")
    elif type_.kind == "map" and type_.element:
        for key, item in value.items():
            yield from _value(resource, field.element(type_.element), item, f"{path}.{key}")
    elif type_.kind == "object":
        yield from _object(resource, field, value, path)
    elif (schema := discovery.scalar_schema(resource, field)) and isinstance(value, str):
        allowed = schema.get("enum", [])
        if allowed and value not in allowed:
            yield path, f"{value!r} is not a value that Google knows: {', '.join(allowed)}"
        if not re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL):
            yield path, f"{value!r} does not match Google's pattern {schema['pattern']}"
