"""What a value of a vLLM engine argument may be, in a few words of JSON Schema, and how a value differs from it.

A schema is one of `{}` (anything), `{"type": ...}` with bounds, `{"enum": [...]}`, `{"type": "array", "items": S}`,
`{"type": "object", "values": S}`, `{"$ref": CLASS}` (a vLLM config class) and `{"anyOf": [S, ...]}`. tools/vllm
writes them from vLLM's own annotations to config/vllm/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from config.issues import join_path

Schema = Mapping[str, Any]
Classes = Mapping[str, Schema]
"""vLLM config class -> its `properties`, and `open`: whether it accepts other keys."""

WORDS = {
    "boolean": "true or false, without quotes",
    "integer": "a whole number, without quotes",
    "number": "a number, without quotes",
    "string": "text",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
}
"""JSON type -> what to write."""
BOUND_WORDS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


class Kind(Enum):
    """How a value differs from its schema."""

    TYPE = auto()
    CHOICE = auto()
    RANGE = auto()
    UNKNOWN_KEY = auto()


@dataclass(frozen=True)
class Difference:
    """One place of a value that differs from its schema."""

    kind: Kind
    path: str
    """Path below the argument: empty, `method`, `[0]`, `pass_config.fuse_norm_quant`."""
    value: object
    expected: str
    """What to write there: `true or false, without quotes`, `one of a, b`. The known keys for UNKNOWN_KEY."""
    owner: str = ""
    """The vLLM config class that an unknown key is missing from."""


def find_differences(value: object, schema: Schema, classes: Classes, path: str = "") -> Iterator[Difference]:
    """Yield where `value` (plain data of a YAML file) differs from `schema`."""
    options = [each for each in schema.get("anyOf", [schema]) if each]
    if not options:
        return
    found = [list(_differences(value, each, classes, path)) for each in options]
    if not all(found):
        return
    same_shape = [each for option, each in zip(options, found, strict=True) if _has_shape(value, option)]
    if len(same_shape) == 1:
        yield from same_shape[0]
        return
    kind = Kind.CHOICE if same_shape else Kind.TYPE
    words = dict.fromkeys(describe(each) for each in options)
    yield Difference(kind, path, value, " or ".join(words))


def describe(schema: Schema) -> str:
    """Return what to write for one schema that is no union, in words."""
    if "enum" in schema:
        return f"one of {', '.join(str(each) for each in schema['enum'])}"
    if "$ref" in schema:
        return WORDS["object"]
    bounds = [words.format(schema[name]) for name, words in BOUND_WORDS.items() if name in schema]
    return ", ".join([WORDS[schema["type"]], " and ".join(bounds)] if bounds else [WORDS[schema["type"]]])


def _differences(value: object, schema: Schema, classes: Classes, path: str) -> Iterator[Difference]:
    """Yield where `value` differs from one schema that is no union."""
    if "enum" in schema:
        if not _is_choice(value, schema):
            kind = Kind.CHOICE if isinstance(value, str | int) else Kind.TYPE
            yield Difference(kind, path, value, describe(schema))
    elif not _has_type(value, _type(schema)):
        yield Difference(Kind.TYPE, path, value, describe(schema))
    elif isinstance(value, Mapping):
        yield from _mapping_differences(value, schema, classes, path)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from find_differences(item, schema.get("items", {}), classes, f"{path}[{index}]")
    elif not _in_range(value, schema):
        yield Difference(Kind.RANGE, path, value, describe(schema))


def _mapping_differences(
    value: Mapping[str, object], schema: Schema, classes: Classes, path: str
) -> Iterator[Difference]:
    if "$ref" not in schema:
        for key, item in value.items():
            yield from find_differences(item, schema.get("values", {}), classes, join_path(path, key))
        return
    owner = classes[schema["$ref"]]
    for key, item in value.items():
        if key in owner["properties"]:
            yield from find_differences(item, owner["properties"][key], classes, join_path(path, key))
        elif not owner["open"]:
            known = ", ".join(sorted(owner["properties"]))
            yield Difference(Kind.UNKNOWN_KEY, join_path(path, key), item, known, schema["$ref"])


def _is_choice(value: object, schema: Schema) -> bool:
    for choice in schema["enum"]:
        if value == choice and isinstance(value, bool) is isinstance(choice, bool):
            return True
        if schema.get("ignoreCase") and str(value).lower() == str(choice).lower():
            return True
    return False


def _has_shape(value: object, schema: Schema) -> bool:
    """Return True if `value` was meant for `schema`, one option of a union, by its JSON type."""
    if "enum" in schema:
        return any(type(value) is type(choice) for choice in schema["enum"])
    return _has_type(value, _type(schema))


def _type(schema: Schema) -> str:
    return "object" if "$ref" in schema else schema["type"]


def _has_type(value: object, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, Sequence) and not isinstance(value, str)
        case _:
            return isinstance(value, Mapping)


def _in_range(value: object, schema: Schema) -> bool:
    if not isinstance(value, int | float):
        return True
    return (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def is_json_mapping(value: object) -> bool:
    """Return True if `value` is text that holds a JSON mapping, as on vLLM's command line."""
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except ValueError:
        return False
