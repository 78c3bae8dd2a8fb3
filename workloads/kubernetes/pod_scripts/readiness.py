"""Readiness of a worker pod: answer the kubelet with 200 while the pod's proxy has a replica with a live engine.

The postStart hook of a worker pod starts this script, and it runs beside Ray until the pod ends. Serve's own health
check (`/-/healthz`) is not enough. HAProxy counts the proxy of the head, to which it sends requests if no replica is
left, and Serve's Python proxy looks at OpenAiIngress only, which lives on when the engine dies. Nothing here depends on
the kind of model. Standard library only; runs in Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import haproxy_client

HEALTH_CHECK_PATH = "/-/healthz"
REQUEST_TIMEOUT_S = 3
WITHOUT_REPLICAS_S = 30
"""Seconds for which a pod stays ready when HAProxy has no replica any more, although the last ones passed their health
checks. While Serve builds a changed application, for some ten seconds, it names no replica, and HAProxy sends requests
to the head's proxy, which reaches the replicas that still run. A replica whose engine dies fails its checks first."""
DIRECT_REQUEST = ("/ping", "")
"""vLLM's own health check as a POST request, which HAProxy sends through the request router like any other: 200, or 503
if the engine is dead (vllm/entrypoints/serve/sagemaker/api_router.py)."""
INGRESS_REQUEST = ("/detokenize", json.dumps({"tokens": []}))
"""The request of OpenAiIngress that reaches a replica of every kind of model and costs the engine nothing."""


class Readiness:
    """Whether the proxy on `port` can answer requests.

    `haproxy`: the proxy is HAProxy. `direct`: it checks the health of each replica of the model. Otherwise it checks
    OpenAiIngress, or nothing, so one request has to reach a replica.
    """

    def __init__(self, port: int, haproxy: bool, direct: bool) -> None:
        self._port, self._haproxy, self._direct = port, haproxy, direct
        self._replicas_ran_at = -WITHOUT_REPLICAS_S

    def not_ready_reason(self) -> str | None:
        """Return why the proxy cannot answer requests, or None if it can."""
        try:
            status, text = _request(self._port, "GET", HEALTH_CHECK_PATH)
            if status != 200:
                return f"{HEALTH_CHECK_PATH} answers {status}: {text}"
            if not self._haproxy:
                return request_failure(self._port, self._direct)
            return self._haproxy_reason(haproxy_client.admin_command("show servers state"))
        except (OSError, http.client.HTTPException) as error:
            return f"the proxy does not answer ({error})"

    def _haproxy_reason(self, states: str) -> str | None:
        if haproxy_client.running_replica_addresses(states):
            self._replicas_ran_at = time.monotonic()
            return None if self._direct else request_failure(self._port, self._direct)
        if haproxy_client.has_replicas(states):
            self._replicas_ran_at = -WITHOUT_REPLICAS_S
            return "no replica passes HAProxy's health checks"
        if time.monotonic() - self._replicas_ran_at < WITHOUT_REPLICAS_S:
            return None
        return request_failure(self._port, self._direct)


def request_failure(port: int, direct: bool) -> str | None:
    """Send a request to a replica through the proxy. Return what failed, or None if a replica answered."""
    path, body = DIRECT_REQUEST if direct else INGRESS_REQUEST
    try:
        status, text = _request(port, "POST", path, body)
    except (OSError, http.client.HTTPException) as error:
        return f"{path} does not answer ({error})"
    # A replica may refuse the request as unfit for its model (400). Proxies without a replica answer 404 and 5xx.
    return None if status in (200, 400) else f"{path} answers {status}: {text}"


def _request(port: int, method: str, path: str, body: str = "") -> tuple[int, str]:
    """Return the status and the first 200 characters of the answer. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
        reply = connection.getresponse()
        return reply.status, reply.read(200).decode(errors="replace")
    finally:
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers every GET request with the readiness of the proxy."""

    readiness: Readiness

    def do_GET(self) -> None:
        reason = self.readiness.not_ready_reason()
        body = (reason or "ready").encode()
        self.send_response(503 if reason else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write no access log."""


def server(listen_port: int, proxy_port: int, haproxy: bool, direct: bool) -> ThreadingHTTPServer:
    """Return a server on `listen_port`, on all addresses, that answers with the readiness of the proxy."""
    handler = type("Handler", (_Handler,), {"readiness": Readiness(proxy_port, haproxy, direct)})
    return ThreadingHTTPServer(("", listen_port), handler)


if __name__ == "__main__":
    server(int(sys.argv[1]), int(sys.argv[2]), "haproxy" in sys.argv[3:], "direct" in sys.argv[3:]).serve_forever()
