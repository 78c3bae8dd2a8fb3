"""The script that closes keep-alive connections, against a health check and an admin socket that answer as HAProxy
does."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.unit.listening import admin_socket, served
from workloads.kubernetes.pod_scripts import close_keepalive

PROPAGATION_S = 20
HEALTHY = b"success"
NO_REPLICA = b"Service Unavailable"


class Stopped(Exception):
    """Ends the endless loop."""


class Health(HTTPServer):
    """Answers each health check with the next of `bodies`; closes the connection for None."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Health  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        body = self.server.bodies.pop(0)
        if body is not None:
            self.send_response(200 if body == HEALTHY else 503)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def health() -> Iterator[Health]:
    with served(Health()) as server:
        yield server


class Admin:
    """HAProxy's admin socket: its uptime, and the other commands that it received."""

    def __init__(self) -> None:
        self.uptime_s = 60
        self.commands: list[str] = []

    def reply(self, command: str) -> str:
        if command == "show info\n":
            return f"Name: HAProxy\nUptime: 0d 0h01m00s\nUptime_sec: {self.uptime_s}\n\n"
        self.commands.append(command)
        return "\n"


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    fake = Admin()
    with admin_socket(tmp_path, monkeypatch, fake.reply):
        yield fake


@pytest.fixture
def clock(health: Health, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only `sleep` moves. It ends the loop when no body is left."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not health.bodies:
            raise Stopped

    monkeypatch.setattr(close_keepalive.time, "sleep", sleep)
    monkeypatch.setattr(close_keepalive.time, "monotonic", lambda: 1000 + sum(slept))
    return slept


def poll(health: Health, *body: bytes | None) -> None:
    health.bodies += body
    with pytest.raises(Stopped):
        close_keepalive.run(health.server_port, PROPAGATION_S)


POLLS_BEFORE_SHUTDOWN = PROPAGATION_S // close_keepalive.POLL_INTERVAL_S
"""Polls before the one that shuts the frontend down."""
SHUT = "shutdown frontend http_frontend\n"


@pytest.mark.usefixtures("clock")
def test_the_frontend_shuts_down_once_new_requests_go_elsewhere(health: Health, admin: Admin) -> None:
    poll(health, HEALTHY, *[close_keepalive.DRAINING] * POLLS_BEFORE_SHUTDOWN)
    assert admin.commands == []
    poll(health, *[close_keepalive.DRAINING] * (POLLS_BEFORE_SHUTDOWN + 1))
    assert admin.commands == [SHUT]


@pytest.mark.usefixtures("clock")
def test_a_frontend_that_a_reload_restores_is_shut_down_again(health: Health, admin: Admin) -> None:
    poll(health, *[close_keepalive.DRAINING] * (POLLS_BEFORE_SHUTDOWN + 1), None, None, close_keepalive.DRAINING)
    assert admin.commands == [SHUT, SHUT]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("body", [HEALTHY, NO_REPLICA])
def test_a_haproxy_that_serves_again_starts_the_count_anew(health: Health, admin: Admin, body: bytes) -> None:
    poll(
        health,
        *[close_keepalive.DRAINING] * POLLS_BEFORE_SHUTDOWN,
        body,
        *[close_keepalive.DRAINING] * POLLS_BEFORE_SHUTDOWN,
    )
    assert admin.commands == []


@pytest.mark.usefixtures("clock")
def test_a_haproxy_without_replicas_is_not_drained(health: Health, admin: Admin) -> None:
    poll(health, *[NO_REPLICA] * (2 * POLLS_BEFORE_SHUTDOWN))
    assert admin.commands == []


@pytest.mark.usefixtures("clock")
def test_a_haproxy_that_just_started_is_left_open(health: Health, admin: Admin) -> None:
    admin.uptime_s = close_keepalive.MIN_UPTIME_S - 1
    poll(health, *[close_keepalive.DRAINING] * (POLLS_BEFORE_SHUTDOWN + 1))
    assert admin.commands == []


@pytest.mark.usefixtures("clock")
def test_a_missing_haproxy_does_not_end_the_script(
    health: Health, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_SERVE_HAPROXY_SOCKET_PATH", str(tmp_path / "none.sock"))
    poll(health, *[close_keepalive.DRAINING] * (POLLS_BEFORE_SHUTDOWN + 2))
    assert close_keepalive.is_drained(1) is None
