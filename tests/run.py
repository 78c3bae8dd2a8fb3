"""Run the test tiers, behind `make test`.

    python -m tests.run [TIER]

Standard library only: the system's Python runs it, and it installs the packages that the tests need.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from paths import CHECKOUT
from rehearsal.control_plane import builds, network_namespace
from tests.harness import own_cluster
from tests.harness.node import __main__ as node
from tests.harness.node import builds as node_builds
from tests.harness.node import host
from tools.bootstrap import console, pulumi_cli, venvs
from tools.bootstrap.console import CliError, say
from tools.dev import TEST_GROUPS

NODE_TIERS = {
    "node": ("proof", "verify", "regions"),
    "process-kills": ("process_kills",),
    "faults": ("faults",),
    "eviction": ("eviction",),
    "changes": ("changes",),
    "releases": ("releases",),
    "autoscaling": ("autoscaling",),
    "scaling": ("scaling",),
}
"""Tiers that run only by name, each on a node of its own -> its files tests/node/test_*.py."""
NAMED_TIERS = ("models", "examples", *NODE_TIERS)
"""Tiers that run only by name."""
TIERS = ("unit", "engine", "cluster", "serving", *NAMED_TIERS)
"""Cheapest first. tests/conftest.py reports when one cannot run on this machine."""
SECOND_CLUSTER_HALF = ["tests/cluster/test_readiness.py", "tests/cluster/test_two_regions.py"]
CLUSTER_HALVES = (
    ["tests/cluster", *(f"--ignore={each}" for each in SECOND_CLUSTER_HALF)],
    SECOND_CLUSTER_HALF,
)
"""The cluster tier in two runs that take about equally long, each in a network namespace of its own."""


def run(tier: str) -> int:
    """Run one tier, or without a name all tiers except `NAMED_TIERS`. Return the exit status.

    The first tier runs in the foreground. The others run in the background and their output follows: every tier waits
    half of its time for other processes.
    """
    if tier and tier not in TIERS:
        raise CliError(f"Tier {tier} is unknown. Use TIER=one of {', '.join(TIERS)}, or leave it out to run all.")
    env = _prepare(tier)
    tiers = [tier] if tier else [each for each in TIERS if each not in NAMED_TIERS]
    if "cluster" in tiers:
        _install_namespace_tools()
    build = start_control_plane_build(env, node=tier in NODE_TIERS) if {"cluster", *NODE_TIERS} & set(tiers) else None
    background: list[BackgroundRun] = []
    try:
        background += [BackgroundRun([f"tests/{each}"], env) for each in ("serving", "engine") if each in tiers[1:]]
        if "cluster" in tiers and build is None:
            background += [BackgroundRun(paths, env, in_namespace=True) for paths in CLUSTER_HALVES]
        if tiers[0] not in ("cluster", *NODE_TIERS) and (status := _pytest([f"tests/{tiers[0]}"], env)):
            return status
        if build is not None and not _finish_build(build):
            return 1
        if "cluster" in tiers and build is not None:
            background += [BackgroundRun(paths, env, in_namespace=True) for paths in CLUSTER_HALVES]
        statuses = [each.finish() for each in background]
        if tier in NODE_TIERS:
            statuses.append(_run_on_node(tier, env))
        return console.combined_status(statuses)
    finally:
        for each in background:
            each.stop()
        if build is not None and build.poll() is None:
            os.killpg(build.pid, signal.SIGTERM)
        venvs.cache_bytecode()


def _prepare(tier: str) -> dict[str, str]:
    """Install tools and packages. Return the variables that pytest runs with."""
    found: list[pulumi_cli.PulumiCli] = []

    def get_cli() -> None:
        if tier != "unit":
            found.append(pulumi_cli.find_or_build())

    def get_packages() -> None:
        venvs.ensure_program(*TEST_GROUPS)
        if tier in ("", "serving", "models", *NODE_TIERS):
            venvs.ensure_ray()

    say("Installing tools and packages")
    console.run_parallel(get_cli, get_packages)
    env = {**os.environ, **(found[0].env_vars if found else {}), "VIRTUAL_ENV": str(venvs.PROGRAM)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every process parses hundreds of modules again
    return env


def _pytest(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    command = [venvs.program_tool("python"), "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=env).returncode


def _run_on_node(tier: str, env: Mapping[str, str]) -> int:
    """Start a node, run the tier inside its namespaces, stop the node."""
    folder = CHECKOUT / ".state" / "node"
    arguments = [
        *(f"tests/node/test_{each}.py" for each in NODE_TIERS[tier]),
        *(["-s"] if sys.stdout.isatty() else []),
    ]
    if host.unavailable_reason():
        return _pytest(arguments, env)  # tests/conftest.py reports the reason
    try:
        node.up(folder)
        command = node.command_inside(folder, [venvs.program_tool("python"), "-m", "pytest", *arguments])
        return subprocess.run(command, cwd=CHECKOUT, env={**env, "RAYLLM_NODE_FOLDER": str(folder)}).returncode
    finally:
        node.down(folder)


class BackgroundRun:
    """One pytest run in the background; its output goes to a log file."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], *, in_namespace: bool = False) -> None:
        outside = not in_namespace or own_cluster.kubeconfig() or network_namespace.unavailable_reason()
        self.holder = None if outside else network_namespace.create()
        self.log = Path(tempfile.mkstemp(prefix="rayllm-", suffix=".log")[1])
        enter = [] if self.holder is None else network_namespace.enter_command(self.holder)
        command = [*enter, venvs.program_tool("python"), "-m", "pytest", *arguments]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        say(f"In the background, output at the end: {' '.join(arguments)}")

    def finish(self) -> int:
        """Wait for the end, print the output and return the exit status. Print its last line every few seconds."""
        reported = time.monotonic()
        while self.process.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - reported >= console.PROGRESS_INTERVAL_S:
                reported = time.monotonic()
                say("  " + "".join(self._output().splitlines()[-1:]))
        say(self._output())
        return self.process.returncode

    def stop(self) -> None:
        """End the run and its namespace, and remove the log file."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)  # pytest then runs its fixtures' teardown
            self.process.wait()
        if self.holder is not None:
            os.kill(self.holder, signal.SIGKILL)
        self.log.unlink()

    def _output(self) -> str:
        return self.log.read_text(errors="replace")


def _install_namespace_tools() -> None:
    """Install the tools that a network namespace needs, in CI as root. Elsewhere tests/conftest.py names them."""
    packages = sorted(set(network_namespace.missing_tools().values()))
    if packages and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        console.run(["apt-get", "update"], "apt-get update")
        console.run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], ", ".join(packages))


def start_control_plane_build(env: Mapping[str, str], *, node: bool) -> subprocess.Popen[bytes] | None:
    """Build the control plane, and for a node tier the node's programs, while the cheaper tiers run.

    Return None if everything is built, or if it cannot be built or used on this machine.
    """
    module = "tests.harness.node" if node and not host.unavailable_reason() else "rehearsal.control_plane"
    built = builds.CONTROL_PLANE.is_built and (node_builds.NODE.is_built or module != "tests.harness.node")
    if built or own_cluster.kubeconfig() or network_namespace.unavailable_reason() or not shutil.which("go"):
        return None
    say(f"Kubernetes and KubeRay: building them once from Go modules; progress in {_build_log()}")
    _build_log().parent.mkdir(parents=True, exist_ok=True)
    command = ["nice", venvs.program_tool("python"), "-m", module, "build"]
    with _build_log().open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _finish_build(build: subprocess.Popen[bytes]) -> bool:
    """Wait for the build. Return whether it succeeded; print the end of its log if not."""
    while build.poll() is None:
        time.sleep(console.PROGRESS_INTERVAL_S)
        say("".join(_build_log().read_text(errors="replace").splitlines()[-1:]))
    if build.returncode == 0:
        say("Kubernetes and KubeRay: built")
        return True
    tail = _build_log().read_text(errors="replace").rstrip()[-2000:]
    say(f"Kubernetes and KubeRay: the build failed, so the tests that need them cannot run. {_build_log()}:\n{tail}")
    return False


def _build_log() -> Path:
    return builds.CONTROL_PLANE.folder.with_suffix(".log")


if __name__ == "__main__":
    console.main(lambda: run(sys.argv[1] if len(sys.argv) > 1 else ""))
