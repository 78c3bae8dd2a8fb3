"""A stand-in for Ray in simulated pods: the dashboard's Serve API, the health check, HAProxy's statistics.

Inside the namespace every pod's address is local, so one process answers for all pods and tells them apart by the
address that was dialled. A head that was given a Serve configuration reports its applications as RUNNING, or as a test
has told it to.

    PUT /stand-in {"status": "DEPLOYING", "streams": 3}   of all pods, or with "address" of one
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

DASHBOARD, SERVE, STATS = 8265, 8000, 8404
APPLICATIONS = "/api/serve/applications/"
EVERY = "*"

_config: dict[str, Any] = {}
_puts: dict[str, int] = {}
_told: dict[str, dict[str, Any]] = {EVERY: {"status": "RUNNING", "streams": 0}}


class Ray(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self.path.split("?")[0]:
            case "/stand-in":
                self._answer({"puts": _puts})
            case "/-/healthz":
                self._text("success")
            case "/stats;csv":
                self._text(f"# pxname,svname,scur\nhttp-llm,BACKEND,{self._told('streams')}\nstats,BACKEND,1\n")
            case path if path == APPLICATIONS:
                self._answer(self._applications())
            case _:
                self.send_error(404)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.path:
            case "/stand-in":
                told = json.loads(body)
                _told.setdefault(told.pop("address", EVERY), {}).update(told)
                self._answer({})
            case path if path == APPLICATIONS:
                _config[self._me] = yaml.safe_load(body)
                _puts[self._me] = _puts.get(self._me, 0) + 1
                self._answer({})
            case _:
                self.send_error(404)

    @property
    def _me(self) -> str:
        return self.connection.getsockname()[0]

    def _told(self, what: str) -> Any:
        return {**_told[EVERY], **_told.get(self._me, {})}[what]

    def _applications(self) -> dict[str, Any]:
        status = self._told("status")
        healthy = "HEALTHY" if status == "RUNNING" else "UPDATING"
        found = {
            each["name"]: {
                "name": each["name"],
                "status": status,
                "message": "",
                "route_prefix": each.get("route_prefix", "/"),
                "deployments": {"LLMServer": {"name": "LLMServer", "status": healthy, "message": ""}},
            }
            for each in _config.get(self._me, {}).get("applications", [])
        }
        return {"applications": found, "deploy_mode": "MULTI_APP"}

    def _answer(self, what: dict[str, Any]) -> None:
        self._text(json.dumps(what), "application/json")

    def _text(self, text: str, kind: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    if not network_namespace.sealed():
        sys.exit("The Ray API's stand-in listens on every address: it runs in a namespace that nothing leaves, only.")
    servers = [ThreadingHTTPServer(("0.0.0.0", port), Ray) for port in (DASHBOARD, SERVE, STATS)]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
