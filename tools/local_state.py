"""Locks and plugins that a killed `pulumi` left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

from tools.bootstrap.console import Stop, say

PROJECT = "rayllm"
"""Name of the Pulumi project, as in Pulumi.yaml."""


def _clear_stale_lock(stack: str, backend: Path) -> None:
    """A `pulumi` that was killed leaves its lock: remove it when its process is gone, and only then."""
    for lock in (backend / ".pulumi" / "locks").glob(f"*/{PROJECT}/{stack}/*.json"):
        owner = json.loads(lock.read_text())
        if owner["hostname"] != socket.gethostname() or _runs(owner["pid"], "pulumi"):
            raise Stop(
                f"Another `pulumi` (pid {owner['pid']} on {owner['hostname']}, since {owner['timestamp']}) is at work "
                f"on stack {stack}: wait for it, or end it, then run the same command again."
            )
        say(f"  cleared the lock of a `pulumi` that is gone (pid {owner['pid']}, since {owner['timestamp']})")
        lock.unlink()


def _end_orphans(home: str) -> None:
    """End plugins that a killed `pulumi` of this checkout left: one that was given nothing to do waits forever."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            ours = f"PULUMI_HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if ours and b"pulumi.dynamic" in words and not _has_engine(int(folder.name)):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue  # it ended meanwhile, or is not ours to look into


def _has_engine(pid: int) -> bool:
    """Whether a live `pulumi` is among the ancestors of `pid`."""
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
