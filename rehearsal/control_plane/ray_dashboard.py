"""A stand-in for Ray in simulated pods: the dashboard's Serve API, the health check, and HAProxy's statistics.

Inside the namespace every pod's address is local, so one process answers for all pods; it tells them apart by the
address that a client connects to. A head with a Serve configuration reports its applications as RUNNING, unless a test
sets another status:

    PUT /stand-in {"status": "DEPLOYING", "streams": 3}   for all pods, or with "address" for one
    GET /stand-in                                         {"puts": {address: count}}

    python -m rehearsal.control_plane.ray_dashboard
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

from rehearsal.control_plane import network_namespace

DASHBOARD_PORT, SERVE_PORT, HAPROXY_STATS_PORT = 8265, 8000, 8404
APPLICATIONS = "/api/serve/applications/"
ALL_PODS = "*"

_serve_configs: dict[str, Any] = {}
_put_counts: dict[str, int] = {}
_overrides: dict[str, dict[str, Any]] = {ALL_PODS: {"status": "RUNNING", "streams": 0}}


class RayApiHandler(BaseHTTPRequestHandler):
    """Answers one request as the pod that it was sent to."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self.path.split("?")[0]:
            case "/stand-in":
                self._send_json({"puts": _put_counts})
            case "/-/healthz":
                self._send_text("success")
            case "/stats;csv":
                streams = self._override("streams")
                self._send_text(f"# pxname,svname,scur\nhttp-llm,BACKEND,{streams}\nstats,BACKEND,1\n")
            case path if path == APPLICATIONS:
                self._send_json(self._applications())
            case _:
                self.send_error(404)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.path:
            case "/stand-in":
                override = json.loads(body)
                _overrides.setdefault(override.pop("address", ALL_PODS), {}).update(override)
                self._send_json({})
            case path if path == APPLICATIONS:
                _serve_configs[self._pod_address] = yaml.safe_load(body)
                _put_counts[self._pod_address] = _put_counts.get(self._pod_address, 0) + 1
                self._send_json({})
            case _:
                self.send_error(404)

    @property
    def _pod_address(self) -> str:
        return self.connection.getsockname()[0]

    def _override(self, key: str) -> Any:
        return {**_overrides[ALL_PODS], **_overrides.get(self._pod_address, {})}[key]

    def _applications(self) -> dict[str, Any]:
        status = self._override("status")
        deployment = {"name": "LLMServer", "status": "HEALTHY" if status == "RUNNING" else "UPDATING", "message": ""}
        applications = {
            each["name"]: {
                "name": each["name"],
                "status": status,
                "message": "",
                "route_prefix": each.get("route_prefix", "/"),
                "deployments": {"LLMServer": deployment},
            }
            for each in _serve_configs.get(self._pod_address, {}).get("applications", [])
        }
        return {"applications": applications, "deploy_mode": "MULTI_APP"}

    def _send_json(self, body: dict[str, Any]) -> None:
        self._send_text(json.dumps(body), "application/json")

    def _send_text(self, text: str, content_type: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Serve on every address of the network namespace."""
    if not network_namespace.has_no_route():
        sys.exit("The stand-in for Ray's API listens on every address, so it runs only in a namespace without routes.")
    ports = (DASHBOARD_PORT, SERVE_PORT, HAPROXY_STATS_PORT)
    servers = [ThreadingHTTPServer(("0.0.0.0", port), RayApiHandler) for port in ports]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
