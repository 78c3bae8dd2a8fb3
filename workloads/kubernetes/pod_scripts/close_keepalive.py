"""Beside Ray in a worker pod (started by its postStart hook): a HAProxy that is drained lets go of its clients.

Serve drains the HAProxy of a worker whose last replica goes: health checks fail, so that load balancers send nothing
new, and after a while Serve kills it at a moment without a request. Whoever has kept a connection goes on using it, and
loses what is sent just then. A HAProxy whose frontend is shut answers kept connections once more, with `Connection:
close`, and that is what this does as soon as every load balancer has seen the health check. Serve reloads a HAProxy
that it takes back, and with it the frontend. Standard library only; runs in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import sys
import time
from pathlib import Path

DRAINING = b"This node is being drained."
"""What a health check of it says, and of no other that fails (ray/serve/_private/constants.py, DRAINING_MESSAGE)."""
FRONTEND = "http_frontend"
EVERY_S = 2
SETTLED_S = 5
"""A younger process is not shut: it may have been started to serve again, after the health check was asked."""


def run(port: int, load_balancer_propagation_s: float) -> None:
    """For ever. `load_balancer_propagation_s`: seconds from the first failed health check until new requests go
    elsewhere."""
    since: float | None = None
    while True:
        drained = is_drained(port)
        if drained:
            since = since or time.monotonic()
            if time.monotonic() - since >= load_balancer_propagation_s:
                with contextlib.suppress(OSError):  # it ended, or is busy: the next look tries again
                    shutdown_frontend()
        elif drained is not None:
            since = None
        time.sleep(EVERY_S)


def is_drained(port: int) -> bool | None:
    """None where nobody answers: not yet, no more, or because its frontend is shut."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/-/healthz")
        return connection.getresponse().read() == DRAINING
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def shutdown_frontend() -> None:
    """Take no connection any more, and close each that there is after its next answer (HAProxy's management guide,
    `shutdown frontend`). Raises OSError where there is no HAProxy."""
    uptime = re.search(r"^Uptime_sec: (\d+)$", _ask("show info"), re.MULTILINE)
    if uptime is not None and int(uptime[1]) >= SETTLED_S:
        _ask(f"shutdown frontend {FRONTEND}")


def _ask(command: str) -> str:
    path = Path(os.environ.get("RAY_SERVE_HAPROXY_SOCKET_PATH", "/tmp/haproxy-serve/admin.sock"))
    found = sorted(path.parent.glob(f"*/{path.name}"), key=os.path.getmtime)  # below it, a folder for each node
    if not found:
        raise FileNotFoundError(f"none in {path.parent}")
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(2)
        admin.connect(str(found[-1]))
        admin.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: admin.recv(65536), b"")).decode()


if __name__ == "__main__":
    run(int(sys.argv[1]), float(sys.argv[2]))
