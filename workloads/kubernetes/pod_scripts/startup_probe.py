"""Startup probe of a worker pod: the pod is started once it has answered one request.

KubeRay's readiness probe passes as soon as the pod's proxy answers, which may be a minute before any replica behind it
does: HAProxy counts replicas of other pods, and asks the request routers of its own pod only. A disruption budget that
trusts that probe lets the next worker be evicted too early. So this probe passes only when a replica in this pod runs
and one token has come through this pod's proxy. Standard library only; runs in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

import haproxy_client

LOCAL_ADDRESSES = ("127.0.0.1", "::1")
"""Addresses that Serve gives HAProxy for replicas of its own node (ray/serve/_private/haproxy.py)."""
REQUEST_TIMEOUT_S = 20


def has_local_replica(servers_state: str) -> bool:
    """Return True if a replica of this pod passes HAProxy's health checks (reply to `show servers state`)."""
    return not haproxy_client.running_server_addresses(servers_state).isdisjoint(LOCAL_ADDRESSES)


def not_ready_reason(model: str, port: int, haproxy: bool) -> str | None:
    """Return why this pod cannot take requests yet, or None if it can.

    Sends one completion with `max_tokens: 1` to `port`. `haproxy`: also require a running replica in this pod, because
    HAProxy forwards requests to other pods.
    """
    try:
        if haproxy and not has_local_replica(haproxy_client.admin_command("show servers state")):
            return "no replica of this pod runs yet"
    except OSError as error:
        return f"no HAProxy yet ({error})"
    body = json.dumps({"model": model, "prompt": "Hello", "max_tokens": 1}).encode()
    url = f"http://127.0.0.1:{port}/v1/completions"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        # 400 comes from a replica whose model has no completions endpoint. Proxies answer 404 and 5xx.
        return None if error.code == 400 else f"{url} answers {error.code}: {error.read(200).decode(errors='replace')}"
    except OSError as error:
        return f"{url} does not answer ({error})"


if __name__ == "__main__":
    sys.exit(not_ready_reason(sys.argv[1], int(sys.argv[2]), "haproxy" in sys.argv[3:]))
