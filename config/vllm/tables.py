"""What the vLLM of each Ray version accepts, read from config/vllm/. `make vllm-tables` writes those files.

Ray's LLM image has the vLLM that `ray[llm]` of the same version pins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from packaging.version import Version

from config.vllm.env_vars import vllm_of_ray
from config.vllm.schema import Classes, Schema
from paths import CHECKOUT

TABLES = CHECKOUT / "config" / "vllm"


@dataclass(frozen=True)
class VllmTable:
    """The engine arguments of one vLLM version."""

    version: str
    arguments: Mapping[str, Schema]
    """Argument of AsyncEngineArgs or FrontendArgs -> schema."""
    classes: Classes
    names: Mapping[str, frozenset[str]]
    """Argument that takes any text -> the names that vLLM itself registers: parsers, quantization methods."""


@cache
def removed_arguments() -> Mapping[str, str]:
    """Return former engine argument -> the first vLLM version without it."""
    return _read("removed")


def table_for(ray: str) -> VllmTable | None:
    """Return the table of Ray version `ray`, or None if no table is known.

    A patch release without a table is judged by the nearest one of its minor version before it, else after it: Ray
    keeps vLLM within a minor version (2.57.0 and 2.57.1, 2.58.0 and 2.58.1). Another minor version is not judged.
    """
    wanted, pins = Version(ray), vllm_of_ray()
    patches = [each for each in pins if Version(each).release[:2] == wanted.release[:2]]
    if not patches:
        return None
    before = [each for each in patches if Version(each) <= wanted]
    return table(pins[before[-1] if before else patches[0]])


@cache
def table(vllm: str) -> VllmTable:
    """Return the table of a vLLM version. Raises FileNotFoundError if there is none."""
    raw = _read(vllm)
    names = {argument: frozenset(known) for argument, known in raw["names"].items()}
    return VllmTable(vllm, raw["arguments"], raw["classes"], names)


def first_with(argument: str, after: str) -> tuple[str, str] | None:
    """Return the Ray version and its vLLM version that first have `argument`, later than Ray version `after`."""
    for ray, vllm in vllm_of_ray().items():
        if Version(ray) > Version(after) and argument in table(vllm).arguments:
            return ray, vllm
    return None


def _read(name: str) -> Any:
    return json.loads((TABLES / f"{name}.json").read_text())
