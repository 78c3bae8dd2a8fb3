"""Fetch the programs of a node that are no Go modules as Debian's packages, and unpack them into the cache.

Nothing is installed. A program that this machine already has is used from there. Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from paths import cache_dir
from tools.bootstrap.console import run

PACKAGES = {
    "runc": "runc",
    "nft": "nftables",
    "redis-server": "redis-server",
    "host-local": "containernetworking-plugins",
}
"""Program -> Debian package."""


def unpack_dir() -> Path:
    """Return the folder into which packages are unpacked."""
    return cache_dir() / "node-debian"


def search_path() -> str:
    """Return PATH for the node's programs."""
    unpacked = [str(unpack_dir() / folder) for folder in ("usr/sbin", "usr/bin", "usr/lib/cni")]
    return os.pathsep.join(
        [*unpacked, "/usr/lib/cni", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    )


def library_path() -> str:
    """Return LD_LIBRARY_PATH for the node's programs."""
    return os.pathsep.join(map(str, sorted((unpack_dir() / "usr" / "lib").glob("*-linux-gnu"))))


def program_path(name: str) -> Path:
    """Return the path of a program of PACKAGES. Raises `FileNotFoundError` if it is missing."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise FileNotFoundError(f"{name} (Debian: {PACKAGES[name]})")
    return Path(found)


def missing_packages() -> list[str]:
    """Return the packages whose program is missing."""
    return [package for name, package in PACKAGES.items() if shutil.which(name, path=search_path()) is None]


def fetch() -> None:
    """Download and unpack the missing packages and what they depend on. Raises `CliError` with apt's message."""
    packages = missing_packages()
    if not packages:
        return
    lists = Path("/var/lib/apt/lists")
    if os.geteuid() == 0 and not list(lists.glob("*_Packages*")):
        run(["apt-get", "update"], "Debian's package lists")
    install = ["apt-get", "install", "--print-uris", "--yes", "--no-install-recommends", "-qq", *packages]
    uris = run(install, f"{', '.join(packages)}: dependencies")
    names = sorted(set(re.findall(r"' ([^_' ]+)_\S+\.deb ", uris)))
    download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *names]
    with tempfile.TemporaryDirectory() as folder:
        run(download, ", ".join(packages), cwd=Path(folder))
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(unpack_dir())], check=True)
