"""Getting Pulumi: the CLI on PATH when it is complete, else one built from its released Go modules.

Complete means new enough (versions.PULUMI_CLI) and with a Python language host, as every official installation is. The
build goes into a cache outside the checkout, which later clones find. The official Python host is not released as a Go
module of its own, so a built CLI runs with this project's small one (language_host.py). Nothing is downloaded from a
release page. Standard library only.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.cache import alone, cache
from tools.bootstrap.console import Stop, run, say
from versions import GO_FLOOR, PULUMI_CLI

HERE = Path(__file__).resolve().parent
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""In the SDK's module: what runs a program, and what runs dynamic providers."""
OFFICIAL = "https://www.pulumi.com/docs/install/"
HOST = HERE / "language_host.py"
SHIM = """#!/bin/sh
# Pulumi's engine wants its language hosts beside it; which checkout's host it is, the environment says (`make env`).
exec "${VIRTUAL_ENV:?}/bin/python" "${RAYLLM_LANGUAGE_HOST:?}" "$@"
"""
NO_DOWNLOADS = {
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
}
"""A built CLI has no release to match plugins against."""


@dataclass(frozen=True)
class Engine:
    """A usable CLI: `path` is what belongs in front of PATH, `label` says where it comes from."""

    path: Path
    label: str
    official: bool

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        found = {"PATH": os.pathsep.join([str(self.path), os.environ.get("PATH", "")])}
        return found if self.official else {**found, **NO_DOWNLOADS, "RAYLLM_LANGUAGE_HOST": str(HOST)}


def get() -> Engine:
    """The CLI to use; builds it when there is none. Raises `Stop` when there is neither a CLI nor Go."""
    return _installed() or _built() or _build()


def _installed() -> Engine | None:
    found = shutil.which("pulumi")
    if found is None:
        return None
    version = re.search(r"\d+\.\d+\.\d+", _ask(found, "version"))
    beside = Path(found).resolve().parent / "pulumi-language-python"
    host = shutil.which("pulumi-language-python") or (str(beside) if beside.exists() else None)
    ours = beside.exists() and beside.read_bytes() == SHIM.encode()
    if version is None or host is None or ours:
        return None
    if _numbers(version.group()) < _numbers(PULUMI_CLI):
        say(f"  Pulumi {version.group()} on PATH is older than {PULUMI_CLI}, which this stack needs: not used")
        return None
    return Engine(Path(found).parent, f"Pulumi {version.group()} ({found})", official=True)


def _folder() -> Path:
    system, machine = platform.system().lower(), platform.machine().lower()
    return cache() / f"pulumi-{PULUMI_CLI}-{system}-{machine}"


def _built() -> Engine | None:
    folder = _folder()
    if not (folder / "complete").exists():
        return None
    label = f"Pulumi {PULUMI_CLI}, built from its Go module, with this project's Python host"
    return Engine(folder, label, official=False)


def _build() -> Engine:
    go = shutil.which("go")
    if go is None:
        raise Stop(
            f"There is no Pulumi CLI {PULUMI_CLI} or newer here, and no Go to build it with: install Pulumi with "
            f"`curl -fsSL https://get.pulumi.com | sh` ({OFFICIAL}), then run the same command again."
        )
    version = re.search(r"go(\d+\.\d+)", _ask(go, "version"))
    if version is None or _numbers(version.group(1)) < _numbers(GO_FLOOR):
        raise Stop(
            f"Go {version.group(1) if version else '?'} is too old to build the Pulumi CLI: install Go {GO_FLOOR} or "
            f"newer, or Pulumi itself ({OFFICIAL}), then run the same command again."
        )
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder.name):
        if not _built():
            _compile(go, folder)
    built = _built()
    assert built is not None
    return built


def _compile(go: str, folder: Path) -> None:
    module = HERE / "pulumi_cli_module"
    env = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    say(f"  Pulumi {PULUMI_CLI}: building it from its Go module, once (3 to 5 minutes on two cores)")
    tags = "-tags=osusergo,grpcnotrace"
    listed = run([go, "list", "-deps", tags, PACKAGE], "Pulumi: fetching its modules", env=env, cwd=module)
    total = len(listed.splitlines())
    version = f"-X {SDK}/go/common/version.Version=v{PULUMI_CLI}"
    run(
        [
            go,
            "build",
            "-v",
            "-trimpath",
            tags,
            "-gcflags=all=-dwarf=false",
            f"-ldflags=-s -w {version}",
            "-o",
            str(folder / "pulumi"),
            PACKAGE,
        ],
        "Pulumi: compiling",
        env=env,
        cwd=module,
        progress=lambda done: f"{min(done, total)} of {total} packages",
    )
    sdk = Path(run([go, "list", "-m", "-f", "{{.Dir}}", SDK], "Pulumi: its scripts", env=env, cwd=module).strip())
    for script in SCRIPTS:
        target = folder / Path(script).name
        shutil.copyfile(sdk / script, target)
        target.chmod(0o755)  # the module cache drops the bit
    shim = folder / "pulumi-language-python"
    shim.write_text(SHIM)
    shim.chmod(0o755)
    (folder / "complete").touch()


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))
