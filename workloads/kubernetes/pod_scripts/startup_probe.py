"""A worker pod's start-up probe: it takes requests once it has answered one itself.

KubeRay's readiness probe passes as soon as the pod's proxy answers, which may be a minute before anything behind it
does: HAProxy counts replicas of other pods, and asks the routers of its own pod only. A disruption budget that believes
it lets the next worker go too early. So, until the first success: a replica in this pod, then one token by way of this
pod's proxy. Standard library only; runs in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import csv
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

RUNNING = "2"
"""`srv_op_state` of a server that answers health checks (HAProxy's management guide, `show servers state`)."""
HERE = ("127.0.0.1", "::1")
"""How Serve names replicas of HAProxy's own node to it (ray/serve/_private/haproxy.py)."""
WAIT_S = 20


def has_local_replica(states: str) -> bool:
    """Whether a replica of this pod answers, from HAProxy's states of its servers."""
    _version, _, table = states.partition("\n")
    rows = csv.DictReader(table.lstrip("# ").splitlines(), delimiter=" ")
    return any(row["srv_addr"] in HERE and row["srv_op_state"] == RUNNING for row in rows)


def _servers() -> str:
    """What HAProxy's admin socket says. Ray puts it into a folder with the node's id, below the one that is set."""
    path = Path(os.environ.get("RAY_SERVE_HAPROXY_SOCKET_PATH", "/tmp/haproxy-serve/admin.sock"))
    found = sorted(path.parent.glob(f"*/{path.name}"), key=os.path.getmtime)
    if not found:
        raise FileNotFoundError(f"none in {path.parent}")
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(2)
        admin.connect(str(found[-1]))
        admin.sendall(b"show servers state\n")
        return b"".join(iter(lambda: admin.recv(65536), b"")).decode()


def not_ready_reason(model: str, port: int, haproxy: bool) -> str | None:
    """What this pod lacks before it can take requests; None if nothing."""
    try:
        if haproxy and not has_local_replica(_servers()):
            return "no replica of this pod runs yet"
    except OSError as error:
        return f"no HAProxy yet ({error})"
    body = json.dumps({"model": model, "prompt": "Hello", "max_tokens": 1}).encode()
    url = f"http://127.0.0.1:{port}/v1/completions"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S):
            return None
    except urllib.error.HTTPError as error:
        # 400 is a replica's answer, of a model that completes nothing; proxies say 404 and 5xx.
        return None if error.code == 400 else f"{url} answers {error.code}: {error.read(200).decode(errors='replace')}"
    except OSError as error:
        return f"{url} does not answer ({error})"


if __name__ == "__main__":
    sys.exit(not_ready_reason(sys.argv[1], int(sys.argv[2]), "haproxy" in sys.argv[3:]))
