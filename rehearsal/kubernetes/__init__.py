"""A stand-in for Pulumi's `kubernetes` plugin, in front of a real API server. See ../README.md."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from paths import CHECKOUT

VERSION = importlib.metadata.version("pulumi-kubernetes")


def mount(home: Path) -> None:
    """Put the stand-in where a CLI with PULUMI_HOME=`home` looks for the plugin of the installed SDK.

    Raises `FileExistsError` where the real plugin is.
    """
    folder = home / "plugins" / f"resource-kubernetes-v{VERSION}"
    script = folder / "pulumi-resource-kubernetes"
    if script.exists() and not script.read_bytes().startswith(b"#!"):
        raise FileExistsError(f"{folder} holds the real plugin: give the stand-in a PULUMI_HOME of its own.")
    folder.mkdir(parents=True, exist_ok=True)
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m rehearsal.kubernetes.plugin "$@"\n'
    )
    script.chmod(0o755)
