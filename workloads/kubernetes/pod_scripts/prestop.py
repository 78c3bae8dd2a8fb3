"""Before a worker pod ends (its preStop hook): no new requests, and those that it has are answered.

Tells Ray that this node leaves, so that Serve starts replicas elsewhere where there is room and stops sending requests
here, then waits until this node's HAProxy has no request left or the time is up. Never fails: what it cannot do is left
to the pod's grace period. Standard library only; runs in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

STATS = "http://127.0.0.1:{}/stats;csv"
QUIET_POLLS = 3
"""Polls in a row without a request, one a second: a request that is being handed over shows in none of them."""


def requests_in_flight(stats: str) -> int:
    """Requests at HAProxy's back ends, from its statistics in CSV form; its own statistics page does not count."""
    rows = csv.DictReader(stats.lstrip("# ").splitlines())
    return sum(int(row["scur"] or 0) for row in rows if row["svname"] == "BACKEND" and "stats" not in row["pxname"])


def haproxy_stats() -> int | None:
    """Requests in flight; None where there is no HAProxy to ask."""
    url = STATS.format(os.environ.get("RAY_SERVE_HAPROXY_STATS_PORT", "8404"))
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return requests_in_flight(reply.read().decode())
    except (OSError, urllib.error.URLError, KeyError, ValueError):
        return None


def drain_node(limit_s: int) -> None:
    """Announce it, then wait; at most `limit_s` seconds."""
    end = time.monotonic() + limit_s
    announce = ["ray", "drain-node", "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    announce += ["--reason-message", "the pod is ending", "--deadline-remaining-seconds", str(limit_s)]
    # An older Ray, or one that is gone: the wait below still helps.
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(announce, timeout=30, check=False)
    quiet = 0
    while quiet < QUIET_POLLS and time.monotonic() < end:
        count = haproxy_stats()
        if count is None:
            return
        quiet = quiet + 1 if count == 0 else 0
        time.sleep(1)


if __name__ == "__main__":
    drain_node(int(sys.argv[1]))
