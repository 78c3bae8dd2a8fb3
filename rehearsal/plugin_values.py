"""Convert property values between the form of Pulumi's plugin protocol and plain Python.

In the protocol, values are JSON with envelopes around secrets and outputs, and a marker for unknown values. Constants
from pulumi/pulumi: sdk/go/common/resource/{sig,plugin}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return the values of a protobuf Struct, with whole numbers as `int`."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return the protobuf Struct for `values`."""
    struct = struct_pb2.Struct()
    struct.update(dict(values))
    return struct


def unwrap(value: Any) -> Any:
    """Return `value` without envelopes, at any depth. An output without a value becomes UNKNOWN."""
    if isinstance(value, dict):
        if SIGNATURE_KEY in value:
            return unwrap(value.get("value", UNKNOWN))
        return {key: unwrap(inner) for key, inner in value.items()}
    return [unwrap(inner) for inner in value] if isinstance(value, list) else value


def values_at(values: Any, path: str) -> Iterator[Any]:
    """Yield every value at a dotted path; the path goes through lists (`subnetworks.name`)."""
    head, _, rest = path.partition(".")
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, dict) and head in value:
            found = value[head]
            if rest:
                yield from values_at(found, rest)
            else:
                yield from found if isinstance(found, list) else [found]


def detailed_diff(old: Any, new: Any, sets: frozenset[str], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, `add`, `delete` or `update`) for each leaf that differs.

    An unknown value differs from every value. The order of the lists at the paths in `sets` has no meaning.
    """
    if isinstance(old, list) and isinstance(new, list):
        if without_indexes(path) in sets:
            old, new = (sorted(v, key=lambda item: json.dumps(item, sort_keys=True)) for v in (old, new))
        old, new = ({f"[{i}]": v for i, v in enumerate(values)} for values in (old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - {"__defaults"}):
            if key not in old:
                kind, value = "add", new[key]
            elif key not in new:
                kind, value = "delete", old[key]
            else:
                yield from detailed_diff(old[key], new[key], sets, _join(path, key))
                continue
            yield from ((leaf, kind) for leaf, _ in leaves(value, _join(path, key)))
    elif old != new or new == UNKNOWN:
        yield path, "update"


def without_indexes(path: str) -> str:
    """Return a path without its list indexes."""
    return re.sub(r"\[\d+\]", "", path)


def is_at_or_below(path: str, parents: Iterable[str]) -> bool:
    """Return True if `path` is one of `parents`, or a field or list item of one."""
    return any(path == parent or path.startswith((f"{parent}.", f"{parent}[")) for parent in parents)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) for each leaf below `value`. An empty dict or list is a leaf."""
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = [(f"[{i}]", item) for i, item in enumerate(value)]
    if not inner:
        yield path, value
    for key, item in inner:
        yield from leaves(item, _join(path, key))


def _join(path: str, key: str) -> str:
    if re.fullmatch(r"\[\d+\]", key):
        return path + key
    if re.fullmatch(r"[A-Za-z_$][\w$]*", key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def _from_value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "number_value":
            return int(value.number_value) if value.number_value.is_integer() else value.number_value
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None
