"""Read `Pulumi.<stack>.yaml` as the `pulumi` CLI reads it, for tools that run without Pulumi.

The CLI decodes the file with gopkg.in/yaml.v3: a key that stands twice is an error, `yes` and `on` are text, `1:30` is
text, and a date without quotes becomes a time that the CLI passes on as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from config.issues import ConfigError, Rule
from config.secret_scan import HUGGING_FACE_TOKEN_KEY

NAMESPACE = "rayllm"
"""Name of the Pulumi project: the prefix of the stack's keys."""
BLOCK_NAMES = ("infra", "serving")
FILE_UNREADABLE = Rule(
    "settings.file-unreadable",
    problem="{file} cannot be read",
    reason="{error}",
    fix="Write a YAML file in UTF-8 that this user can read; Pulumi.dev.yaml and Pulumi.prod.yaml are examples",
)
DUPLICATE_KEY = Rule(
    "settings.duplicate-key",
    problem="`{key}` stands twice in the same block, in lines {first} and {second}",
    reason="`pulumi` refuses such a file",
    fix="Remove one of them",
)


@dataclass(frozen=True)
class StackFile:
    """What a stack's file says."""

    blocks: Mapping[str, object]
    """Name without namespace -> plain data; a key of another namespace keeps it. The token is in it only in clear
    text."""
    has_hugging_face_token: bool


class _GoLoader(yaml.SafeLoader):
    """Resolves plain scalars as gopkg.in/yaml.v3 does."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9_]*|0o?[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)", "-+0123456789"),
    ("tag:yaml.org,2002:float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
    ("tag:yaml.org,2002:timestamp", r"\d{4}-\d{1,2}-\d{1,2}([Tt ].*)?", "0123456789"),
):
    _GoLoader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))
_GoLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    digits = text.lstrip("+-")
    base = 0 if digits[:2].lower() in ("0x", "0o", "0b") else 8 if digits.startswith("0") and digits != "0" else 10
    return int(text, base)


def _time(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    """Return a date as the CLI passes it on, and every other text as it is."""
    text = str(loader.construct_scalar(node))
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return text
    return f"{day:%Y-%m-%d} 00:00:00 +0000 UTC"


_GoLoader.add_constructor("tag:yaml.org,2002:int", _integer)
_GoLoader.add_constructor("tag:yaml.org,2002:timestamp", _time)


def read(path: Path) -> StackFile:
    """Return what the file says. Raises `ConfigError` if it cannot be read, or has a key twice."""
    config = _config(path)
    prefix = f"{NAMESPACE}:"
    blocks: dict[str, object] = {}
    has_token = False
    for key, value in config.items():
        name = str(key).removeprefix(prefix)
        if name == HUGGING_FACE_TOKEN_KEY and isinstance(value, Mapping) and set(value) == {"secure"}:
            has_token = str(key).startswith(prefix)
        elif str(key).startswith(prefix) or is_foreign_block(str(key)):
            blocks[name] = value
    return StackFile(blocks, has_token)


def is_foreign_block(key: str) -> bool:
    """Return True for a block with a misspelt namespace, such as `raylm:serving`: Pulumi passes it to no program."""
    namespace, _, name = key.rpartition(":")
    return namespace != NAMESPACE and name in BLOCK_NAMES


def _config(path: Path) -> Mapping[Any, object]:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError([FILE_UNREADABLE.issue("", file=_short(path), error=error.strerror or "an error")]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        reason = f"line {line} has the byte 0x{error.object[error.start]:02x}, which is not UTF-8"
        raise ConfigError([FILE_UNREADABLE.issue("", file=_short(path), error=reason)]) from None
    try:
        loader = _GoLoader(text)
        node = loader.get_single_node()
        _refuse_duplicates(node, set())
        raw = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError([FILE_UNREADABLE.issue("", file=_short(path), error=reason)]) from None
    config = raw.get("config") if isinstance(raw, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def _refuse_duplicates(node: yaml.Node | None, seen: set[int]) -> None:
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, seen)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in lines:
                    issue = DUPLICATE_KEY.issue("", key=key.value[:60], first=lines[key.value], second=line)
                    raise ConfigError([issue])
                lines[key.value] = line
            _refuse_duplicates(value, seen)


def _short(path: Path) -> str:
    """Return the file's name, at most 60 characters of it."""
    return path.name if len(path.name) <= 60 else f"{path.name[:57]}..."
