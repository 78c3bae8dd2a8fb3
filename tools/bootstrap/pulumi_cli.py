"""Find the Pulumi CLI on PATH, or build it from its released Go modules.

A CLI on PATH is used if it is not older than `versions.PULUMI_CLI` and has a Python language host, as every official
installation has. Otherwise Go builds the CLI into the cache outside the checkout, and later clones use that build.
Pulumi does not release its Python language host as a Go module, so a built CLI runs this project's own
(language_host.py). Nothing is downloaded from a release page. Standard library only: it runs before anything is
installed, so it compares versions without `packaging`.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from paths import cache_dir
from tools.bootstrap.cache import cache_lock
from tools.bootstrap.console import CliError, run, say
from versions import GO_FLOOR, PULUMI_CLI

HERE = Path(__file__).resolve().parent
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""Files of the SDK's Go module: one starts a program, the other starts dynamic providers."""
INSTALL_URL = "https://www.pulumi.com/docs/install/"
HOST = HERE / "language_host.py"
HOST_VARIABLE = "RAYLLM_LANGUAGE_HOST"
"""Environment variable that names the language host of the checkout in use."""
SHIM = """#!/bin/sh
# Pulumi's engine starts the language host that lies beside it. Two variables select the checkout (see `make env`).
exec "${VIRTUAL_ENV:?}/bin/python" "${RAYLLM_LANGUAGE_HOST:?}" "$@"
"""
BUILD_CPU_S = 400
"""CPU seconds of a build, measured; they spread over all cores. A higher GOGC does not lower them: Go's compiler starts
with a large heap if GOGC is not set (AdjustStartingHeap in cmd/compile/internal/base/base.go)."""
NO_DOWNLOADS = {
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
}
"""A built CLI belongs to no release, so the engine cannot choose plugin versions to download."""


@dataclass(frozen=True)
class PulumiCli:
    """A Pulumi CLI that this project can use."""

    path: Path
    """Directory to put first on PATH."""
    label: str
    """Version and origin, for the console."""
    official: bool
    """False for a CLI that this project built from Go modules."""

    @property
    def env_vars(self) -> dict[str, str]:
        """Environment variables with which a process finds and runs this CLI."""
        path = {"PATH": os.pathsep.join([str(self.path), os.environ.get("PATH", "")])}
        return path if self.official else {**path, **NO_DOWNLOADS, HOST_VARIABLE: str(HOST)}


def find_or_build() -> PulumiCli:
    """Return the CLI on PATH, else the one in the cache, else build it.

    Raises `CliError` if there is neither a CLI nor Go of `versions.GO_FLOOR` or newer.
    """
    return _installed() or _built() or _build()


def _installed() -> PulumiCli | None:
    """Return the CLI on PATH, or None if it is too old or has no official Python language host."""
    found = shutil.which("pulumi")
    if found is None:
        return None
    version = re.search(r"\d+\.\d+\.\d+", _ask(found, "version"))
    beside = Path(found).resolve().parent / "pulumi-language-python"
    host = shutil.which("pulumi-language-python") or (str(beside) if beside.exists() else None)
    # `make env` puts a built CLI on PATH. A cached one may hold the shim of an older checkout: look for its variable.
    ours = beside.exists() and HOST_VARIABLE.encode() in beside.read_bytes()
    if version is None or host is None or ours:
        return None
    if _numbers(version.group()) < _numbers(PULUMI_CLI):
        say(f"  Pulumi {version.group()} on PATH is not used: this stack needs {PULUMI_CLI} or newer")
        return None
    return PulumiCli(Path(found).parent, f"Pulumi {version.group()} ({found})", official=True)


def build_dir() -> Path:
    """Return the cache directory of the built CLI, for this version, operating system and CPU."""
    system, machine = platform.system().lower(), platform.machine().lower()
    return cache_dir() / f"pulumi-{PULUMI_CLI}-{system}-{machine}"


def _built() -> PulumiCli | None:
    folder = build_dir()
    if not (folder / "complete").exists():
        return None
    label = f"Pulumi {PULUMI_CLI}, built from its Go module, with this project's Python language host"
    return PulumiCli(folder, label, official=False)


def _build() -> PulumiCli:
    go = shutil.which("go")
    if go is None:
        raise CliError(
            f"Pulumi CLI {PULUMI_CLI} or newer is not on PATH, and Go is missing to build it. Install Pulumi with "
            f"`curl -fsSL https://get.pulumi.com | sh` ({INSTALL_URL}), then run the same command again."
        )
    version = re.search(r"go(\d+\.\d+)", _ask(go, "version"))
    if version is None or _numbers(version.group(1)) < _numbers(GO_FLOOR):
        raise CliError(
            f"Go {version.group(1) if version else '?'} is too old to build the Pulumi CLI. Install Go {GO_FLOOR} or "
            f"newer, or Pulumi itself ({INSTALL_URL}), then run the same command again."
        )
    folder = build_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with cache_lock(folder.name):
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    minutes = max(1, round(BUILD_CPU_S / cores / 60))
    say(f"  Pulumi {PULUMI_CLI}: building it once from its Go module (about {minutes} min on {cores} cores)")
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
    list_sdk = [go, "list", "-m", "-f", "{{.Dir}}", SDK]
    sdk = Path(run(list_sdk, "Pulumi: finding its scripts", env=env, cwd=module).strip())
    for script in SCRIPTS:
        target = folder / Path(script).name
        shutil.copyfile(sdk / script, target)
        target.chmod(0o755)  # Go's module cache drops the executable bit
    shim = folder / "pulumi-language-python"
    shim.write_text(SHIM)
    shim.chmod(0o755)
    (folder / "complete").touch()


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))
