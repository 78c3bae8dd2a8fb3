"""Read this pod's HAProxy through its statistics page and its admin socket.

The other scripts of this folder import it by its plain name, because Python finds a script's siblings. Standard library
only: the scripts run in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import csv
import os
import socket
import urllib.request
from pathlib import Path

TIMEOUT_S = 2
SERVER_RUNNING = "2"
"""`srv_op_state` of a server that passes its health checks (HAProxy management guide, `show servers state`)."""
REPLICA_PREFIX = "SERVE_REPLICA"
"""Prefix of the names that Serve gives HAProxy for replicas (ray/serve/_private/common.py)."""


def open_requests(stats_csv: str) -> int:
    """Return the number of open requests in HAProxy's statistics (CSV): the current sessions of all back ends.

    Sessions of front ends include idle keep-alive connections, so they do not count; nor does the statistics page's own
    back end. Raises ValueError if the text is not HAProxy's statistics.
    """
    rows = csv.DictReader(stats_csv.removeprefix("# ").splitlines())
    if "scur" not in (rows.fieldnames or ()):
        raise ValueError(f"not HAProxy's statistics: {stats_csv[:80]!r}")
    return sum(int(row["scur"] or 0) for row in rows if row["svname"] == "BACKEND" and row["pxname"] != "stats")


def running_replica_addresses(servers_state: str) -> set[str]:
    """Return the addresses of the replicas that pass their health checks, from the reply to `show servers state`.

    Leaves out the proxy of the head, to which HAProxy sends requests if no replica is left.
    """
    return {row["srv_addr"] for row in _replicas(servers_state) if row["srv_op_state"] == SERVER_RUNNING}


def has_replicas(servers_state: str) -> bool:
    """Return True if HAProxy has a replica, whether it passes its health checks or not."""
    return bool(_replicas(servers_state))


def _replicas(servers_state: str) -> list[dict[str, str]]:
    _version, _, table = servers_state.partition("\n")
    rows = csv.DictReader(table.removeprefix("# ").splitlines(), delimiter=" ")
    return [row for row in rows if row["srv_name"].startswith(REPLICA_PREFIX)]


def read_stats() -> str:
    """Return HAProxy's statistics as CSV. Raises OSError if HAProxy does not answer."""
    port = os.environ.get("RAY_SERVE_HAPROXY_STATS_PORT", "8404")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats;csv", timeout=TIMEOUT_S) as reply:
        return reply.read().decode()


def admin_command(command: str) -> str:
    """Send one command to the admin socket and return the reply. Raises OSError if there is no HAProxy.

    Ray puts the socket into a folder with the node's id, below the folder of RAY_SERVE_HAPROXY_SOCKET_PATH. The newest
    one is the running HAProxy's.
    """
    path = Path(os.environ.get("RAY_SERVE_HAPROXY_SOCKET_PATH", "/tmp/haproxy-serve/admin.sock"))
    sockets = sorted(path.parent.glob(f"*/{path.name}"), key=os.path.getmtime)
    if not sockets:
        raise FileNotFoundError(f"no {path.name} below {path.parent}")
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(TIMEOUT_S)
        admin.connect(str(sockets[-1]))
        admin.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: admin.recv(65536), b"")).decode()
