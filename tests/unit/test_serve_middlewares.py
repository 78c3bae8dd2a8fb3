"""The edge of Serve's Python proxy: the same routes, limits and errors as HAProxy has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import closing
from typing import Any, TypeVar

import pytest
from serve_middlewares import Edge

SETTINGS: dict[str, Any] = {
    "post": ["/v1/completions"],
    "get": ["/v1/models", "/v1/models/"],
    "probes": ["/detokenize"],
    "keys": {},
    "loopback": False,
    "max_body_bytes": 1000,
    "max_requests": 2,
}
T = TypeVar("T")
CALLER, OWN_NODE = ("10.0.0.7", 5), ("127.0.0.1", 5)


class Replica:
    """ASGI application that answers each request, and keeps the scopes."""

    def __init__(self, status: int = 200, content_type: bytes = b"application/json") -> None:
        self.status, self.content_type = status, content_type
        self.scopes: list[dict[str, Any]] = []
        self.release = asyncio.Event()
        self.release.set()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await self.release.wait()
        headers = [(b"content-type", self.content_type), (b"retry-after", b"7")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"Internal", "more_body": True})
        await send({"type": "http.response.body", "body": b" Server Error"})


Answer = tuple[int, dict[str, str], str]


async def ask(edge: Edge, path: str, method: str = "POST", client: Any = CALLER, **headers: str) -> Answer:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": pairs, "client": client}
    await edge(scope, None, send)
    start, *bodies = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(each["body"] for each in bodies).decode()


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine. asyncio.run would leave the thread without an event loop, which Pulumi's tests need."""
    with closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(coroutine)


def answer(path: str, method: str = "POST", client: Any = CALLER, **headers: str) -> Answer:
    return finished(ask(Edge(Replica(), SETTINGS), path, method, client, **headers))


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1/completions", "POST", 200),
        ("/v1/models", "GET", 200),
        ("/v1/models", "HEAD", 200),
        ("/v1/models/a/b", "GET", 200),
        ("/-/healthz", "GET", 200),
        ("/v1/completions", "GET", 405),
        ("/v1/models", "POST", 405),
        ("/v1/modelsx", "GET", 404),
        ("/metrics", "GET", 404),
        ("/-/routes", "GET", 404),
        ("/detokenize", "POST", 404),
        ("/", "GET", 404),
    ],
)
def test_what_is_not_opened_is_refused(path: str, method: str, status: int) -> None:
    found, headers, body = answer(path, method)
    assert found == status
    if status != 200:
        assert json.loads(body)["error"]["code"] == {404: "unknown_route", 405: "method_not_allowed"}[status]
        assert headers["content-type"] == "application/json"
        assert headers["x-request-id"]
        assert headers["content-length"] == str(len(body))


def test_probes_are_open_to_the_node_itself() -> None:
    assert answer("/detokenize", client=OWN_NODE)[0] == 200
    assert answer("/metrics", client=OWN_NODE)[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_length": "1000"}, 200),
        ({"content_length": "1001"}, 413),
        ({"content_length": "-1"}, 400),
        ({"transfer_encoding": "chunked"}, 411),
    ],
)
def test_the_body_has_a_limit(headers: dict[str, str], status: int) -> None:
    assert answer("/v1/completions", **headers)[0] == status


def test_the_request_id_of_the_caller_stays() -> None:
    replica = Replica()
    _, headers, _ = finished(ask(Edge(replica, SETTINGS), "/x", x_request_id="mine"))
    assert headers["x-request-id"] == "mine"
    finished(ask(Edge(replica, SETTINGS), "/v1/completions"))
    assert dict(replica.scopes[0]["headers"])[b"x-request-id"]


@pytest.mark.parametrize(
    ("status", "code"), [(500, "internal_error"), (503, "unavailable"), (429, "too_many_requests")]
)
def test_plain_text_of_serve_gets_openais_form(status: int, code: str) -> None:
    replica = Replica(status, b"text/plain; charset=utf-8")
    found, headers, body = finished(ask(Edge(replica, SETTINGS), "/v1/completions"))
    assert (found, json.loads(body)["error"]["code"]) == (status, code)
    assert headers["retry-after"] == "7"


@pytest.mark.parametrize(("status", "content_type"), [(200, b"text/plain"), (500, b"application/json")])
def test_any_other_answer_passes_unchanged(status: int, content_type: bytes) -> None:
    replica = Replica(status, content_type)
    found, _, body = finished(ask(Edge(replica, SETTINGS), "/v1/completions"))
    assert (found, body) == (status, "Internal Server Error")


def test_requests_beyond_the_limit_are_refused_and_the_count_goes_down_again() -> None:
    async def run() -> list[int]:
        replica = Replica()
        replica.release.clear()
        edge = Edge(replica, SETTINGS)
        slow = [asyncio.create_task(ask(edge, "/v1/completions")) for _ in range(2)]
        await asyncio.sleep(0)
        refused, headers, _ = await ask(edge, "/v1/completions")
        assert headers["retry-after"] == "1"
        listed, _, _ = await asyncio.wait_for(_released(edge, replica), 5)
        return [refused, listed, *[(await each)[0] for each in slow], (await ask(edge, "/v1/completions"))[0]]

    async def _released(edge: Edge, replica: Replica) -> Answer:
        replica.release.set()
        return await ask(edge, "/v1/models", "GET")

    assert finished(run()) == [429, 200, 200, 200, 200]


def test_a_request_that_fails_is_not_counted_any_more() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ConnectionError

    edge = Edge(fails, SETTINGS | {"max_requests": 1})
    for _ in range(3):
        with pytest.raises(ConnectionError):
            finished(ask(edge, "/v1/completions"))


def test_a_closed_websocket_is_told_why() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/x", "headers": [], "client": CALLER}
    finished(Edge(Replica(), SETTINGS)(scope, None, send))
    assert [each["type"] for each in sent] == ["websocket.close"]
