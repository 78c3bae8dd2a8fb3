"""Programs that a node takes and that are no Go modules: fetched as Debian's packages, unpacked into the cache.

Nothing is installed: what this machine has already is used as it is. Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.bootstrap.cache import cache_dir
from tools.bootstrap.console import run

NEEDED = {
    "runc": "runc",
    "nft": "nftables",
    "redis-server": "redis-server",
    "host-local": "containernetworking-plugins",
}
"""Program -> the package that it is in."""


def root() -> Path:
    """Where they are unpacked."""
    return cache_dir() / "node-debian"


def search_path() -> str:
    """PATH of the node's programs."""
    own = [str(root() / folder) for folder in ("usr/sbin", "usr/bin", "usr/lib/cni")]
    return os.pathsep.join(
        [*own, "/usr/lib/cni", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    )


def libraries() -> str:
    """LD_LIBRARY_PATH of the node's programs."""
    return os.pathsep.join(map(str, sorted((root() / "usr" / "lib").glob("*-linux-gnu"))))


def program(name: str) -> Path:
    """One of NEEDED. Raises FileNotFoundError where it is missing."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise FileNotFoundError(f"{name} (Debian: {NEEDED[name]})")
    return Path(found)


def missing() -> list[str]:
    """Packages whose program is not here yet."""
    return [package for name, package in NEEDED.items() if shutil.which(name, path=search_path()) is None]


def fetch() -> None:
    """Get what is missing. Raises `tools.bootstrap.console.CliError` with apt's words."""
    packages = missing()
    if not packages:
        return
    lists = Path("/var/lib/apt/lists")
    if os.geteuid() == 0 and not list(lists.glob("*_Packages*")):
        run(["apt-get", "update"], "Debian's package lists")
    words = ["apt-get", "install", "--print-uris", "--yes", "--no-install-recommends", "-qq", *packages]
    uris = run(words, f"{', '.join(packages)}: what they depend on")
    names = sorted(set(re.findall(r"' ([^_' ]+)_\S+\.deb ", uris)))
    with tempfile.TemporaryDirectory() as folder:
        run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *names],
            ", ".join(packages),
            cwd=Path(folder),
        )
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(root())], check=True)
