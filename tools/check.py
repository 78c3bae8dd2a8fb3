"""Tests, linters, generated files and preflight, behind the `make` targets of those names.

Standard library only: it installs what the rest needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tools import console, engine, packages
from tools.console import Stop, say

CHECKOUT = packages.CHECKOUT
TIERS = ("unit", "engine", "serving")
"""Cheapest first; tests/conftest.py says when one cannot run here."""
PRODUCT = ("infra/", "workloads/", "policies/", "tools/")
"""Beside the files at the top."""
RIG = "tests/rig/"
GENERATED = (".sum", ".txt", ".png", ".svg")


def test(tier: str) -> int:
    """Run one tier, or all of them, cheapest first."""
    if tier and tier not in TIERS:
        raise Stop(f"There is no tier {tier}: write TIER=one of {', '.join(TIERS)}, or leave it out for all.")
    found: list[engine.Engine] = []

    def get_engine() -> None:
        if tier != "unit":
            found.append(engine.get())

    def get_packages() -> None:
        packages.ensure_program(dev=True)
        if tier in ("", "serving"):
            packages.ensure_ray()

    say("Getting ready")
    console.together(get_engine, get_packages)
    env = {**os.environ, **(found[0].environment if found else {}), "VIRTUAL_ENV": str(packages.PROGRAM)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every process parses hundreds of modules again
    folders = [f"tests/{name}" for name in ([tier] if tier else TIERS)]
    return subprocess.run([_tool("python"), "-m", "pytest", *folders], cwd=CHECKOUT, env=env).returncode


def lint(_: str) -> int:
    """Both linters at zero findings; then the size of the house."""
    packages.ensure_program(dev=True)
    checks = ([_tool("ruff"), "check", "."], [_tool("ruff"), "format", "--check", "."], [_tool("basedpyright")])
    status = max(subprocess.run(check, cwd=CHECKOUT).returncode for check in checks)
    product, rig, tests = _lines()
    say(f"Lines: product {product}, tests {tests}, rig {rig}.")
    if rig > product:
        say("The rig has outgrown the product: what can go?")
        status = status or 1
    return status


def docs(_: str) -> int:
    """Write the generated pages."""
    packages.ensure_program(dev=True)
    return subprocess.run([_tool("python"), "-m", "tools.pages"], cwd=CHECKOUT).returncode


def preflight(stack: str) -> int:
    """Look at what an `up` of a cloud environment will need."""
    packages.ensure_program()
    if not (CHECKOUT / f"Pulumi.{stack}.yaml").exists():
        raise Stop(f"There is no stack {stack}: Pulumi.{stack}.yaml is missing.")
    return subprocess.run([_tool("python"), "-m", "tools.preflight", stack], cwd=CHECKOUT).returncode


def lock(_: str) -> int:
    """Resolve the dependency groups of pyproject.toml, each as hashed requirements without addresses."""
    options = ["--universal", "--python-version", "3.11", "--generate-hashes"]
    quiet = ["--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"]
    for name, extra in (("program", []), ("dev", ["--constraint", "locks/program.txt"]), ("machine", [])):
        say(f"  locks/{name}.txt")
        command = ["pip", "compile", *options, *quiet, *extra, "--upgrade", "--group", f"pyproject.toml:{name}"]
        subprocess.run([packages.uv(), *command, "-o", f"locks/{name}.txt"], cwd=CHECKOUT, check=True)
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
    return product, rig, sum(lines for name, lines in sizes.items() if name.startswith("tests/")) - rig


def _tool(name: str) -> str:
    return str(Path(packages.PROGRAM) / "bin" / name)


COMMANDS: dict[str, Callable[[str], int]] = {
    "test": test,
    "lint": lint,
    "docs": docs,
    "lock": lock,
    "preflight": preflight,
}

if __name__ == "__main__":
    console.main(lambda: COMMANDS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else ""))
