"""Environment variables that the vLLM of each Ray version reads, from the file that tools/vllm_env_vars.py writes."""

from __future__ import annotations

import functools
import json
from typing import Any

from paths import CHECKOUT

FILE = CHECKOUT / "config" / "vllm" / "env_vars.json"
"""Generated from the wheels: `every` has the names of all versions, `some` maps a name to the versions that have it."""


def vllm_version(ray: str) -> str | None:
    """Return the vLLM version of Ray version `ray`, or None if the file does not have this Ray."""
    return _table()["vllm_of_ray"].get(ray)


def vllm_of_ray() -> dict[str, str]:
    """Return Ray version -> its vLLM version, oldest first."""
    return dict(_table()["vllm_of_ray"])


def versions_with(name: str) -> tuple[str, ...]:
    """Return the vLLM versions, oldest first, that read the environment variable `name`."""
    table = _table()
    return tuple(table["versions"] if name in table["every"] else table["some"].get(name, ()))


def replacements(name: str) -> tuple[str, ...]:
    """Return the engine arguments that vLLM names in place of the environment variable `name`."""
    return tuple(_table()["replaced"].get(name, ()))


@functools.cache
def _table() -> dict[str, Any]:
    content = json.loads(FILE.read_text())
    return {**content, "every": frozenset(content["every"])}
