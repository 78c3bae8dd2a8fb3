"""The virtual environments, each exactly what its locks say. Standard library only; uv is the one thing it installs.

.venv       the Pulumi program (locks/program.txt), and what tests and linters add (locks/dev.txt)
.venv-ray   Ray, vLLM and the project's few files that run inside them (locks/ray.txt); stack local only
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

from paths import CHECKOUT
from tools.bootstrap.cache import alone, cache
from tools.bootstrap.console import Stop, run, say
from versions import PYTHON_CEILING, PYTHON_FLOOR, UV

PROGRAM, RAY = CHECKOUT / ".venv", CHECKOUT / ".venv-ray"


def ensure_program(*, dev: bool = False) -> None:
    """Bring .venv up to its locks. Without `dev`, what tests had added stays."""
    stamp = PROGRAM / "locks.stamp"
    dev = dev or "dev" in (stamp.read_text() if stamp.exists() else "")
    _ensure(PROGRAM, ["program", "dev"] if dev else ["program"])


def ensure_ray() -> None:
    """Bring .venv-ray up to its lock and install the project's part of it."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return  # workloads/local/host_checks.py says in one sentence what is missing
    if sys.version_info[:2] >= PYTHON_CEILING:
        raise Stop(
            f"Ray and vLLM have packages for Python {_dotted(PYTHON_FLOOR)} up to, but not, {_dotted(PYTHON_CEILING)}, "
            f"and this is {platform.python_version()}: run `make up PYTHON=python3.13`, or another in that range."
        )
    synced = _ensure(RAY, ["ray"])
    ours = _digest(
        [CHECKOUT / "pyproject.toml", *sorted((CHECKOUT / "workloads" / "local" / "ray_runtime").rglob("*.[ps][yh]"))]
    )
    stamp = RAY / "project.stamp"
    if synced or not stamp.exists() or stamp.read_text() != ours:
        # Not editable: Ray's processes see workloads/local/ray_runtime and nothing else of the checkout.
        _uv(["pip", "install", "--no-deps", "--reinstall-package", "rayllm", str(CHECKOUT)], RAY, ".venv-ray: project")
        stamp.write_text(ours)


def _ensure(folder: Path, locks: Sequence[str]) -> bool:
    files = [CHECKOUT / "locks" / f"{name}.txt" for name in locks]
    wanted = f"{' '.join(locks)} {_digest(files)} {_dotted(sys.version_info[:2])}"
    stamp = folder / "locks.stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    if not (folder / "bin" / "python").exists():
        subprocess.run([uv(), "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
    total = sum(len(re.findall(r"^\S+==", file.read_text(), re.MULTILINE)) for file in files)
    say(f"  {folder.name}: installing up to {total} locked packages")
    stamp.unlink(missing_ok=True)
    _uv(["pip", "sync", "--require-hashes", *map(str, files)], folder, folder.name)
    _link_made(_kept(wanted), folder)
    stamp.write_text(wanted)
    return True


MADE = ("lib/python3*/site-packages/**/__pycache__/*.pyc", "vllm-cache/modelinfos/*")
"""What running makes of packages: bytecode, and what vLLM finds out about a model's class in a process of its own."""


def keep_made() -> None:
    """Put it into the cache: the next clone takes it from there, so that its first vLLM starts in half the CPU seconds.
    Python and vLLM themselves check that each file belongs to its source."""
    for folder in (PROGRAM, RAY):
        if (stamp := folder / "locks.stamp").exists():
            _link_made(folder, _kept(stamp.read_text()))


def _kept(locks: str) -> Path:
    return cache() / f"made-{hashlib.sha256(locks.encode()).hexdigest()[:16]}"


def _link_made(source: Path, target: Path) -> None:
    """Hard links, as uv's own: they cost no space. Where the cache is on another file system there are none."""
    for file in (each for made in MADE for each in source.glob(made)):
        place = target / file.relative_to(source)
        if "workloads" not in place.parts and not place.exists():  # the project's own differ from clone to clone
            place.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                os.link(file, place)


def _uv(arguments: Sequence[str], folder: Path, what: str) -> None:
    # Bytecode is left to the first start of each program (compiling 5 GB of packages ahead takes a minute), and then
    # kept for other clones.
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "VIRTUAL_ENV": str(folder)}
    site = folder / "lib" / f"python{_dotted(sys.version_info[:2])}" / "site-packages"
    run(
        [uv(), *arguments, "--python", str(folder / "bin" / "python")],
        what,
        env=env,
        progress=lambda _lines: f"{n} installed" if (n := len(list(site.glob("*.dist-info")))) else "downloading",
    )


def uv() -> str:
    """uv of the pinned version or newer on PATH, else one in the cache, installed by pip from its hashed lock."""
    found = shutil.which("uv")
    version = re.search(r"(\d+)\.(\d+)\.(\d+)", _version(found)) if found else None
    if found and version and tuple(map(int, version.groups())) >= tuple(map(int, UV.split("."))):
        return found
    home = cache() / f"uv-{UV}"
    with alone(home.name):
        if not (home / "complete").exists():
            _install_uv(home)
    return str(home / "bin" / "uv")


def _install_uv(home: Path) -> None:
    say(f"  uv {UV}: installing it with pip into {home}")
    try:
        run([sys.executable, "-m", "venv", "--clear", str(home)], "uv: its environment")
    except Stop as stop:
        raise Stop(f"{stop}\nInstall your system's package for Python's venv module, or uv itself.") from None
    lock = str(CHECKOUT / "locks" / "uv.txt")
    run([str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", lock], "uv")
    (home / "complete").touch()


def _version(uv: str) -> str:
    return subprocess.run([uv, "--version"], capture_output=True, text=True).stdout


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
