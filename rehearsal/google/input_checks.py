"""What Google's provider or API would refuse about a resource's inputs before anything is made.

Names, types and required fields are the SDK's; allowed values and patterns are those of the discovery documents.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rehearsal.google import discovery
from rehearsal.google.discovery import Spot
from rehearsal.google.resource_types import Token
from rehearsal.plugin_values import UNKNOWN

PYTHON = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "map": dict, "object": dict}

Problem = tuple[str, str]
"""Path and reason."""


def problems(token: Token, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything wrong with bare `inputs`."""
    yield from _object(token, None, inputs, "")


def _object(token: Token, parent: Spot | None, value: Mapping[str, Any], path: str) -> Iterator[Problem]:
    known = discovery.fields(token, parent) or {}
    where = f"{path}." if path else ""
    for name, inner in value.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            yield where + name, f"no such field in the SDK: {hint}"
        elif inner is not None:
            yield from _value(token, known[name], inner, where + name)
    for name, spot in known.items():
        if spot.required and value.get(name) is None:
            yield where + name, "required field is missing"


def _value(token: Token, spot: Spot, value: Any, path: str) -> Iterator[Problem]:
    type_ = spot.type
    if value == UNKNOWN or type_.kind == "any":
        return
    right = isinstance(value, PYTHON[type_.kind]) and isinstance(value, bool) is (type_.kind == "bool")
    if not right:
        yield path, f"{type_} expected, not {value!r}"
    elif type_.kind == "list" and type_.of:
        for i, item in enumerate(value):
            yield from _value(token, spot.of(type_.of), item, f"{path}[{i}]")
    elif type_.kind == "map" and type_.of:
        for key, item in value.items():
            yield from _value(token, spot.of(type_.of), item, f"{path}.{key}")
    elif type_.kind == "object":
        yield from _object(token, spot, value, path)
    elif (schema := discovery.scalar(token, spot)) and isinstance(value, str):
        allowed = schema.get("enum", [])
        if allowed and value not in allowed:
            yield path, f"{value!r} is not a value Google knows: {', '.join(allowed)}"
        if not re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL):
            yield path, f"{value!r} does not match Google's pattern {schema['pattern']}"
