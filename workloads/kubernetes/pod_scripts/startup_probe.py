"""Startup probe of a worker pod: the pod is started once a replica of its own runs and its proxy reaches a replica.

Before that the pod's readiness would pass as soon as another pod's replica runs, which may be a minute before any
replica here does, and its HAProxy asks the request routers of its own pod only. A disruption budget that trusts such
readiness lets the next worker be evicted too early. The request needs no knowledge of the model: vLLM completes
nothing for some kinds of model. Standard library only; runs in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import sys

import haproxy_client
import readiness

LOCAL_ADDRESSES = ("127.0.0.1", "::1")
"""Addresses that Serve gives HAProxy for replicas of its own node (ray/serve/_private/haproxy.py)."""


def has_local_replica(servers_state: str) -> bool:
    """Return True if a replica of this pod passes HAProxy's health checks (reply to `show servers state`)."""
    return not haproxy_client.running_replica_addresses(servers_state).isdisjoint(LOCAL_ADDRESSES)


def not_ready_reason(port: int, haproxy: bool, direct: bool) -> str | None:
    """Return why this pod cannot take requests yet, or None if it can.

    `port`: of the pod's proxy. `haproxy` and `direct`: also require a running replica of the model in this pod, because
    HAProxy forwards requests to other pods. Without `direct` HAProxy knows replicas of OpenAiIngress only, and this pod
    may have none of those.
    """
    try:
        if haproxy and direct and not has_local_replica(haproxy_client.admin_command("show servers state")):
            return "no replica of this pod runs yet"
    except OSError as error:
        return f"no HAProxy yet ({error})"
    return readiness.request_failure(port, direct)


if __name__ == "__main__":
    sys.exit(not_ready_reason(int(sys.argv[1]), "haproxy" in sys.argv[2:], "direct" in sys.argv[2:]))
