"""A worker pod's startup and readiness probes, against an admin socket and a proxy that answer as HAProxy does."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.unit.listening import admin_socket, served
from workloads.kubernetes.pod_scripts import readiness, startup_probe

STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
3 http-llm 1 SERVE_REPLICA_1 127.0.0.1 {local} 0 1 1
3 http-llm 2 SERVE_REPLICA_2 10.0.0.8 {other} 0 1 1
3 http-llm 3 SERVE_PROXY_ACTOR-fallback-1 127.0.0.1 2 0 1 1

"""
UP, DOWN = "2", "0"


class Proxy(HTTPServer):
    """Answers a path with its status in `statuses`, any other with 200, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, str]] = []
        self.statuses: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    server: Proxy  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self.server.requests.append((self.command, self.path, body))
        self.send_response(self.server.statuses.get(self.path, 200))
        self.end_headers()
        self.wfile.write(b"router_unreachable")

    do_GET = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with served(Proxy()) as server:
        yield server


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Reply of HAProxy's admin socket."""
    replies: list[str] = [STATES.format(local=UP, other=UP)]

    def reply(command: str) -> str:
        assert command == "show servers state\n"
        return replies[0]

    with admin_socket(tmp_path, monkeypatch, reply):
        yield replies


def readiness_reason(port: int, haproxy: bool, direct: bool) -> str | None:
    """Return what a readiness probe that has never passed says."""
    return readiness.Readiness(port, haproxy, direct).not_ready_reason()


PROBES = {"startup": startup_probe.not_ready_reason, "readiness": readiness_reason}


@pytest.mark.parametrize(("state", "there"), [(DOWN, False), ("1", False), (UP, True), ("3", False)])
def test_a_local_replica_that_runs_counts(state: str, there: bool) -> None:
    assert startup_probe.has_local_replica(STATES.format(local=state, other=UP)) is there


def test_a_pod_is_started_when_its_router_has_sent_a_request_to_a_replica(states: list[str], proxy: Proxy) -> None:
    assert startup_probe.not_ready_reason(proxy.server_port, haproxy=True, direct=True) is None
    assert proxy.requests == [("POST", "/ping", "")]


def test_a_pod_is_not_started_by_replicas_of_other_pods(states: list[str], proxy: Proxy) -> None:
    states[0] = STATES.format(local=DOWN, other=UP)
    assert (
        startup_probe.not_ready_reason(proxy.server_port, haproxy=True, direct=True)
        == "no replica of this pod runs yet"
    )
    assert proxy.requests == []


def test_a_started_pod_is_ready_while_any_replica_runs(states: list[str], proxy: Proxy) -> None:
    """HAProxy sends its requests to other pods, so it answers all of them."""
    states[0] = STATES.format(local=DOWN, other=UP)
    assert readiness_reason(proxy.server_port, haproxy=True, direct=True) is None
    assert proxy.requests == [("GET", "/-/healthz", "")]


def without_replicas(states: str) -> str:
    return "".join(line for line in states.splitlines(keepends=True) if "SERVE_REPLICA" not in line)


def test_a_pod_stays_ready_while_serve_builds_an_application(states: list[str], proxy: Proxy) -> None:
    """HAProxy then knows no replica, and the proxy of the head answers."""
    probe = readiness.Readiness(proxy.server_port, haproxy=True, direct=True)
    assert probe.not_ready_reason() is None
    states[0] = without_replicas(states[0])
    assert probe.not_ready_reason() is None
    assert {path for _, path, _ in proxy.requests} == {"/-/healthz"}


def test_a_pod_whose_engines_have_died_is_not_ready_when_their_replicas_go(states: list[str], proxy: Proxy) -> None:
    proxy.statuses["/ping"] = 503
    probe = readiness.Readiness(proxy.server_port, haproxy=True, direct=True)
    assert probe.not_ready_reason() is None
    states[0] = STATES.format(local=DOWN, other=DOWN)
    assert probe.not_ready_reason() == "no replica passes HAProxy's health checks"
    states[0] = without_replicas(states[0])
    assert probe.not_ready_reason() == "/ping answers 503: router_unreachable"


def test_a_pod_without_replicas_has_to_reach_one_after_a_while(
    states: list[str], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "WITHOUT_REPLICAS_S", 0)
    probe = readiness.Readiness(proxy.server_port, haproxy=True, direct=True)
    assert probe.not_ready_reason() is None
    states[0] = without_replicas(states[0])
    assert probe.not_ready_reason() is None
    proxy.statuses["/ping"] = 503
    assert probe.not_ready_reason() == "/ping answers 503: router_unreachable"


def test_the_proxy_of_the_head_makes_no_pod_ready(states: list[str], proxy: Proxy) -> None:
    """HAProxy's own health check counts it, although it only queues requests."""
    states[0] = STATES.format(local=DOWN, other=DOWN)
    reason = readiness_reason(proxy.server_port, haproxy=True, direct=True)
    assert reason == "no replica passes HAProxy's health checks"


def test_a_pod_without_a_haproxy_is_not_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: Proxy) -> None:
    monkeypatch.setenv("RAY_SERVE_HAPROXY_SOCKET_PATH", str(tmp_path / "none.sock"))
    assert "no HAProxy yet" in (startup_probe.not_ready_reason(proxy.server_port, haproxy=True, direct=True) or "")
    assert "does not answer" in (readiness_reason(proxy.server_port, haproxy=True, direct=True) or "")
    assert (
        startup_probe.not_ready_reason(proxy.server_port, haproxy=False, direct=False) is None
    )  # Serve's own proxy has no socket


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(("status", "there"), [(400, True), (404, False), (500, False), (503, False)])
def test_the_python_proxy_has_to_reach_a_replica(probe: str, proxy: Proxy, status: int, there: bool) -> None:
    """A replica may refuse the request as unfit for its model: 400. OpenAiIngress itself answers the other routes."""
    proxy.statuses["/detokenize"] = status
    reason = PROBES[probe](proxy.server_port, haproxy=False, direct=False)
    assert (reason is None) is there
    assert there or f"answers {status}: router_unreachable" in (reason or "")


def test_haproxy_before_the_ingress_has_to_reach_a_replica(states: list[str], proxy: Proxy) -> None:
    """It knows replicas of OpenAiIngress only, of which this pod may have none."""
    states[0] = STATES.format(local=DOWN, other=UP)
    assert startup_probe.not_ready_reason(proxy.server_port, haproxy=True, direct=False) is None
    assert readiness_reason(proxy.server_port, haproxy=True, direct=False) is None
    assert [path for _, path, _ in proxy.requests] == ["/detokenize", "/-/healthz", "/detokenize"]
    proxy.statuses["/detokenize"] = 503
    assert readiness_reason(proxy.server_port, haproxy=True, direct=False) is not None


@pytest.mark.parametrize("haproxy", [True, False])
def test_a_draining_proxy_is_not_ready(states: list[str], proxy: Proxy, haproxy: bool) -> None:
    proxy.statuses["/-/healthz"] = 503
    assert "/-/healthz answers 503" in (readiness_reason(proxy.server_port, haproxy, haproxy) or "")


def test_a_closed_port_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "does not answer" in (startup_probe.not_ready_reason(port, haproxy=False, direct=False) or "")
    assert "does not answer" in (readiness_reason(port, haproxy=False, direct=False) or "")


def test_the_kubelet_gets_200_or_503_with_the_reason(states: list[str], proxy: Proxy) -> None:
    with served(readiness.server(0, proxy.server_port, haproxy=True, direct=True)) as server:
        assert _get(server.server_port) == (200, "ready")
        states[0] = STATES.format(local=DOWN, other=DOWN)
        assert _get(server.server_port) == (503, "no replica passes HAProxy's health checks")


def _get(port: int) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/")
    reply = connection.getresponse()
    return reply.status, reply.read().decode()
