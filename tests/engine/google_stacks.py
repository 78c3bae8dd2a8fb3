"""Stacks of this checkout's own program on the stand-in for Google's API."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from paths import CHECKOUT
from rehearsal import install_plugins
from rehearsal.google.cloud import StandInCloud
from tests.golden.inventory import short_name
from tests.harness.pulumi_project import OPERATION_NAMES, UNCHANGED, CommandResult, PulumiProject
from tests.unit.case import blocks, edited

WITHOUT_SERVING = {"serving": None}
"""Leaves out everything inside the clusters, which the tier `cluster` tests: here there are no clusters."""


def google_settings(name: str) -> dict[str, Any]:
    """Return the settings of `Pulumi.<name>.yaml` without what runs in the clusters."""
    return edited(blocks(name), WITHOUT_SERVING)


def rehearsal_project(
    work: Path, name: str, edit: Mapping[str, Any] | None = None, *, with_clusters: bool = False
) -> tuple[PulumiProject, StandInCloud]:
    """Return the stack of `Pulumi.<name>.yaml` with `edit`, before its first `up`, and its cloud.

    Only the APIs that the program enables are enabled. `with_clusters` includes what runs in the clusters.
    """
    project = PulumiProject.from_checkout(work, stack=name)
    cloud = StandInCloud(install_plugins.install_google(project.pulumi_home))
    install_plugins.install_kubernetes(project.pulumi_home)
    project.init()
    write_settings(project, edited(blocks(name) if with_clusters else google_settings(name), dict(edit or {})))
    return project, cloud


def preview_copy(work: Path, example: Path) -> CommandResult:
    """Return the preview of a stack whose file is a copy of `example`, with a token and with every policy.

    The stack has no policies/STACK.json, so each policy is mandatory unless it only advises.
    """
    project = PulumiProject.from_checkout(work, stack="mine")
    install_plugins.install_google(project.pulumi_home)
    install_plugins.install_kubernetes(project.pulumi_home)
    shutil.copyfile(example, project.stack_file)
    project.init()
    project.run("config", "set", "--secret", "rayllm:huggingFaceToken", "hf_" + 30 * "a", "--stack", "mine").ok()
    return project.preview("--policy-pack", str(CHECKOUT / "policies"))


def write_settings(project: PulumiProject, settings: Mapping[str, Any]) -> None:
    """Replace both blocks of the stack's file."""
    content = yaml.safe_load(project.stack_file.read_text())
    content["config"] |= {f"rayllm:{name}": block for name, block in settings.items()}
    project.stack_file.write_text(yaml.safe_dump(content, sort_keys=False))


def google_changes(result: CommandResult) -> dict[str, str]:
    """Return `Type name` -> create, update, replace or delete, for each of Google's resources and the provider that
    changes."""
    return {
        short_name(step.type, step.urn): OPERATION_NAMES.get(step.op, step.op)
        for step in result.steps
        if step.op not in UNCHANGED and not step.type.startswith(("rayllm:", "pulumi:pulumi:"))
    }


def unexpected_changes(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Compare `found` with `expected`, whose keys are patterns. Return a line for each change that no pattern explains
    and for each pattern that explains no change."""
    explained = {
        key: next((pattern for pattern in expected if fnmatchcase(key, pattern) and expected[pattern] == op), None)
        for key, op in found.items()
    }
    unused = [pattern for pattern in expected if pattern not in explained.values()]
    return [
        *(f"{key}: {found[key]} is not expected" for key, pattern in explained.items() if pattern is None),
        *(f"{pattern}: expected {expected[pattern]}, and nothing matches" for pattern in unused),
    ]
