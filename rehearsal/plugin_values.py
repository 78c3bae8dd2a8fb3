"""Values as they travel between engine and provider: plain JSON with envelopes around secrets and unknowns.

Constants from pulumi/pulumi: sdk/go/common/resource/{sig,plugin}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET, OUTPUT = "1b47061264138c4ac30d75fd1eb44270", "d0e6a833031e9bbcd3f4e8bde6ca49a4"


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A message's values; whole numbers as int."""
    return {key: _value(value) for key, value in struct.fields.items()}


def wire(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """The message for `values`."""
    struct = struct_pb2.Struct()
    struct.update(dict(values))
    return struct


def bare(value: Any) -> Any:
    """Without envelopes: for reading and comparing. An output that has no value yet is UNKNOWN."""
    if isinstance(value, dict):
        match value.get(SIGNATURE):
            case None:
                return {k: bare(v) for k, v in value.items()}
            case _:
                return bare(value.get("value", UNKNOWN))
    return [bare(v) for v in value] if isinstance(value, list) else value


def at(values: Any, path: str) -> Iterator[Any]:
    """Every value at a dotted path, through lists (`subnetworks.name`)."""
    head, _, rest = path.partition(".")
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, dict) and head in value:
            found = value[head]
            if rest:
                yield from at(found, rest)
            else:
                yield from found if isinstance(found, list) else [found]


def changes(old: Any, new: Any, sets: frozenset[str], path: str = "") -> Iterator[tuple[str, str]]:
    """(path, `add` | `delete` | `update`) of each leaf that differs. An unknown differs from all."""
    if isinstance(old, list) and isinstance(new, list):
        if spot(path) in sets:
            old, new = (sorted(v, key=lambda item: json.dumps(item, sort_keys=True)) for v in (old, new))
        old, new = ({f"[{i}]": v for i, v in enumerate(values)} for values in (old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - {"__defaults"}):
            if key not in old:
                kind, value = "add", new[key]
            elif key not in new:
                kind, value = "delete", old[key]
            else:
                yield from changes(old[key], new[key], sets, _step(path, key))
                continue
            yield from ((leaf, kind) for leaf in _leaves(value, _step(path, key)))
    elif old != new or new == UNKNOWN:
        yield path, "update"


def spot(path: str) -> str:
    """A path without its list indexes."""
    return re.sub(r"\[\d+\]", "", path)


def _leaves(value: Any, path: str) -> Iterator[str]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else ((f"[{i}]", v) for i, v in enumerate(value))
        if isinstance(value, list)
        else ()
    )
    found = [leaf for key, v in inner for leaf in _leaves(v, _step(path, key))]
    yield from found or [path]


def _step(path: str, key: str) -> str:
    if re.fullmatch(r"\[\d+\]", key):
        return path + key
    if re.fullmatch(r"[A-Za-z_$][\w$]*", key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def _value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [_value(v) for v in value.list_value.values]
        case "number_value":
            return int(value.number_value) if value.number_value.is_integer() else value.number_value
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None
