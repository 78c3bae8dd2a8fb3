"""Layers: what each room of the product may import, and how large its files and functions may be.

Imports are read from the source by `ast`. A string such as "tests.harness" in a product file is an import too.
EXCEPTIONS and LARGE list what is still to be cleaned: an entry that no longer applies fails, so the lists only shrink.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from paths import CHECKOUT

ROOMS = (
    "__main__",
    "config",
    "infra",
    "paths",
    "policies",
    "rehearsal",
    "tests",
    "tools",
    "verify",
    "versions",
    "workloads",
)
ALLOWED: dict[str, tuple[str, ...]] = {
    "__main__": ("config", "infra", "workloads"),
    "config": ("versions", "paths"),
    "infra": ("config", "versions", "paths"),
    "paths": (),
    "policies": ("config", "versions", "paths"),
    "rehearsal": ("tools.bootstrap", "config", "versions", "paths"),
    "tools.bootstrap": ("versions", "paths"),
    "tools": ("tools.bootstrap", "verify", "workloads", "policies", "config", "versions", "paths"),
    "verify": ("workloads", "config", "versions", "paths"),
    "versions": ("paths",),
    "workloads": ("infra.contract", "config", "versions", "paths"),
}
"""Room -> what it may import beside itself."""
PULUMI = {"config": ("config/loader.py",)}
"""Room -> the files that may import pulumi."""
EXCEPTIONS: set[tuple[str, str]] = set()
"""(file, module) of an import that breaks a rule."""
LARGE: set[str] = set()
"""File, or file:function, over its limit."""
MAX_FILE_LINES, MAX_FUNCTION_LINES = 450, 60


def product_files() -> list[Path]:
    folders = [CHECKOUT / room for room in ALLOWED if "." not in room]
    files = [file for folder in folders for file in folder.rglob("*.py") if folder.is_dir()]
    return sorted([*files, *(CHECKOUT / f"{name}.py" for name in ("__main__", "paths", "versions"))])


def room_of(module: str) -> str:
    return "tools.bootstrap" if f"{module}.".startswith("tools.bootstrap.") else module.split(".")[0]


def imports_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from infra import contract` imports infra.contract
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"tests[./]\w", node.value):
            yield node.value.replace("/", ".")


def may_import(room: str, module: str) -> bool:
    if room_of(module) == room:
        return True
    return any(f"{module}.".startswith(f"{allowed}.") for allowed in ALLOWED[room])


def violations() -> Iterator[tuple[str, str]]:
    for file in product_files():
        name = str(file.relative_to(CHECKOUT))
        room = room_of(name.removesuffix(".py").replace("/", "."))
        for module in imports_of(ast.parse(file.read_text())):
            top = module.split(".")[0]
            if top in ROOMS and not may_import(room, module):
                yield name, module
            if top in ("pulumi", "pulumi_gcp") and room in PULUMI and name not in PULUMI[room]:
                yield name, top
            if top == "pulumi_gcp" and not name.startswith("infra/google/"):
                yield name, top


def too_large() -> Iterator[str]:
    for file in product_files():
        name, text = str(file.relative_to(CHECKOUT)), file.read_text()
        if len(text.splitlines()) > MAX_FILE_LINES:
            yield name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES:
                    yield f"{name}:{node.name}"


def test_every_room_imports_only_what_its_layer_allows() -> None:
    assert set(violations()) == EXCEPTIONS


def test_no_product_file_has_too_many_lines_and_no_function_either() -> None:
    assert set(too_large()) == LARGE


def test_every_package_of_the_checkout_has_a_rule() -> None:
    packages = {file.parent.name for file in CHECKOUT.glob("*/__init__.py")} | {
        folder.name for folder in CHECKOUT.iterdir() if folder.is_dir() and any(folder.glob("*.py"))
    }
    assert packages - {"tests"} <= {room.split(".")[0] for room in ALLOWED}
