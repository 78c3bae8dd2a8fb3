"""What stands around every HTTP server of Serve: the edge of `python_proxy`, which has no HAProxy.

RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names `middlewares` (ray/serve/_private/http_util.py). The edge opens the same
routes, has the same limits and writes the same errors as haproxy_edge.py, from the same settings. Serve's own health
check passes unchanged. Starlette is Ray's own dependency.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import key_map
from openai_errors import (
    BODY_TOO_LARGE,
    ERRORS,
    LENGTH_REQUIRED,
    UNKNOWN_KEY,
    UNKNOWN_ROUTE,
    WRONG_METHOD,
    ApiError,
    error_for,
)

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
SETTINGS = "RAYLLM_EDGE_SETTINGS"
HEALTH_CHECK_PATH = "/-/healthz"
REQUEST_ID = b"x-request-id"
KEY_NAME = b"x-rayllm-key"
KEY_HEADERS = (b"authorization", b"x-api-key", KEY_NAME)
RETRY_AFTER_S = 1


def middlewares() -> list[Any]:
    """Return the middlewares (Starlette's) that Ray puts around its HTTP servers, outermost first."""
    from starlette.middleware import Middleware

    return [Middleware(Edge, settings=json.loads(os.environ[SETTINGS]))]


class Edge:
    """ASGI application that lets through what the settings open, and refuses the rest in OpenAI's form."""

    def __init__(self, app: Any, settings: dict[str, Any]) -> None:
        self._app = app
        self._settings = settings
        self._keys = _Keys(Path(settings["keys"]["map"])) if settings["keys"] else None
        self._in_progress: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] not in ("http", "websocket") or scope["path"] == HEALTH_CHECK_PATH:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(REQUEST_ID) or uuid.uuid4().hex.encode()
        if REQUEST_ID not in headers:
            scope["headers"] = [*scope["headers"], (REQUEST_ID, request_id)]
        name = self._key_name(headers)
        if (error := self._refusal(scope, headers, name)) is not None:
            await _answer(error, request_id, scope, send)
            return
        # The key itself goes no further, and nobody gives himself a name.
        scope["headers"] = [each for each in scope["headers"] if each[0] not in KEY_HEADERS]
        if name:
            scope["headers"].append((KEY_NAME, name.encode()))
        self._in_progress[name] += 1
        try:
            await self._app(scope, receive, _OpenAiErrors(send, request_id))
        finally:
            self._in_progress[name] -= 1

    def _refusal(self, scope: Message, headers: dict[bytes, bytes], name: str) -> ApiError | None:
        path, method = scope["path"], scope.get("method", "GET")
        exempt = not self._settings["loopback"] and _is_own_node(scope)
        keyless = self._keys is not None and not name and not exempt
        if _listed(path, self._settings["probes"]) and _is_own_node(scope):
            return UNKNOWN_KEY if keyless else None
        posts, gets = _listed(path, self._settings["post"]), _listed(path, self._settings["get"])
        if not posts and not gets:
            return UNKNOWN_ROUTE
        if not (posts if method == "POST" else gets and method in ("GET", "HEAD")):
            return WRONG_METHOD
        if keyless:
            return UNKNOWN_KEY
        if limit := self._settings["max_body_bytes"]:
            if b"transfer-encoding" in headers:
                return LENGTH_REQUIRED
            length = headers.get(b"content-length", b"0")
            if not length.isdigit() or int(length) > limit:
                return BODY_TOO_LARGE if length.isdigit() else ERRORS[400]
        if method == "POST" and self._is_full(name):
            return ERRORS[429]
        return None

    def _is_full(self, name: str) -> bool:
        """Return True if the proxy, or the key with this name, has as many requests in progress as it may have."""
        most, most_of_key = self._settings["max_requests"], self._settings["keys"].get("max_requests")
        if most and self._in_progress.total() >= most:
            return True
        return bool(name and most_of_key and self._in_progress[name] >= most_of_key)

    def _key_name(self, headers: dict[bytes, bytes]) -> str:
        """Return the name of the request's key; empty if it has none that is known."""
        if self._keys is None:
            return ""
        self._keys.reload()
        bearer = headers.get(b"authorization", b"")
        presented = bearer[7:].strip() if bearer[:7].lower() == b"bearer " else b""
        for key in (presented, headers.get(b"x-api-key", b"")):
            if key and (name := self._keys.names.get(hashlib.sha256(key).hexdigest())):
                return name
        return ""


class _Keys:
    """The API keys of a map file, read again when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read: tuple[int, int] | None = None
        self.names: dict[str, str] = {}

    def reload(self) -> None:
        """Read the file if it is another one than before. Without the file there is no key."""
        try:
            found = self._file.stat()
            if self._read == (found.st_mtime_ns, found.st_ino):
                return
            self.names = key_map.read(self._file)
        except OSError:
            self._read, self.names = None, {}
            return
        self._read = (found.st_mtime_ns, found.st_ino)


class _OpenAiErrors:
    """Sends a response on, and turns an error in plain text, as Serve writes them, into OpenAI's form."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send, self._request_id = send, request_id
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            headers = dict(message.get("headers", []))
            if headers.get(b"content-type", b"").startswith(b"text/plain"):
                self._replaced = True
                kept = [(b"retry-after", headers[b"retry-after"])] if b"retry-after" in headers else []
                await _respond(error_for(message["status"]), self._request_id, self._send, kept)
        if not self._replaced:
            await self._send(message)


async def _answer(error: ApiError, request_id: bytes, scope: Message, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.message})
        return
    await _respond(error, request_id, send, [(b"retry-after", b"%d" % RETRY_AFTER_S)] if error.status == 429 else [])


async def _respond(error: ApiError, request_id: bytes, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    body = error.body.encode()
    fixed = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (REQUEST_ID, request_id),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": fixed + headers})
    await send({"type": "http.response.body", "body": body})


def _listed(path: str, paths: list[str]) -> bool:
    return any(path.startswith(each) if each.endswith("/") else path == each for each in paths)


def _is_own_node(scope: Message) -> bool:
    client = scope.get("client")
    return client is not None and ip_address(client[0]).is_loopback
