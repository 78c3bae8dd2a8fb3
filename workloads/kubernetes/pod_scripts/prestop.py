"""PreStop hook of a worker pod: stop new requests, then wait for the open ones.

The hook asks Ray to drain the node. Serve then starts replacement replicas on other nodes where they fit, and sends no
new request here. The hook waits until this pod's HAProxy has no open request or the time is up. It never fails: the
pod's grace period covers what it could not do. Standard library only; runs in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import haproxy_client

QUIET_POLLS = 3
"""Polls in a row without an open request, one a second. A request between HAProxy and a replica shows in none of
them."""


def requests_in_flight() -> int | None:
    """Return the open requests of this pod's HAProxy, or None if HAProxy does not answer."""
    try:
        return haproxy_client.open_requests(haproxy_client.read_stats())
    except (OSError, KeyError, ValueError):
        return None


def drain_node(limit_s: int) -> None:
    """Ask Ray to drain this node, then wait for the open requests. Takes at most `limit_s` seconds."""
    end = time.monotonic() + limit_s
    command = ["ray", "drain-node", "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    command += ["--reason-message", "the pod is ending", "--deadline-remaining-seconds", str(limit_s)]
    # Older Ray has no such command, and Ray may have ended already. Waiting helps in both cases.
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, timeout=30, check=False)
    quiet = 0
    while quiet < QUIET_POLLS and time.monotonic() < end:
        count = requests_in_flight()
        if count is None:
            return
        quiet = quiet + 1 if count == 0 else 0
        time.sleep(1)


if __name__ == "__main__":
    drain_node(int(sys.argv[1]))
