"""The edited configuration in the HAProxy that Ray ships: what passes, what is refused, and in which form."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.harness.haproxy import HAProxy, running
from tests.harness.waiting import wait_until

KEY, OTHER = "sk-" + "a" * 32, "sk-" + "b" * 32
CHAT = "/v1/chat/completions"
SETTINGS: dict[str, Any] = {
    "post": [CHAT],
    "get": ["/v1/models", "/v1/models/"],
    "probes": [],
    "max_body_bytes": 1000,
}


def line(key: str, name: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()} {name}\n"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HAProxy]:
    with running(tmp_path_factory.mktemp("haproxy"), SETTINGS) as found:
        yield found


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HAProxy]:
    folder = tmp_path_factory.mktemp("keyed")
    keys = folder / "keys.map"
    keys.write_text(line(KEY, "team-a"))
    with running(folder, SETTINGS | {"keys": {"map": str(keys), "max_requests": 2}}) as found:
        yield found


def ask(proxy: HAProxy, path: str = CHAT, method: str = "POST", **options: Any) -> httpx2.Response:
    with httpx2.Client(trust_env=False, timeout=20) as client:
        return client.request(method, proxy.url + path, **options)


def is_openai_error(reply: httpx2.Response, status: int, code: str) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.json()["error"]["code"] == code
    assert reply.headers["x-request-id"]


def raw(proxy: HAProxy, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_an_open_route_reaches_a_replica_with_a_request_id(proxy: HAProxy) -> None:
    reply = ask(proxy, json={"messages": []}, headers={"x-request-id": "mine"})
    assert (reply.status_code, reply.text in ("first", "second")) == (200, True)
    (path, headers) = next(each.requests[-1] for each in proxy.replicas if each.requests)
    assert (path, headers["x-request-id"]) == (CHAT, "mine")
    assert ask(proxy, "/v1/models", "GET").status_code == 200
    assert ask(proxy, "/v1/models/a/b", "GET").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/docs", "/tokenize", "/v1", "/v1/chat/completions/", "/v1/chat/completions/x", "//v1/models", "/",
     "/v1/chat%2fcompletions", "/V1/chat/completions", "/-/routes", "/ping", "/v1/modelsx", "/x/../v1/models"],
)  # fmt: skip
def test_any_other_path_is_404(proxy: HAProxy, path: str) -> None:
    before = sum(len(each.requests) for each in proxy.replicas)
    for method in ("GET", "POST", "OPTIONS"):
        target = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        reply = raw(proxy, target.encode())
        assert reply.startswith(b"HTTP/1.1 404 "), reply[:200]
        assert b'"code":"unknown_route"' in reply
    assert sum(len(each.requests) for each in proxy.replicas) == before


@pytest.mark.parametrize(("path", "method"), [(CHAT, "GET"), (CHAT, "DELETE"), ("/v1/models", "POST")])
def test_another_method_is_405(proxy: HAProxy, path: str, method: str) -> None:
    is_openai_error(ask(proxy, path, method), 405, "method_not_allowed")


def test_health_checks_need_nothing(keyed: HAProxy) -> None:
    assert ask(keyed, "/-/healthz", "GET").text == "success"


def test_a_large_body_is_413_before_it_is_sent(proxy: HAProxy) -> None:
    is_openai_error(ask(proxy, content=b"x" * 1001), 413, "request_too_large")
    assert ask(proxy, content=b"x" * 1000).status_code == 200
    announced = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9999999999\r\n\r\n"
    assert b" 413 " in raw(proxy, announced.encode())[:20]


def test_a_body_without_a_length_is_411(proxy: HAProxy) -> None:
    is_openai_error(ask(proxy, content=iter([b"x"])), 411, "length_required")


def test_what_is_no_http_is_400_and_slow_headers_are_408(proxy: HAProxy) -> None:
    """With HAProxy's own page: its HTTP/1 parser has no other."""
    assert raw(proxy, b"POST /v1 chat\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(proxy, f"POST {CHAT} HTTP/1.1\r\n".encode()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "bad_request"), (404, "unknown_route"), (408, "request_timeout"), (429, "too_many_requests"),
     (500, "internal_error"), (503, "unavailable")],
)  # fmt: skip
def test_errors_of_serve_get_openais_form(proxy: HAProxy, status: int, code: str) -> None:
    for replica in proxy.replicas:
        replica.status, replica.content_type = status, "text/plain; charset=utf-8"
    try:
        reply = ask(proxy)
        is_openai_error(reply, status, code)
        assert reply.headers.get("retry-after") == ("7" if status in (429, 503) else None)
        for replica in proxy.replicas:
            replica.content_type = "application/json"
        assert ask(proxy).text in ("first", "second"), "vLLM's own errors stay"
    finally:
        for replica in proxy.replicas:
            replica.status, replica.content_type = 200, "application/json"


def test_without_a_replica_every_request_is_503(tmp_path: Path) -> None:
    with running(tmp_path, SETTINGS) as proxy:
        for name in ("a1b2c3d4", "e5f6a7b8"):
            proxy.admin(f"disable server http-llm/SERVE_REPLICA__llm_LLMServer_m_{name}")
        proxy.admin("disable server http-llm/fallback")
        is_openai_error(ask(proxy), 503, "unavailable")


def test_before_any_application_every_route_is_404(tmp_path: Path) -> None:
    with running(tmp_path, SETTINGS, "no_replicas") as proxy:
        is_openai_error(ask(proxy), 404, "unknown_route")


def test_requests_beyond_the_limit_are_429_at_once(tmp_path: Path) -> None:
    release = threading.Event()
    with running(tmp_path, SETTINGS | {"max_requests": 2}) as proxy:
        slow = [held(proxy, release) for _ in range(2)]
        wait_until("both requests in HAProxy", lambda: "conn_cur=2" in requests_table(proxy), timeout_s=10)
        reply = ask(proxy)
        is_openai_error(reply, 429, "too_many_requests")
        assert reply.headers["retry-after"] == "1"
        release.set()
        assert [each() for each in slow] == [200, 200]
        wait_until("no request", lambda: "conn_cur=0" in requests_table(proxy), timeout_s=10)
        assert ask(proxy).status_code == 200


def requests_table(proxy: HAProxy) -> str:
    """Return HAProxy's table of the requests in progress."""
    return proxy.admin("show table rayllm_requests")


def in_progress(proxy: HAProxy, name: str) -> int:
    """Return the requests in progress of a key, by HAProxy's table."""
    (count,) = re.findall(rf"key={name} .*conn_cur=(\d+)", proxy.admin("show table rayllm_keys"))
    return int(count)


def held(proxy: HAProxy, release: threading.Event) -> Any:
    """Start a request that stays in progress until `release`: its body is not complete. Return its end."""
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n"
    connection.sendall(f"{head}Content-Length: 2\r\n\r\nx".encode())

    def end() -> int:
        release.wait(30)
        connection.sendall(b"x")
        return int(connection.recv(65536).split()[1])

    return end


def test_a_thousand_large_bodies_cost_little_memory(tmp_path: Path) -> None:
    """The replicas read nothing, so that HAProxy holds what it may hold: two buffers of 16 KiB for each connection."""
    count, size, buffer = 1000, 900_000, 16384

    async def run(proxy: HAProxy) -> int:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()

        async def send() -> asyncio.StreamWriter:
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(head + b"x" * size)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(writer.drain(), 0.5)
            return writer

        writers = [await each for each in asyncio.as_completed([send() for _ in range(count)])]
        peak = psutil.Process(proxy.pid).memory_info().rss
        for writer in writers:
            writer.transport.abort()
        return peak

    with running(tmp_path, SETTINGS | {"max_body_bytes": 2**20}) as proxy:
        for replica in proxy.replicas:
            replica.reads = False
        idle = psutil.Process(proxy.pid).memory_info().rss
        peak = asyncio.run(run(proxy))
        print(f"\nHAProxy: {idle / 2**20:.0f} MiB idle, {peak / 2**20:.0f} MiB with {count} bodies of {size} bytes")
        assert idle < peak < idle + 3 * count * buffer
        for replica in proxy.replicas:
            replica.reads = True


# Keys.


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": f"Bearer {OTHER}"}, {"x-api-key": OTHER}, {"x-rayllm-key": "a"}]
)
def test_without_a_known_key_nothing_behind_is_asked(keyed: HAProxy, headers: dict[str, str]) -> None:
    before = sum(len(each.requests) for each in keyed.replicas)
    reply = ask(keyed, headers=headers)
    is_openai_error(reply, 401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert sum(len(each.requests) for each in keyed.replicas) == before


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}]
)
def test_a_replica_gets_the_name_of_the_key_and_not_the_key(keyed: HAProxy, headers: dict[str, str]) -> None:
    reply = ask(keyed, headers=headers | {"x-rayllm-key": "forged"})
    assert reply.status_code == 200
    replica = next(each for each in keyed.replicas if each.name == reply.text)
    _, found = replica.requests[-1]
    assert found["x-rayllm-key"] == "team-a"
    assert KEY not in json.dumps(found)


def test_keys_come_and_go_while_haproxy_runs(keyed: HAProxy) -> None:
    keys = keyed.folder / "keys.map"
    hashed, name = line(OTHER, "team-b").split()
    keyed.admin(f"add map {keys} {hashed} {name}")
    assert ask(keyed, headers={"x-api-key": OTHER}).status_code == 200
    keyed.admin(f"del map {keys} {hashed}")
    is_openai_error(ask(keyed, headers={"x-api-key": OTHER}), 401, "invalid_api_key")
    assert ask(keyed, headers={"x-api-key": KEY}).status_code == 200


def test_one_key_has_a_limit_of_its_own(keyed: HAProxy) -> None:
    release = threading.Event()
    slow = [held(keyed, release) for _ in range(2)]
    wait_until("both requests", lambda: in_progress(keyed, "team-a") == 2, timeout_s=10)
    is_openai_error(ask(keyed, headers={"x-api-key": KEY}), 429, "too_many_requests")
    release.set()
    assert [each() for each in slow] == [200, 200]
    wait_until("no request", lambda: in_progress(keyed, "team-a") == 0, timeout_s=10)
    assert ask(keyed, headers={"x-api-key": KEY}).status_code == 200


# Affinity.


@pytest.mark.parametrize("kind", ["session_hash", "prompt_hash"])
def test_a_session_stays_with_one_replica_and_sessions_spread(tmp_path: Path, kind: str) -> None:
    affinity = {"kind": kind, "header": "x-session-id", "bytes": 128, "load_percent": 1000}
    with running(tmp_path, SETTINGS | {"affinity": affinity}) as proxy:

        def one(session: int, rest: str) -> str:
            return ask(proxy, content=f"session {session} " * 20 + rest, headers={"x-session-id": str(session)}).text

        found = {session: Counter(one(session, rest) for rest in "abc") for session in range(24)}
        assert {len(each) for each in found.values()} == {1}
        assert {name for each in found.values() for name in each} == {"first", "second"}
        if kind == "session_hash":
            assert {ask(proxy).text for _ in range(40)} == {"first", "second"}, "requests without a session spread"
