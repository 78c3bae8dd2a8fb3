"""One thing that settings may not say, as an edit of an environment that works."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import yaml

from paths import CHECKOUT

ABSENT = object()
"""As a value in an edit: the setting is taken out."""


@dataclass(frozen=True)
class Case:
    """`edit` maps paths (`infra.regions.0.zones`) to values; applied to the file of `stack` it breaks `rule` alone.
    `says` are words that the sentence must have. `first` makes an edit that still works, where the file needs one.
    `called` is the environment's name after the edit, where that is not the stack's."""

    rule: str
    edit: dict[str, Any]
    says: tuple[str, ...] = ()
    stack: str = "local"
    first: dict[str, Any] = field(default_factory=dict)
    called: str = ""

    @property
    def id(self) -> str:
        return "-".join((self.rule, *self.edit, self.called)).removesuffix("-")

    def base(self) -> dict[str, Any]:
        """The environment before the edit; it works."""
        return edited(blocks(self.stack), self.first)

    def broken(self) -> dict[str, Any]:
        """The environment after it."""
        return edited(self.base(), self.edit)


def blocks(stack: str) -> dict[str, Any]:
    """`{infra: ..., serving: ...}` of `Pulumi.<stack>.yaml`."""
    config = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {name: config.get(f"rayllm:{name}") for name in ("infra", "serving")}


def edited(raw: dict[str, Any], edit: dict[str, Any]) -> dict[str, Any]:
    """`raw` with every path of `edit` set, or taken out where the value is ABSENT."""
    whole: Any = copy.deepcopy(raw)
    for path, value in edit.items():
        *parents, last = (int(step) if step.isdigit() else step for step in path.split("."))
        here = whole
        for step in parents:
            if isinstance(here, dict) and here.get(step) is None:
                here[step] = {}
            here = here[step]
        _put(here, last, value if value is ABSENT else copy.deepcopy(value))
    return whole


def _put(into: Any, key: Any, value: Any) -> None:
    if value is ABSENT:
        del into[key]
    elif isinstance(into, list) and key == len(into):
        into.append(value)
    else:
        into[key] = value
