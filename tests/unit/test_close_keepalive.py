"""What lets go of a drained HAProxy's clients, against a health check that listens and an admin socket that answers as
HAProxy does."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.unit.listening import admin_socket, served
from workloads.kubernetes.pod_scripts import close_keepalive

DETACH_S = 20
HEALTHY = b"success"
NO_REPLICA = b"Service Unavailable"


class Over(Exception):
    """Ends what watches for ever."""


class Health(HTTPServer):
    """Says the next of `says` at each look; where that is None it hangs up without a word."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.says: list[bytes | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Health  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        said = self.server.says.pop(0)
        if said is not None:
            self.send_response(200 if said == HEALTHY else 503)
            self.end_headers()
            self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def health() -> Iterator[Health]:
    with served(Health()) as server:
        yield server


class Admin:
    """HAProxy's admin socket: how long it has been up, and what else it was told."""

    def __init__(self) -> None:
        self.uptime_s = 60
        self.told: list[str] = []

    def reply(self, command: str) -> str:
        if command == "show info\n":
            return f"Name: HAProxy\nUptime: 0d 0h01m00s\nUptime_sec: {self.uptime_s}\n\n"
        self.told.append(command)
        return "\n"


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    found = Admin()
    with admin_socket(tmp_path, monkeypatch, found.reply):
        yield found


@pytest.fixture
def watch(health: Health, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only sleeping moves; it ends the watch when nothing is left to say."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not health.says:
            raise Over

    monkeypatch.setattr(close_keepalive.time, "sleep", sleep)
    monkeypatch.setattr(close_keepalive.time, "monotonic", lambda: 1000 + sum(slept))
    return slept


def looks(health: Health, *said: bytes | None) -> None:
    health.says += said
    with pytest.raises(Over):
        close_keepalive.run(health.server_port, DETACH_S)


UNTIL_DETACHED = DETACH_S // close_keepalive.EVERY_S
"""Looks before the one that is late enough."""
SHUT = "shutdown frontend http_frontend\n"


@pytest.mark.usefixtures("watch")
def test_clients_are_let_go_once_new_requests_go_elsewhere(health: Health, admin: Admin) -> None:
    looks(health, HEALTHY, *[close_keepalive.DRAINING] * UNTIL_DETACHED)
    assert admin.told == []
    looks(health, *[close_keepalive.DRAINING] * (UNTIL_DETACHED + 1))
    assert admin.told == [SHUT]


@pytest.mark.usefixtures("watch")
def test_a_reload_meanwhile_opens_a_frontend_that_is_shut_again(health: Health, admin: Admin) -> None:
    looks(health, *[close_keepalive.DRAINING] * (UNTIL_DETACHED + 1), None, None, close_keepalive.DRAINING)
    assert admin.told == [SHUT, SHUT]


@pytest.mark.usefixtures("watch")
@pytest.mark.parametrize("said", [HEALTHY, NO_REPLICA])
def test_one_that_serves_again_begins_anew(health: Health, admin: Admin, said: bytes) -> None:
    looks(health, *[close_keepalive.DRAINING] * UNTIL_DETACHED, said, *[close_keepalive.DRAINING] * UNTIL_DETACHED)
    assert admin.told == []


@pytest.mark.usefixtures("watch")
def test_no_replica_is_not_drained(health: Health, admin: Admin) -> None:
    looks(health, *[NO_REPLICA] * (2 * UNTIL_DETACHED))
    assert admin.told == []


@pytest.mark.usefixtures("watch")
def test_a_process_that_just_started_may_be_another(health: Health, admin: Admin) -> None:
    admin.uptime_s = close_keepalive.SETTLED_S - 1
    looks(health, *[close_keepalive.DRAINING] * (UNTIL_DETACHED + 1))
    assert admin.told == []


@pytest.mark.usefixtures("watch")
def test_a_haproxy_that_is_gone_ends_nothing(health: Health, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_SERVE_HAPROXY_SOCKET_PATH", str(tmp_path / "none.sock"))
    looks(health, *[close_keepalive.DRAINING] * (UNTIL_DETACHED + 2))
    assert close_keepalive.is_drained(1) is None
