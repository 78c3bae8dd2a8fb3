"""The two virtual environments. Each holds exactly the packages that its locks pin by hash.

.venv       dependency group `program`, and on demand `verify`, `rehearsal` and `dev`
.venv-ray   dependency group `ray`, and the project's few files that run beside it; stack local only

Standard library only: the system's Python runs this module. It installs uv if there is none, and uv installs the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from paths import CHECKOUT, cache_dir
from tools.bootstrap.cache import cache_lock
from tools.bootstrap.console import CliError, run, say
from versions import PYTHON_CEILING, PYTHON_FLOOR, UV

PROGRAM, RAY = CHECKOUT / ".venv", CHECKOUT / ".venv-ray"
PROGRAM_GROUPS = ("program", "verify", "rehearsal", "dev")
"""Dependency groups of .venv (pyproject.toml). Each is locked with the versions of the groups before it."""
ESTIMATES = {".venv-ray": " (5.7 GB, about a minute on two cores)"}
CACHED_FILES = ("lib/python3*/site-packages/**/__pycache__/*.pyc", "vllm-cache/modelinfos/*")
"""Files that running packages writes beside them: bytecode, and what vLLM finds out about a model class."""


def ensure_program(*groups: str) -> None:
    """Install `program` and the named dependency groups into .venv. Groups that are already there stay installed."""
    stamp = PROGRAM / "locks.stamp"
    wanted = {"program", *groups, *(stamp.read_text().split() if stamp.exists() else ())}
    _ensure(PROGRAM, [group for group in PROGRAM_GROUPS if group in wanted])


def ensure_ray() -> None:
    """Install `ray` and the project's own files for it into .venv-ray.

    Do nothing except on Linux on x86-64: vLLM's CPU build has no other packages, and workloads/local/host_checks.py
    reports that. Raises `CliError` for a Python version without packages.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return
    if sys.version_info[:2] >= PYTHON_CEILING:
        raise CliError(
            f"Ray and vLLM have packages for Python {_dotted(PYTHON_FLOOR)} to below {_dotted(PYTHON_CEILING)}, and "
            f"this is {platform.python_version()}. Run `make up PYTHON=python3.13` or another Python in that range."
        )
    synced = _ensure(RAY, ["ray"])
    runtime = CHECKOUT / "workloads" / "local" / "ray_runtime"
    project = _digest([CHECKOUT / "pyproject.toml", *sorted(runtime.rglob("*.[ps][yh]"))])
    stamp = RAY / "project.stamp"
    if synced or not stamp.exists() or stamp.read_text() != project:
        # Not editable: Ray's processes import workloads/local/ray_runtime and nothing else of the checkout.
        _uv(["pip", "install", "--no-deps", "--reinstall-package", "rayllm", str(CHECKOUT)], RAY, ".venv-ray: project")
        stamp.write_text(project)


def program_tool(name: str) -> str:
    """Return the path of a program in .venv."""
    return str(PROGRAM / "bin" / name)


def cache_bytecode() -> None:
    """Link `CACHED_FILES` of both environments into the cache.

    The next clone takes them from there, and its first vLLM starts in half the CPU seconds. Python and vLLM check
    themselves that each file belongs to its source.
    """
    for folder in (PROGRAM, RAY):
        if (stamp := folder / "locks.stamp").exists():
            link_cached_files(folder, bytecode_dir(stamp.read_text()))


def bytecode_dir(stamp: str) -> Path:
    """Return the cache directory of an environment with this `locks.stamp`."""
    return cache_dir() / f"made-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"


def link_cached_files(source: Path, target: Path) -> None:
    """Hard-link `CACHED_FILES` from one environment to another, as uv links packages: links take no space.

    Link nothing if the cache is on another file system.
    """
    for file in (each for pattern in CACHED_FILES for each in source.glob(pattern)):
        link = target / file.relative_to(source)
        if "workloads" not in link.parts and not link.exists():  # the project's own files differ between clones
            link.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                os.link(file, link)


def uv() -> str:
    """Return the path of uv: `versions.UV` or newer on PATH, else the one that pip installs into the cache by hash."""
    found = shutil.which("uv")
    version = re.search(r"(\d+)\.(\d+)\.(\d+)", _version(found)) if found else None
    if found and version and tuple(map(int, version.groups())) >= tuple(map(int, UV.split("."))):
        return found
    home = cache_dir() / f"uv-{UV}"
    with cache_lock(home.name):
        if not (home / "complete").exists():
            _install_uv(home)
    return str(home / "bin" / "uv")


def _ensure(folder: Path, locks: Sequence[str]) -> bool:
    """Bring an environment up to its locks. Return whether anything had to be installed."""
    files = [CHECKOUT / "locks" / f"{name}.txt" for name in locks]
    wanted = f"{' '.join(locks)} {_digest(files)} {_dotted(sys.version_info[:2])}"
    stamp = folder / "locks.stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    if not (folder / "bin" / "python").exists():
        subprocess.run([uv(), "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
    total = len({pin for file in files for pin in re.findall(r"^\S+==\S+", file.read_text(), re.MULTILINE)})
    say(f"  {folder.name}: installing up to {total} locked packages{ESTIMATES.get(folder.name, '')}")
    stamp.unlink(missing_ok=True)
    _uv(["pip", "sync", "--require-hashes", *map(str, files)], folder, folder.name)
    link_cached_files(bytecode_dir(wanted), folder)
    stamp.write_text(wanted)
    return True


def _uv(arguments: Sequence[str], folder: Path, description: str) -> None:
    # uv compiles no bytecode: for 5 GB of packages that takes a minute. Each program compiles what it imports at its
    # first start, and `cache_bytecode` keeps that for other clones.
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "VIRTUAL_ENV": str(folder)}
    site = folder / "lib" / f"python{_dotted(sys.version_info[:2])}" / "site-packages"
    run(
        [uv(), *arguments, "--python", str(folder / "bin" / "python")],
        description,
        env=env,
        progress=lambda _lines: f"{n} installed" if (n := len(list(site.glob("*.dist-info")))) else "downloading",
    )


def _install_uv(home: Path) -> None:
    say(f"  uv {UV}: installing it with pip into {home}")
    try:
        run([sys.executable, "-m", "venv", "--clear", str(home)], "uv: creating its environment")
    except CliError as error:
        raise CliError(f"{error}\nInstall your system's package for Python's venv module, or uv itself.") from None
    lock = str(CHECKOUT / "locks" / "uv.txt")
    run([str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", lock], "uv: installing")
    (home / "complete").touch()


def _version(uv: str) -> str:
    return subprocess.run([uv, "--version"], capture_output=True, text=True).stdout


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
