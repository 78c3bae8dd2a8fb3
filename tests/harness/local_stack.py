"""A copy of the checkout with a stack of its own. Tests use it through `make`, as a person would."""

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
import yaml

from config.model_service import TINY_RANDOM
from infra.local import provision
from paths import CHECKOUT
from tests.unit.case import edited
from workloads.local import processes


@dataclass(frozen=True)
class Clone:
    """The files that `git clone` would give, with the virtual environments of this checkout."""

    folder: Path

    @property
    def process_tag(self) -> str:
        """Tag in the environment of the stack's processes."""
        return provision.process_tag("local", self.folder)

    def make(self, target: str, *, ok: bool = True, **variables: str) -> str:
        """Run `make TARGET`. Return its output; assert that it succeeds, or fails with `ok=False`."""
        words = [f"{name}={value}" for name, value in variables.items()]
        run = subprocess.run(
            ["make", target, *words],
            cwd=self.folder,
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert (run.returncode == 0) is ok, run.stdout + run.stderr
        return run.stdout + run.stderr

    def start(self, target: str) -> subprocess.Popen[bytes]:
        """Start `make TARGET` without waiting for it."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(["make", target], cwd=self.folder, env=self.env(), stdout=quiet, stderr=quiet)

    def env(self) -> dict[str, str]:
        """Return the environment variables without those of another Pulumi."""
        return {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_")}

    def edit(self, changes: dict[str, Any]) -> None:
        """Change settings (`serving.replicas.num_replicas`) in Pulumi.local.yaml."""
        file = self.folder / "Pulumi.local.yaml"
        content = yaml.safe_load(file.read_text())
        paths = {
            f"config.rayllm:{path.split('.')[0]}.{path.partition('.')[2]}": value for path, value in changes.items()
        }
        file.write_text(yaml.safe_dump(edited(content, paths)))

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs."""
        return self.pulumi("stack output --json")

    def pulumi(self, command: str) -> dict[str, Any]:
        """Run a `pulumi` command with the variables of `make env`. Return its JSON output."""
        script = f'eval "$(make -s env)" && pulumi {command} --stack local'
        run = subprocess.run(["sh", "-c", script], cwd=self.folder, env=self.env(), capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the stack."""
        return processes.stack_processes(self.process_tag)


def running_clone(folder: Path, port_offset: int) -> Iterator[Clone]:
    """Yield a clone in `folder`, for a fixture. Its stack is destroyed afterwards."""
    clone = create_clone(folder, port_offset)
    yield clone
    if clone.processes():
        clone.make("down")


def create_clone(folder: Path, port_offset: int) -> Clone:
    """Copy the checkout's files into `folder`. Its stack serves random weights, and has other ports than a stack that
    may run beside it."""
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
    clone = Clone(folder)
    clone.edit({"infra.port_offset": port_offset, "serving.model": {"id": "tiny", "source": TINY_RANDOM}})
    return clone


def printed_checks(printed: str) -> dict[str, str]:
    """Return check name -> status of the lines that `make up` ends with."""
    return {name: status for status, name in re.findall(r"^  (ok|FAILED) +(.+?)  +\S", printed, re.MULTILINE)}
