"""Tests, linters, generated files and preflight, behind the `make` targets of those names.

Standard library only: it installs what the rest needs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paths import CHECKOUT
from rehearsal.control_plane import OWN_CLUSTER, builds, network_namespace
from tests.harness.node import __main__ as node
from tests.harness.node import host
from tools.bootstrap import console, pulumi_cli, venvs
from tools.bootstrap.console import Stop, say

ON_A_NODE = {
    "node": ("proof", "verify", "regions"),
    "kills": ("kills",),
    "faults": ("faults",),
    "leaving": ("leaving",),
    "changes": ("changes",),
    "releases": ("releases",),
    "autoscaling": ("autoscaling",),
    "scaling": ("scaling",),
}
"""Tiers that run only when they are named, each on a node that is there for it alone: files of tests/node."""
TIERS = ("unit", "engine", "cluster", "serving", *ON_A_NODE)
"""Cheapest first; tests/conftest.py says when one cannot run here."""
PRODUCT = ("config/", "infra/", "workloads/", "policies/", "verify/", "tools/")
"""Beside the files at the top."""
RIG = ("rehearsal/", "tests/harness/")
GENERATED = (".sum", ".txt", ".png", ".svg")


def test(tier: str) -> int:
    """Run one tier, or all but those ON_A_NODE: the cheapest in front, the others beside it."""
    if tier and tier not in TIERS:
        raise Stop(f"There is no tier {tier}: write TIER=one of {', '.join(TIERS)}, or leave it out for all.")
    found: list[pulumi_cli.Engine] = []

    def get_engine() -> None:
        if tier != "unit":
            found.append(pulumi_cli.get())

    def get_packages() -> None:
        venvs.ensure_program(dev=True)
        if tier in ("", "serving", *ON_A_NODE):
            venvs.ensure_ray()

    say("Getting ready")
    console.together(get_engine, get_packages)
    env = {**os.environ, **(found[0].environment if found else {}), "VIRTUAL_ENV": str(venvs.PROGRAM)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every process parses hundreds of modules again
    tiers = [tier] if tier else [each for each in TIERS if each not in ON_A_NODE]
    if "cluster" in tiers:
        _get_tools()
    building = _start_build(env, node=tier in ON_A_NODE) if {"cluster", *ON_A_NODE} & set(tiers) else None
    beside: list[_Beside] = []
    try:
        # Every tier waits for others half of its time: they run beside one another, and are shown one by one.
        in_front = tiers[0]
        beside += [_Beside([f"tests/{each}"], env) for each in ("serving", "engine") if each in tiers[1:]]
        if "cluster" in tiers and building is None:
            beside += [_Beside(paths, env, in_namespace=True) for paths in CLUSTER_HALVES]
        if in_front in ("unit", "engine", "serving") and (status := _pytest([f"tests/{in_front}"], env)):
            return status
        if building is not None and not _finish_build(building):
            return 1
        if "cluster" in tiers and building is not None:
            beside += [_Beside(paths, env, in_namespace=True) for paths in CLUSTER_HALVES]
        found_status = [each.finish() for each in beside]
        if tier in ON_A_NODE:
            found_status.append(_on_a_node(tier, env))
        return _all_of(found_status)
    finally:
        for each in beside:
            each.end()
        if building is not None and building.poll() is None:
            os.killpg(building.pid, signal.SIGTERM)
        venvs.keep_made()


SECOND_HALF = ["tests/cluster/test_readiness.py", "tests/cluster/test_two_regions.py"]
CLUSTER_HALVES = (
    ["tests/cluster", *(f"--ignore={each}" for each in SECOND_HALF)],
    SECOND_HALF,
)
"""Each takes about as long as the other, and has a network namespace to itself."""


def _all_of(statuses: Sequence[int]) -> int:
    """0 where each is; that of a process that was killed is negative."""
    return int(any(statuses))


def _pytest(paths: Sequence[str], env: Mapping[str, str]) -> int:
    return subprocess.run([_tool("python"), "-m", "pytest", *paths], cwd=CHECKOUT, env=env).returncode


def _on_a_node(tier: str, env: Mapping[str, str]) -> int:
    """A tier inside the namespaces of a node."""
    folder = CHECKOUT / ".state" / "node"
    words = [*(f"tests/node/test_{each}.py" for each in ON_A_NODE[tier]), *(["-s"] if sys.stdout.isatty() else [])]
    if host.obstacle():
        return _pytest(words, env)  # says why it is not run
    try:
        node.up(folder)
        command = node.inside(folder, [_tool("python"), "-m", "pytest", *words])
        return subprocess.run(command, cwd=CHECKOUT, env={**env, "RAYLLM_NODE_FOLDER": str(folder)}).returncode
    finally:
        node.down(folder)


class _Beside:
    """Tests in the background."""

    def __init__(self, paths: Sequence[str], env: Mapping[str, str], *, in_namespace: bool = False) -> None:
        outside = not in_namespace or _own_cluster() or network_namespace.obstacle()
        self.holder = None if outside else network_namespace.hold()
        self.log = Path(tempfile.mkstemp(prefix="rayllm-", suffix=".log")[1])
        enter = [] if self.holder is None else network_namespace.enter(self.holder)
        command = [*enter, _tool("python"), "-m", "pytest", *paths]
        quiet = subprocess.DEVNULL
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=CHECKOUT, env=env, stdin=quiet, stdout=log, stderr=log, start_new_session=True
            )
        say(f"Beside the others, shown at the end: {' '.join(paths)}")

    def finish(self) -> int:
        """Wait, show what it said, return its status."""
        spoken = time.monotonic()
        while self.process.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - spoken >= console.EVERY_S:
                spoken = time.monotonic()
                say("  " + "".join(self._said().splitlines()[-1:]))
        say(self._said())
        return self.process.returncode

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)  # pytest then ends what its fixtures have started
            self.process.wait()
        if self.holder is not None:
            os.kill(self.holder, signal.SIGKILL)
        self.log.unlink()

    def _said(self) -> str:
        return self.log.read_text(errors="replace")


def _get_tools() -> None:
    """On a fresh CI machine, install what a network namespace takes; on a person's, only say what is missing."""
    packages_of = sorted(set(network_namespace.lacking().values()))
    if packages_of and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        console.run(["apt-get", "update"], "Debian's package lists")
        console.run(["apt-get", "install", "--yes", "--no-install-recommends", *packages_of], ", ".join(packages_of))


def _start_build(env: Mapping[str, str], *, node: bool) -> subprocess.Popen[bytes] | None:
    """Build the control plane (and what makes a node of it) beside the cheaper tiers; None where there is nothing to
    build, or no way to use it."""
    what = "tests.harness.node" if node and not host.obstacle() else "rehearsal.control_plane"
    built = builds.CONTROL_PLANE.built and (builds.NODE.built or what != "tests.harness.node")
    if built or _own_cluster() or network_namespace.obstacle() or not shutil.which("go"):
        return None
    say(f"Kubernetes and KubeRay: built from Go modules meanwhile, once; progress in {_build_log()}")
    _build_log().parent.mkdir(parents=True, exist_ok=True)
    command = ["nice", _tool("python"), "-m", what, "build"]
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


def _finish_build(building: subprocess.Popen[bytes]) -> bool:
    """Wait for it; whether there is a control plane."""
    while building.poll() is None:
        time.sleep(console.EVERY_S)
        say("".join(_build_log().read_text(errors="replace").splitlines()[-1:]))
    if building.returncode == 0:
        say("Kubernetes and KubeRay: built")
        return True
    told = _build_log().read_text(errors="replace").rstrip()[-2000:]
    say(f"Kubernetes and KubeRay cannot be built, so that what needs them fails. The end of {_build_log()}:\n{told}")
    return False


def _build_log() -> Path:
    return builds.CONTROL_PLANE.folder.with_suffix(".log")


def _own_cluster() -> bool:
    return bool(os.environ.get(OWN_CLUSTER))


def lint(_: str) -> int:
    """Both linters at zero findings; then the size of the house."""
    venvs.ensure_program(dev=True)
    checks = ([_tool("ruff"), "check", "."], [_tool("ruff"), "format", "--check", "."], [_tool("basedpyright")])
    status = _all_of([subprocess.run(check, cwd=CHECKOUT).returncode for check in checks])
    product, rig, tests = _lines()
    say(f"Lines: product {product}, tests {tests}, rig {rig}.")
    if rig > product:
        say("The rig has outgrown the product: what can go?")
        status = status or 1
    return status


def docs(_: str) -> int:
    """Write the generated pages."""
    venvs.ensure_program(dev=True)
    return subprocess.run([_tool("python"), "-m", "tools.docs"], cwd=CHECKOUT).returncode


def compat(_: str) -> int:
    """Print the compatibility table."""
    venvs.ensure_program()
    return subprocess.run([_tool("python"), "-m", "tools.compatibility"], cwd=CHECKOUT).returncode


def preflight(stack: str) -> int:
    """Look at what an `up` of a cloud environment will need."""
    venvs.ensure_program()
    if not (CHECKOUT / f"Pulumi.{stack}.yaml").exists():
        raise Stop(f"There is no stack {stack}: Pulumi.{stack}.yaml is missing.")
    return subprocess.run([_tool("python"), "-m", "tools.preflight", stack], cwd=CHECKOUT).returncode


def lock(_: str) -> int:
    """Resolve the dependency groups of pyproject.toml, each as hashed requirements without addresses."""
    options = ["--universal", "--python-version", "3.11", "--generate-hashes"]
    quiet = ["--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"]
    for name, extra in (("program", []), ("dev", ["--constraint", "locks/program.txt"]), ("ray", [])):
        say(f"  locks/{name}.txt")
        command = ["pip", "compile", *options, *quiet, *extra, "--upgrade", "--group", f"pyproject.toml:{name}"]
        subprocess.run([venvs.uv(), *command, "-o", f"locks/{name}.txt"], cwd=CHECKOUT, check=True)
    return 0


def _lines() -> tuple[int, int, int]:
    """Lines of product, rig and tests: tracked files, without what is generated, locked or prose."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True).stdout
    sizes = {
        name: len((CHECKOUT / name).read_bytes().splitlines())
        for name in filter(None, listed.split("\0"))
        if not name.endswith(GENERATED) and (CHECKOUT / name).is_file()
    }
    top = {"Makefile", *(name for name in sizes if "/" not in name and name.endswith((".py", ".yaml")))}
    product = sum(lines for name, lines in sizes.items() if name in top or name.startswith(PRODUCT))
    rig = sum(lines for name, lines in sizes.items() if name.startswith(RIG))
    return (
        product,
        rig,
        sum(lines for name, lines in sizes.items() if name.startswith("tests/") and not name.startswith(RIG)),
    )


def _tool(name: str) -> str:
    return str(Path(venvs.PROGRAM) / "bin" / name)


COMMANDS: dict[str, Callable[[str], int]] = {
    "test": test,
    "lint": lint,
    "docs": docs,
    "compat": compat,
    "lock": lock,
    "preflight": preflight,
}

if __name__ == "__main__":
    console.main(lambda: COMMANDS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else ""))
