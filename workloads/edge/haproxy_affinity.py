"""Keep the requests of one session, or of one prompt, with one replica: HAProxy's consistent hash with bounded load.

It works without a request router, on a data path whose HAProxy sends requests to the replicas themselves. The place of
a server in the hash follows from its id. By default HAProxy numbers servers by their position, so that the end of one
replica moves the sessions of others; here the id is a digest of the server's name, which contains the replica's own id
and is the same on every node. Source: HAProxy 2.8 configuration manual, `balance hash`, `hash-type`,
`hash-balance-factor` and `id`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from haproxy_config import Config, words

MAX_ID = 2**31 - 1


def edit(config: Config, affinity: Mapping[str, Any]) -> None:
    """Change the balancing of every back end with replicas. `affinity`: empty, or `kind` (`session_hash` or
    `prompt_hash`), `header` or `bytes`, and `load_percent`. Raises UnknownConfig."""
    if not affinity:
        return
    from haproxy_edge import HTTP_FRONTEND, application_backends

    for backend in application_backends(config):
        used: set[int] = set()
        for index, found in list(backend.directives()):
            if found[0] == "server":
                used.add(number := server_id(found[1], used))
                backend.replace(index, " ".join([*words(backend.lines[index]), "id", str(number)]))
        backend.insert(
            0,
            [
                f"balance hash {key(affinity)}",
                "hash-type consistent sdbm avalanche",
                f"hash-balance-factor {int(affinity['load_percent'])}",
            ],
        )
    if affinity["kind"] == "prompt_hash":
        frontend = config.section("frontend", HTTP_FRONTEND)
        end = next(index for index, each in frontend.directives() if each[0] in ("use_backend", "default_backend"))
        frontend.insert(end, [f"http-request wait-for-body time 5s at-least {int(affinity['bytes'])} if METH_POST"])


def key(affinity: Mapping[str, Any]) -> str:
    """Return the sample expression that names a request's session or prompt. A request without one has a random key,
    so that such requests spread over all replicas."""
    if affinity["kind"] == "session_hash":
        return "var(txn.rayllm_session)"
    return f"req.body,bytes(0,{int(affinity['bytes'])})"


def server_id(name: str, used: set[int]) -> int:
    """Return the id of a server: a digest of its name, or the next free number."""
    number = zlib.crc32(name.encode()) % MAX_ID + 1
    while number in used:
        number = number % MAX_ID + 1
    return number


def session_rules(affinity: Mapping[str, Any]) -> list[str]:
    """Return the rules that set the session's key, for the frontend."""
    if affinity.get("kind") != "session_hash":
        return []
    header = affinity["header"]
    return [
        f"http-request set-var(txn.rayllm_session) req.hdr({header})",
        f"http-request set-var(txn.rayllm_session) uuid() unless {{ req.hdr({header}) -m found }}",
    ]
