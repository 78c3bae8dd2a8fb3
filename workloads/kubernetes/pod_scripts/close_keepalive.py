"""Close the keep-alive connections of a HAProxy that Serve drains.

The postStart hook of a worker pod starts this script, and it runs beside Ray until the pod ends.

Serve drains the HAProxy of a worker whose last replica leaves. Health checks then fail, so load balancers send nothing
new, and after a while Serve kills HAProxy at a moment without a request. A client that kept its connection goes on
using it, and loses the request that it sends at that moment. HAProxy with a shut-down frontend answers each kept
connection once more, with `Connection: close`. This script shuts the frontend down as soon as every load balancer has
seen the failing health check. If Serve uses the HAProxy again, it reloads it, and the reload restores the frontend.
Standard library only; runs in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import sys
import time

import haproxy_client

DRAINING = b"This node is being drained."
"""Body of the health check while Serve drains the node, and of no other failing health check
(ray/serve/_private/constants.py, DRAINING_MESSAGE)."""
FRONTEND = "http_frontend"
POLL_INTERVAL_S = 2
MIN_UPTIME_S = 5
"""A younger HAProxy stays open: Serve may have started it to serve again after the health check was read."""


def run(port: int, load_balancer_propagation_s: float) -> None:
    """Poll the health check on `port` forever, and shut the HAProxy frontend down while Serve drains the node.

    `load_balancer_propagation_s`: seconds from the first failing health check until load balancers send new requests
    elsewhere.
    """
    drained_since: float | None = None
    while True:
        drained = is_drained(port)
        if drained:
            drained_since = drained_since or time.monotonic()
            if time.monotonic() - drained_since >= load_balancer_propagation_s:
                with contextlib.suppress(OSError):  # HAProxy ended or is busy: the next poll tries again
                    shutdown_frontend()
        elif drained is not None:
            drained_since = None
        time.sleep(POLL_INTERVAL_S)


def is_drained(port: int) -> bool | None:
    """Return True if the health check says that Serve drains this node.

    Returns None if nothing answers: HAProxy has not started, has ended, or its frontend is shut down.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/-/healthz")
        return connection.getresponse().read() == DRAINING
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def shutdown_frontend() -> None:
    """Stop accepting connections, and close each open one after its next response.

    Source: HAProxy management guide, `shutdown frontend`. Raises OSError if there is no HAProxy.
    """
    uptime = re.search(r"^Uptime_sec: (\d+)$", haproxy_client.admin_command("show info"), re.MULTILINE)
    if uptime is not None and int(uptime[1]) >= MIN_UPTIME_S:
        haproxy_client.admin_command(f"shutdown frontend {FRONTEND}")


if __name__ == "__main__":
    run(int(sys.argv[1]), float(sys.argv[2]))
