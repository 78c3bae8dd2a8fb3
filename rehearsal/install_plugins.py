"""Install the stand-in plugins where a Pulumi CLI looks for the real ones.

python -m rehearsal.install_plugins PULUMI_HOME
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from paths import CHECKOUT


def install_google(home: Path) -> Path:
    """Install the stand-in for the `gcp` plugin into PULUMI_HOME=`home`. Return the file of its StandInCloud.

    Raises `FileExistsError` if the real plugin is installed there.
    """
    cloud = home / "stand-in-google.json"
    _install(home, "gcp", f'rehearsal.google.plugin --cloud "{cloud}"')
    return cloud


def install_kubernetes(home: Path) -> None:
    """Install the stand-in for the `kubernetes` plugin into PULUMI_HOME=`home`.

    Raises `FileExistsError` if the real plugin is installed there.
    """
    _install(home, "kubernetes", "rehearsal.kubernetes.plugin")


def _install(home: Path, package: str, module: str) -> None:
    """Write a script in place of the program of the plugin for the installed SDK. The CLI ignores a link there."""
    folder = home / "plugins" / f"resource-{package}-v{importlib.metadata.version(f'pulumi-{package}')}"
    script = folder / f"pulumi-resource-{package}"
    if script.exists() and not script.read_bytes().startswith(b"#!"):
        raise FileExistsError(f"{folder} contains the real plugin. Give the stand-in a PULUMI_HOME of its own.")
    folder.mkdir(parents=True, exist_ok=True)
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m {module} "$@"\n')
    script.chmod(0o755)


if __name__ == "__main__":
    install_google(Path(sys.argv[1]))
    install_kubernetes(Path(sys.argv[1]))
