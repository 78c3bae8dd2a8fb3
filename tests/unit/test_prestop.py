"""A worker pod's preStop hook, against HAProxy's statistics as it writes them."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.unit.listening import served
from workloads.kubernetes.pod_scripts import prestop

STATS = """# pxname,svname,qcur,qmax,scur,smax
http_frontend,FRONTEND,,,9,9
http-llm,SERVE_REPLICA_1,0,0,2,2
http-llm,BACKEND,0,0,{scur},5
stats,BACKEND,0,0,7,7
"""


@pytest.fixture
def haproxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A statistics page that reports the next number of the list each time; the last number stays."""
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            count = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(STATS.format(scur=count).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setenv("PATH", "")  # so that there is no `ray` command
    with served(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        monkeypatch.setenv("RAY_SERVE_HAPROXY_STATS_PORT", str(server.server_port))
        yield answers


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only sleeping moves; every sleep is noted."""
    slept: list[float] = []
    monkeypatch.setattr(prestop.time, "sleep", slept.append)
    monkeypatch.setattr(prestop.time, "monotonic", lambda: sum(slept))
    return slept


def test_a_pod_stays_until_its_requests_are_answered(haproxy: list[int], seconds: list[float]) -> None:
    haproxy += [2, 1, 0, 1, 0]  # the fourth request arrives between two polls
    prestop.drain_node(100)
    assert len(seconds) == 4 + prestop.QUIET_POLLS


def test_a_pod_leaves_when_its_time_is_up(haproxy: list[int], seconds: list[float]) -> None:
    haproxy += [5]
    prestop.drain_node(20)
    assert sum(seconds) == 20


def test_without_haproxy_there_is_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("RAY_SERVE_HAPROXY_STATS_PORT", "1")
    prestop.drain_node(20)
    assert seconds == []
