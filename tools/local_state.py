"""Clean up after a killed `pulumi` in a state backend of this checkout: its lock, and plugins that still run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

from tools.bootstrap.console import CliError, say

PROJECT = "rayllm"
"""Name of the Pulumi project, as in Pulumi.yaml."""


def remove_stale_lock(stack: str, backend: Path) -> None:
    """Remove the lock of a `pulumi` process that no longer runs.

    Raises `CliError` if the process runs, or if another host holds the lock.
    """
    for lock in (backend / ".pulumi" / "locks").glob(f"*/{PROJECT}/{stack}/*.json"):
        owner = json.loads(lock.read_text())
        if owner["hostname"] != socket.gethostname() or _runs(owner["pid"], "pulumi"):
            raise CliError(
                f"Another `pulumi` (pid {owner['pid']} on {owner['hostname']}, since {owner['timestamp']}) works on "
                f"stack {stack}. Wait for it or end it, then run the same command again."
            )
        say(f"  removed the lock of a `pulumi` that no longer runs (pid {owner['pid']}, since {owner['timestamp']})")
        lock.unlink()


def end_orphaned_plugins(pulumi_home: str) -> None:
    """End dynamic-provider plugins of this `PULUMI_HOME` whose `pulumi` was killed. They would wait forever."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            ours = f"PULUMI_HOME={pulumi_home}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if ours and b"pulumi.dynamic" in words and not _has_engine(int(folder.name)):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue  # the process has ended, or belongs to another user


def _has_engine(pid: int) -> bool:
    """Return whether a running `pulumi` is among the ancestors of `pid`."""
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if _runs(pid, "pulumi"):
            return True
    return False


def _runs(pid: int, name: str) -> bool:
    if Path("/proc/self").exists():
        comm = Path(f"/proc/{pid}/comm")
        return comm.exists() and comm.read_text().strip() == name
    found = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True).stdout.strip()
    return Path(found).name == name
