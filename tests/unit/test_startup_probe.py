"""A worker pod's startup probe, against an admin socket and a proxy that answer as HAProxy does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.unit.listening import admin_socket, served
from workloads.kubernetes.pod_scripts import startup_probe

STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
3 http-llm 1 SERVE_REPLICA_1 127.0.0.1 {state} 0 1 1
3 http-llm 2 SERVE_REPLICA_2 10.0.0.8 2 0 1 1

"""


class Proxy(HTTPServer):
    """Answers with `status`, and keeps the requests."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, object]] = []


class Handler(BaseHTTPRequestHandler):
    server: Proxy  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"router_unreachable")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with served(Proxy()) as server:
        yield server


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Reply of HAProxy's admin socket."""
    replies: list[str] = []

    def reply(command: str) -> str:
        assert command == "show servers state\n"
        return replies[0]

    with admin_socket(tmp_path, monkeypatch, reply):
        yield replies


@pytest.mark.parametrize(("state", "there"), [("0", False), ("1", False), ("2", True), ("3", False)])
def test_a_local_server_that_runs_counts(state: str, there: bool) -> None:
    assert startup_probe.has_local_replica(STATES.format(state=state)) is there


def test_a_pod_is_ready_when_it_has_answered(states: list[str], proxy: Proxy) -> None:
    states.append(STATES.format(state=2))
    assert startup_probe.not_ready_reason("tiny", proxy.server_port, haproxy=True) is None
    assert proxy.requests == [("/v1/completions", {"model": "tiny", "prompt": "Hello", "max_tokens": 1})]


def test_replicas_of_other_pods_do_not_count(states: list[str], proxy: Proxy) -> None:
    states.append(STATES.format(state=0))
    assert startup_probe.not_ready_reason("tiny", proxy.server_port, haproxy=True) == "no replica of this pod runs yet"
    assert proxy.requests == []


def test_a_pod_without_a_haproxy_is_not_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: Proxy) -> None:
    monkeypatch.setenv("RAY_SERVE_HAPROXY_SOCKET_PATH", str(tmp_path / "none.sock"))
    assert "no HAProxy yet" in (startup_probe.not_ready_reason("tiny", proxy.server_port, haproxy=True) or "")
    assert (
        startup_probe.not_ready_reason("tiny", proxy.server_port, haproxy=False) is None
    )  # Serve's own proxy has no such socket


@pytest.mark.parametrize(("status", "there"), [(400, True), (404, False), (500, False), (503, False)])
def test_an_error_of_a_proxy_is_no_answer(proxy: Proxy, status: int, there: bool) -> None:
    proxy.status = status
    reason = startup_probe.not_ready_reason("tiny", proxy.server_port, haproxy=False)
    assert (reason is None) is there
    assert there or f"answers {status}: router_unreachable" in (reason or "")


def test_a_closed_port_is_not_ready(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "does not answer" in (startup_probe.not_ready_reason("tiny", port, haproxy=False) or "")
