"""A stand-in for Pulumi's `gcp` plugin, for machines and tests that have no Google Cloud. See ../README.md."""

from __future__ import annotations

import sys
from pathlib import Path

from paths import CHECKOUT
from rehearsal.google import sdk_schema


def mount(home: Path) -> Path:
    """Put the stand-in where a CLI with PULUMI_HOME=`home` looks for the plugin of the installed SDK.

    Returns the file of its cloud (rehearsal.google.cloud). Raises `FileExistsError` where the real plugin is.
    """
    folder, cloud = plugin(home), home / "stand-in-google.json"
    if is_real(home):
        raise FileExistsError(f"{folder} holds the real plugin: give the stand-in a PULUMI_HOME of its own.")
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "pulumi-resource-gcp"
    start = f'"{sys.executable}" -m rehearsal.google.plugin --cloud "{cloud}" "$@"'
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec {start}\n')
    script.chmod(0o755)
    return cloud


def plugin(home: Path) -> Path:
    """The folder in which the CLI looks. A link in its place is ignored by the CLI."""
    return home / "plugins" / f"resource-gcp-v{sdk_schema.VERSION}"


def is_real(home: Path) -> bool:
    """Whether the real plugin, a program and not our script, is installed."""
    program = plugin(home) / "pulumi-resource-gcp"
    return program.exists() and not program.read_bytes().startswith(b"#!")
