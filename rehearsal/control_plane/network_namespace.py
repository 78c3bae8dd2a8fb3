"""A private network namespace: `lo` and nothing else, so that no process in it can reach anything outside.

`lo` also answers the addresses of the pods (AnyIP), so the operator's requests to a pod reach ray_dashboard.py. A
process keeps the namespace open; commands enter it with nsenter. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

POD_CIDR = "10.244.0.0/14"
"""10.244 to 10.247: a /16 for each of four clusters."""
SET_UP = f"ip link set lo up && ip route add local {POD_CIDR} dev lo && exec sleep infinity"
REQUIRED_TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "openssl": "openssl"}
"""Tool -> Debian package."""
INSIDE_ENV_VAR = "RAYLLM_NAMESPACE"
"""Set for every process inside."""


def unavailable_reason() -> str | None:
    """Return why this machine cannot have such a namespace, or None if it can."""
    if sys.platform != "linux":
        return "control planes need a private network namespace, which only Linux has"
    if missing := missing_tools():
        return f"{', '.join(missing)} missing (Debian: {', '.join(sorted(set(missing.values())))})"
    if subprocess.run([*_unshare(), "true"], capture_output=True).returncode != 0:
        return "`unshare --net` fails; it needs root or user namespaces (sysctl kernel.unprivileged_userns_clone)"
    return None


def missing_tools() -> dict[str, str]:
    """Return the required tools that are not installed, with the Debian package of each."""
    return {tool: package for tool, package in REQUIRED_TOOLS.items() if shutil.which(tool) is None}


def create() -> int:
    """Create a namespace. Return the pid of the process that keeps it open. Raises `RuntimeError`."""
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


def enter_command(holder: int) -> list[str]:
    """Return the words that, in front of a command, run it in the namespace of the process `holder`."""
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={holder}", "--net", *user, "env", f"{INSIDE_ENV_VAR}={holder}"]


def is_inside() -> bool:
    """Return True if this process runs in such a namespace."""
    return bool(os.environ.get(INSIDE_ENV_VAR))


def has_no_route() -> bool:
    """Return True if no route leads out of this process's network namespace. A machine may add links besides `lo`
    (tunl0, sit0); they are down."""
    return not Path("/proc/net/route").read_text().splitlines()[1:]


def _unshare() -> list[str]:
    return ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
