"""Imports of the checkout's files, read from their source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from paths import CHECKOUT


def imported_files(*files: Path) -> set[Path]:
    """Return these files and every file of the checkout that they import, directly or not."""
    found: set[Path] = set()
    todo = list(files)
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += [each for name in imported_names(file) for each in _files(name)]
    return found


def third_party_packages(*files: Path) -> set[str]:
    """Return the top-level packages that these files import and that are neither the checkout's nor Python's."""
    names = {name.partition(".")[0] for file in files for name in imported_names(file)}
    own = {path.stem for path in CHECKOUT.glob("*")}
    return names - own - sys.stdlib_module_names


def imported_names(file: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports; for `from a import b` both `a` and `a.b`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name: str) -> Iterator[Path]:
    """Yield the file of a module or package, if the checkout has it."""
    path = CHECKOUT.joinpath(*name.split("."))
    for each in (path.with_suffix(".py"), path / "__init__.py"):
        if each.is_file():
            yield each
