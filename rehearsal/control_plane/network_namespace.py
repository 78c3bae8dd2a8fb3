"""A private network namespace: `lo` and nothing else, so that nothing in it reaches anything outside.

The pods' addresses are answered by `lo` as well (AnyIP): what the operator dials as a pod reaches the Ray API stand-in.
Held open by a process of its own; commands enter it with nsenter. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

PODS = "10.244.0.0/14"
"""10.244 to 10.247: four clusters."""
SET_UP = f"ip link set lo up && ip route add local {PODS} dev lo && exec sleep infinity"
TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "openssl": "openssl"}
"""What it takes -> the Debian package that it is in."""
MARK = "RAYLLM_NAMESPACE"
"""In the environment of whatever runs inside."""


def obstacle() -> str | None:
    """Why there can be none here."""
    if sys.platform != "linux":
        return "control planes need a private network namespace, which only Linux has"
    if missing := lacking():
        return f"{', '.join(missing)} missing (Debian: {', '.join(sorted(set(missing.values())))})"
    if subprocess.run([*_unshare(), "true"], capture_output=True).returncode != 0:
        return "neither root nor user namespaces may be had here (sysctl kernel.unprivileged_userns_clone)"
    return None


def lacking() -> dict[str, str]:
    """Tools that are not here -> the Debian package of each."""
    return {tool: package for tool, package in TOOLS.items() if shutil.which(tool) is None}


def hold() -> int:
    """Make one; returns the pid of the process that keeps it."""
    holder = subprocess.Popen(
        [*_unshare(), "sh", "-c", SET_UP],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(100):
        if Path(f"/proc/{holder.pid}/comm").read_text().strip() == "sleep":
            return holder.pid
        if holder.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"no network namespace: `{SET_UP}` ended with {holder.poll()}")


def enter(holder: int) -> list[str]:
    """What to put in front of a command."""
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={holder}", "--net", *user, "env", f"{MARK}={holder}"]


def inside() -> bool:
    """Whether this process is in one."""
    return bool(os.environ.get(MARK))


def sealed() -> bool:
    """Whether nothing leads out of this process's namespace. A machine may have given it more links than `lo` (tunl0,
    sit0), all down."""
    return not Path("/proc/net/route").read_text().splitlines()[1:]


def _unshare() -> list[str]:
    return ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
