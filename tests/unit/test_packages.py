"""Bytecode of locked packages goes from one clone to the next; that of the project's own files does not."""

from __future__ import annotations

import py_compile
from pathlib import Path

import pytest

from tools import packages


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Site-packages of two clones with the same locks; the first is the one that the tools work in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = [tmp_path / name / "lib" / "python3.11" / "site-packages" for name in ("first", "second")]
    for site in found:
        for package in ("locked", "workloads"):
            (site / package).mkdir(parents=True)
            (site / package / "code.py").write_text("VALUE = 1\n")
        (site.parents[2] / "locks.stamp").write_text("machine 0123 3.11")
    for environment in ("PROGRAM", "RAY"):
        monkeypatch.setattr(packages, environment, found[0].parents[2])
    return found


def test_what_one_clone_has_compiled_the_next_finds(clones: list[Path]) -> None:
    first, second = clones
    for package in ("locked", "workloads"):
        py_compile.compile(str(first / package / "code.py"))
    packages.keep_bytecode()
    packages._link_bytecode(packages._kept("machine 0123 3.11"), second.parents[2])
    compiled = list(second.rglob("*.pyc"))
    assert [each.parents[1].name for each in compiled] == ["locked"]
    assert compiled[0].samefile(next((first / "locked").rglob("*.pyc")))


def test_other_locks_find_nothing(clones: list[Path]) -> None:
    first, second = clones
    py_compile.compile(str(first / "locked" / "code.py"))
    packages.keep_bytecode()
    packages._link_bytecode(packages._kept("machine 4567 3.11"), second.parents[2])
    assert not list(second.rglob("*.pyc"))
