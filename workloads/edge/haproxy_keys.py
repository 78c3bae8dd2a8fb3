"""API keys at HAProxy: a request without a known key is refused before a request router or a replica sees it.

A map file has one line `SHA256_OF_KEY NAME` for each key, so that neither the file nor HAProxy's memory holds a key.
The name of a request's key is in HAProxy's log, and in the header x-rayllm-key for the replica; the key itself goes no
further. Standard library only. Source: HAProxy 2.8 configuration manual, `map`, `sha2` and `track-sc0`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haproxy_config import Config, Section
from openai_errors import ERRORS, UNKNOWN_KEY

TABLE = "rayllm_keys"
"""Back end whose table counts the requests of each key."""
NAME_HEADER = "x-rayllm-key"
MAX_NAME_LENGTH = 64
NAME = "txn.rayllm_key"


def rules(keys: Mapping[str, Any], *, exempt: str = "") -> list[str]:
    """Return the rules for the frontend. `keys`: empty, or `map` (path of the map file) and `max_requests` (most
    requests in progress of one key at this HAProxy; 0 for no limit). `exempt`: ` !ACL` of callers without a key."""
    from haproxy_edge import refusal

    if not keys:
        # Without keys nobody has a name: a caller must not give itself one.
        return [f"http-request del-header {NAME_HEADER}"]
    digest = f"sha2(256),hex,lower,map({keys['map']})"
    out = [
        f"http-request del-header {NAME_HEADER}",
        # Anthropic's clients send their key in x-api-key.
        f'http-request set-var({NAME}) req.hdr(authorization),regsub("^[Bb]earer +",""),{digest}',
        f"http-request set-var({NAME}) req.hdr(x-api-key),{digest} if !{{ var({NAME}) -m found }}",
        refusal(UNKNOWN_KEY, f"if !{{ var({NAME}) -m found }}{exempt}", "WWW-Authenticate Bearer"),
        "http-request del-header authorization",
        "http-request del-header x-api-key",
        f"http-request set-header {NAME_HEADER} %[var({NAME})] if {{ var({NAME}) -m found }}",
        f"http-request capture var({NAME}) len {MAX_NAME_LENGTH}",
        f"http-request track-sc0 var({NAME}) table {TABLE} if {{ var({NAME}) -m found }}",
    ]
    if keys.get("max_requests"):
        full = f"if METH_POST {{ sc0_conn_cur({TABLE}) gt {int(keys['max_requests'])} }}"
        out.append(refusal(ERRORS[429], full, "Retry-After 1"))
    return out


def add(config: Config, keys: Mapping[str, Any]) -> None:
    """Add the table that counts the requests of each key."""
    if keys:
        table = Section("backend", TABLE)
        size = f"type string len {MAX_NAME_LENGTH} size 10k expire 1h"
        table.append([f"stick-table {size} store http_req_cnt,http_err_cnt,conn_cur"])
        config.sections.append(table)
