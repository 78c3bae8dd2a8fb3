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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import haproxy_client

HEALTH_CHECK_PATH = "/-/healthz"
REQUEST_TIMEOUT_S = 3
DIRECT_REQUEST = ("/ping", "")
"""vLLM's own health check as a POST request, which HAProxy sends through the request router like any other: 200, or 503
if the engine is dead (vllm/entrypoints/serve/sagemaker/api_router.py)."""
INGRESS_REQUEST = ("/detokenize", json.dumps({"tokens": []}))
"""The request of OpenAiIngress that reaches a replica of every kind of model and costs the engine nothing."""


def not_ready_reason(port: int, haproxy: bool, direct: bool) -> str | None:
    """Return why the proxy on `port` cannot answer requests, or None if it can.

    `haproxy`: the proxy is HAProxy. `direct`: it checks the health of each replica of the model. Otherwise it checks
    OpenAiIngress, or nothing, so one request has to reach a replica.
    """
    try:
        status, text = _request(port, "GET", HEALTH_CHECK_PATH)
        if status != 200:
            return f"{HEALTH_CHECK_PATH} answers {status}: {text}"
        if not haproxy:
            return request_failure(port, direct)
        states = haproxy_client.admin_command("show servers state")
        if haproxy_client.running_replica_addresses(states):
            return None if direct else request_failure(port, direct)
        if haproxy_client.has_replicas(states):
            return "no replica passes HAProxy's health checks"
        # While Serve builds a changed application, for some ten seconds, it names no replica to HAProxy, and HAProxy
        # sends requests to the head's proxy, which reaches the replicas that still run.
        return request_failure(port, direct)
    except (OSError, http.client.HTTPException) as error:
        return f"the proxy does not answer ({error})"


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

    proxy_port: int
    haproxy: bool
    direct: bool

    def do_GET(self) -> None:
        reason = not_ready_reason(self.proxy_port, self.haproxy, self.direct)
        body = (reason or "ready").encode()
        self.send_response(503 if reason else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write no access log."""


def server(listen_port: int, proxy_port: int, haproxy: bool, direct: bool) -> ThreadingHTTPServer:
    """Return a server on `listen_port`, on all addresses, that answers with the readiness of the proxy."""
    handler = type("Handler", (_Handler,), {"proxy_port": proxy_port, "haproxy": haproxy, "direct": direct})
    return ThreadingHTTPServer(("", listen_port), handler)


if __name__ == "__main__":
    server(int(sys.argv[1]), int(sys.argv[2]), "haproxy" in sys.argv[3:], "direct" in sys.argv[3:]).serve_forever()
