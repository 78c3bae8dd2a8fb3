"""Servers that code under test calls: an HTTP server, and HAProxy's admin socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path
from typing import TypeVar

import pytest

Server = TypeVar("Server", bound=HTTPServer)


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """Serve in a thread until the block ends."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def admin_socket(folder: Path, monkeypatch: pytest.MonkeyPatch, reply: Callable[[str], str]) -> Iterator[None]:
    """Listen where Ray puts the socket: in a folder with the node's id, below the configured one.

    `reply` maps a command line to the reply.
    """
    path = folder / "node-id" / "admin.sock"
    path.parent.mkdir()
    monkeypatch.setenv("RAY_SERVE_HAPROXY_SOCKET_PATH", str(folder / path.name))
    with socket.create_server(str(path), family=socket.AF_UNIX) as server:

        def answer() -> None:
            while True:
                try:
                    talk, _ = server.accept()
                except OSError:
                    return
                with talk:
                    talk.sendall(reply(talk.recv(4096).decode()).encode())

        threading.Thread(target=answer, daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)
