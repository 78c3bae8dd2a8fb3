"""A clone of the checkout with a stack of its own, worked through the front door as a person would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from infra.local import provision
from paths import CHECKOUT
from tests.unit.case import edited
from workloads.local import processes

PORT_OFFSET = 400
"""Beside a stack `local` that may be up on this computer."""


@dataclass(frozen=True)
class Clone:
    """What a newcomer has after `git clone`, with this checkout's virtual environments."""

    folder: Path

    @property
    def mark(self) -> str:
        return provision.process_tag("local", self.folder)

    def make(self, target: str, *, ok: bool = True, **variables: str) -> str:
        """Run `make TARGET`; returns what it printed."""
        words = [f"{name}={value}" for name, value in variables.items()]
        run = subprocess.run(
            ["make", target, *words],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert (run.returncode == 0) is ok, run.stdout + run.stderr
        return run.stdout + run.stderr

    def start(self, target: str) -> subprocess.Popen[bytes]:
        """Run `make TARGET` and come back at once."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(["make", target], cwd=self.folder, env=self.environment(), stdout=quiet, stderr=quiet)

    def environment(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_")}

    def edit(self, changes: dict[str, Any]) -> None:
        """Change settings (`serving.replicas.num_replicas`) in Pulumi.local.yaml."""
        file = self.folder / "Pulumi.local.yaml"
        whole = yaml.safe_load(file.read_text())
        named = {
            f"config.rayllm:{path.split('.')[0]}.{path.partition('.')[2]}": value for path, value in changes.items()
        }
        file.write_text(yaml.safe_dump(edited(whole, named)))

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return self.pulumi("stack output --json")

    def pulumi(self, command: str) -> dict[str, Any]:
        """What it prints as JSON, by way of `make env` as a person would call it."""
        script = f'eval "$(make -s env)" && pulumi {command} --stack local'
        run = subprocess.run(
            ["sh", "-c", script], cwd=self.folder, env=self.environment(), capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def processes(self) -> list[psutil.Process]:
        return processes.stack_processes(self.mark)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    for name in (".venv", ".venv-ray"):
        (folder / name).symlink_to(CHECKOUT / name)
    made = Clone(folder)
    made.edit({"infra.port_offset": PORT_OFFSET})
    yield made
    if made.processes():
        made.make("down")


def proofs(printed: str) -> dict[str, str]:
    """Return check name -> status of the lines that `make up` ends with."""
    return {name: status for status, name in re.findall(r"^  (ok|FAILED) +(.+?)  +\S", printed, re.MULTILINE)}
