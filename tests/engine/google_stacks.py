"""Stacks of this checkout's own program on the Google stand-in, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from rehearsal import google, kubernetes
from rehearsal.google.cloud import Cloud
from tests.golden.inventory import short
from tests.harness.pulumi_project import Engine, Result
from tests.unit.case import blocks, edited

GOOGLE_ALONE = {"serving": None}
"""What runs in the clusters is the cluster tier's business: here there are none."""


def alone(name: str) -> dict[str, Any]:
    """The settings of `Pulumi.<name>.yaml`, Google's half alone."""
    return edited(blocks(name), GOOGLE_ALONE)


def stack(
    work: Path, name: str, edit: Mapping[str, Any] | None = None, *, with_clusters: bool = False
) -> tuple[Engine, Cloud]:
    """The stack that `Pulumi.<name>.yaml` describes, with `edit` on top; nothing is made yet. Only APIs that it enables
    itself are on. `with_clusters`: the other half, too."""
    engine = Engine.shadow(work, stack=name)
    cloud = Cloud(google.mount(engine.home))
    kubernetes.mount(engine.home)
    engine.init()
    write(engine, edited(blocks(name) if with_clusters else alone(name), dict(edit or {})))
    return engine, cloud


def write(engine: Engine, settings: Mapping[str, Any]) -> None:
    """Replace both blocks of the stack's file."""
    whole = yaml.safe_load(engine.settings.read_text())
    whole["config"] |= {f"rayllm:{name}": block for name, block in settings.items()}
    engine.settings.write_text(yaml.safe_dump(whole, sort_keys=False))


def changes(result: Result) -> dict[str, str]:
    """`Type name` -> create, update, replace or delete, of all of Google's (and the provider) that does not stay."""
    names = {"create-replacement": "replace", "delete-replaced": "replace"}
    still = ("same", "read", "refresh")
    return {
        short(step.type, step.urn): names.get(step.op, step.op)
        for step in result.steps
        if step.op not in still and not step.type.startswith(("rayllm:", "pulumi:pulumi:"))
    }


def unexplained(found: Mapping[str, str], does: Mapping[str, str]) -> list[str]:
    """Changes that the row does not have, and lines of the row that nothing came of."""
    explained = {
        key: next((line for line in does if fnmatchcase(key, line) and does[line] == op), None)
        for key, op in found.items()
    }
    return [
        *(f"{key}: {found[key]}, and the row does not say so" for key, line in explained.items() if line is None),
        *(
            f"{line}: {op}, says the row, and nothing does"
            for line, op in does.items()
            if line not in explained.values()
        ),
    ]
