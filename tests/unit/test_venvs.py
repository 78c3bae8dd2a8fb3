"""Clones share uv and the bytecode of locked packages through the cache, but not that of the project's own files."""

from __future__ import annotations

import py_compile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools.bootstrap import venvs


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Site-packages of two clones with the same locks. The tools work in the first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = [tmp_path / name / "lib" / "python3.11" / "site-packages" for name in ("first", "second")]
    for site in found:
        for package in ("locked", "workloads"):
            (site / package).mkdir(parents=True)
            (site / package / "code.py").write_text("VALUE = 1\n")
        (site.parents[2] / "locks.stamp").write_text("ray 0123 3.11")
    for environment in ("PROGRAM", "RAY"):
        monkeypatch.setattr(venvs, environment, found[0].parents[2])
    return found


def test_the_next_clone_finds_compiled_files(clones: list[Path]) -> None:
    first, second = clones
    for package in ("locked", "workloads"):
        py_compile.compile(str(first / package / "code.py"))
    known = Path("vllm-cache", "modelinfos", "llama.json")
    (first.parents[2] / known).parent.mkdir(parents=True)
    (first.parents[2] / known).write_text("{}")
    venvs.cache_bytecode()
    venvs.link_cached_files(venvs.bytecode_dir("ray 0123 3.11"), second.parents[2])
    compiled = list(second.rglob("*.pyc"))
    assert [each.parents[1].name for each in compiled] == ["locked"]
    assert compiled[0].samefile(next((first / "locked").rglob("*.pyc")))
    assert (second.parents[2] / known).samefile(first.parents[2] / known)


def test_other_locks_share_no_files(clones: list[Path]) -> None:
    first, second = clones
    py_compile.compile(str(first / "locked" / "code.py"))
    venvs.cache_bytecode()
    venvs.link_cached_files(venvs.bytecode_dir("ray 4567 3.11"), second.parents[2])
    assert not list(second.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("installed", "asked", "groups"),
    [
        ("", (), ["program"]),
        ("", ("dev", "verify"), ["program", "verify", "dev"]),
        ("program verify 0123 3.11", (), ["program", "verify"]),
        ("program verify 0123 3.11", ("rehearsal",), ["program", "verify", "rehearsal"]),
    ],
)
def test_a_command_adds_its_groups_to_those_that_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str, asked: tuple[str, ...], groups: list[str]
) -> None:
    found: list[list[str]] = []
    monkeypatch.setattr(venvs, "PROGRAM", tmp_path)
    monkeypatch.setattr(venvs, "_ensure", lambda _, names: found.append(names))
    if installed:
        (tmp_path / "locks.stamp").write_text(installed)
    venvs.ensure_program(*asked)
    assert found == [groups]


def test_two_clones_install_uv_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(venvs.shutil, "which", lambda _: None)
    installed: list[Path] = []

    def install(home: Path) -> None:
        installed.append(home)
        time.sleep(0.2)  # the second clone waits for the lock by now
        home.mkdir()
        (home / "complete").touch()

    monkeypatch.setattr(venvs, "_install_uv", install)
    monkeypatch.setattr(venvs, "_version", lambda _: "")
    with ThreadPoolExecutor() as pool:
        found = set(pool.map(lambda _: venvs.uv(), range(2)))
    assert found == {str(installed[0] / "bin" / "uv")}
    assert len(installed) == 1
