"""What this stack adds to the HAProxy configuration that Ray wrote: listeners, admin socket, routes, limits and errors.

`edit` changes a parsed configuration. It looks each place up by its words, and raises UnknownConfig if Ray wrote it in
another way, so that HAProxy does not start with a part of it. Standard library only; runs in Ray's image and in
`.venv-ray`. Source of the directives: HAProxy 2.8 configuration manual.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import haproxy_affinity
import haproxy_keys
from haproxy_config import Config, Section, UnknownConfig, quoted, words
from openai_errors import BODY_TOO_LARGE, ERRORS, LENGTH_REQUIRED, UNKNOWN_ROUTE, WRONG_METHOD, ApiError

LOOPBACK = "127.0.0.1"
HTTP_FRONTEND = "http_frontend"
"""Name of the frontend that receives requests."""
AFTER_HEALTH_CHECKS = ("acl", "routes", "path", "-i", "/-/routes")
"""The line of Ray's frontend that follows the health checks. What this stack adds stands before it: health checks stay
free, and a refused request costs no call of a request router."""
REQUEST_ID = "%[var(txn.rayllm_request_id)]"
OWN_NODE = "rayllm_own_node"
"""Condition: the caller is on this node. In a pod that is a probe, `make verify` or a forwarded port, which Kubernetes
authorises; they need no API key. On the local host every caller is."""
SLOW_HEADERS_S = 10
"""Seconds that a client has for a request's headers."""
REPLICA_ERRORS = (400, 404, 408, 413, 429, 500, 503, 504)
"""Statuses that Ray Serve answers with plain text."""
REQUESTS = "rayllm_requests"
"""Back end whose table counts the requests in progress."""
RETRY_AFTER_S = 1
RETRY_AFTER = "txn.rayllm_retry_after"


@dataclass(frozen=True)
class EdgeSettings:
    """What the edge is to do, from the JSON in RAYLLM_EDGE_SETTINGS."""

    loopback: bool = False
    """True: every listener on 127.0.0.1."""
    post: Sequence[str] = ()
    """Paths that take POST."""
    get: Sequence[str] = ()
    """Paths that take GET. A path that ends with `/` stands for all paths below it."""
    probes: Sequence[str] = ()
    """Paths that are open to the node itself only."""
    max_body_bytes: int = 0
    """Largest request body; 0 for no limit."""
    max_requests: int = 0
    """Most requests in progress at this HAProxy; 0 for no limit."""
    affinity: Mapping[str, Any] = field(default_factory=dict)
    """How requests of one kind stay with one replica (haproxy_affinity.py); empty for Ray's own balancing."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """API keys and their limits (haproxy_keys.py); empty if requests need none."""


def edit(config: Config, settings: EdgeSettings) -> None:
    """Change the configuration. Raises UnknownConfig."""
    _close_admin_socket(config)
    _add_errors(config)
    frontend = config.section("frontend", HTTP_FRONTEND)
    index = frontend.index_of(*AFTER_HEALTH_CHECKS)
    frontend.insert(
        index,
        [
            *_request_id(frontend),
            f"acl {OWN_NODE} src 127.0.0.0/8 ::1",
            *_allow_routes(settings),
            *haproxy_keys.rules(settings.keys, exempt="" if settings.loopback else f" !{OWN_NODE}"),
            *_limits(config, settings),
            *haproxy_affinity.session_rules(settings.affinity),
        ],
    )
    frontend.append(_errors_of_replicas())
    haproxy_keys.add(config, settings.keys)
    haproxy_affinity.edit(config, settings.affinity)
    if settings.loopback:
        _listen_on_loopback(config)


def refusal(error: ApiError, condition: str, *headers: str) -> str:
    """Return the rule that answers with `error`. `headers`: further `NAME VALUE` pairs."""
    more = "".join(f" hdr {header}" for header in headers)
    return (
        f"http-request return status {error.status} content-type application/json hdr x-request-id {REQUEST_ID}{more} "
        f"lf-string {quoted(error.body)} {condition}"
    )


def application_backends(config: Config) -> list[Section]:
    """Return the back ends with replicas of an application, without those that a request router chooses for."""
    return [
        each
        for each in config.sections
        if each.keyword == "backend"
        and each.has("server")
        and not each.name.endswith("-via-ingress-request-router")
        and not each.has("option", "tcp-check")  # gRPC
    ]


def _listen_on_loopback(config: Config) -> None:
    for section in config.sections:
        for index, found in list(section.directives()):
            if found[0] == "bind":
                port = found[1].rpartition(":")[2]
                if not port.isdigit():
                    raise UnknownConfig(f"`{' '.join(found)}` listens on no TCP port")
                section.replace(index, " ".join(["bind", f"{LOOPBACK}:{port}", *found[2:]]))


def _close_admin_socket(config: Config) -> None:
    """Ray opens the socket to every user of the host: who may write to it stops servers and reads API keys."""
    section = config.section("global")
    index = section.index_of("stats", "socket")
    found = words(section.lines[index])
    found[found.index("mode") + 1] = "600"
    section.replace(index, " ".join(found))


def _request_id(frontend: Section) -> Iterable[str]:
    """Give each request an id. Ray does it itself in front of a request router."""
    if not frontend.has("unique-id-format"):
        yield "unique-id-format %[uuid]"
        yield "http-request set-header x-request-id %[unique-id] if !{ req.hdr(x-request-id) -m found }"
    yield "http-request set-var(txn.rayllm_request_id) req.hdr(x-request-id)"


def _allow_routes(settings: EdgeSettings) -> Iterable[str]:
    """Answer every path with 404 that callers may not ask, and every other method with 405."""
    if not settings.post and not settings.get:
        return
    for name, paths in (("post", settings.post), ("get", settings.get), ("probe", settings.probes)):
        exact = [path for path in paths if not path.endswith("/")]
        below = [path for path in paths if path.endswith("/")]
        for matcher, found in (("path", exact), ("path_beg", below)):
            if found:
                yield f"acl rayllm_{name} {matcher} {' '.join(found)}"
    known = ["!rayllm_post"] * bool(settings.post) + ["!rayllm_get"] * bool(settings.get)
    if settings.probes:
        yield f"http-request set-var(txn.rayllm_probe) bool(true) if rayllm_probe {OWN_NODE}"
    free = " !{ var(txn.rayllm_probe) -m found }" if settings.probes else ""
    yield refusal(UNKNOWN_ROUTE, f"if {' '.join(known)}{free}")
    # A path can take both methods. `GET` stands for HEAD too (HAProxy's METH_GET).
    post, get = "METH_POST rayllm_post", "METH_GET rayllm_get"
    yield f"http-request set-var(txn.rayllm_method) bool(true) if {post}" if settings.post else "# no route takes POST"
    yield f"http-request set-var(txn.rayllm_method) bool(true) if {get}" if settings.get else "# no route takes GET"
    yield refusal(WRONG_METHOD, "if !{ var(txn.rayllm_method) -m found }" + free)


def _limits(config: Config, settings: EdgeSettings) -> Iterable[str]:
    if settings.max_body_bytes:
        yield refusal(LENGTH_REQUIRED, "if { req.hdr(transfer-encoding) -m found }")
        yield refusal(BODY_TOO_LARGE, f"if {{ req.body_size gt {settings.max_body_bytes} }}")
    if settings.max_requests:
        # The table counts from this rule on. A back end counts a request only when a router has chosen a replica.
        table = Section("backend", REQUESTS)
        table.append(["stick-table type string len 8 size 1 store conn_cur"])
        config.sections.append(table)
        yield f"http-request track-sc1 str(all) table {REQUESTS} if METH_POST"
        full = f"if METH_POST {{ sc1_conn_cur({REQUESTS}) gt {settings.max_requests} }}"
        yield refusal(ERRORS[429], full, f"Retry-After {RETRY_AFTER_S}")


def _add_errors(config: Config) -> None:
    """Write HAProxy's own errors, and those of Ray's rules, in OpenAI's form and with their own status.

    Ray answers 502, 503 and 504 with one page whose status is 500. What is no HTTP request, and headers that do not
    arrive, get HAProxy's own page for 400 and 408: its HTTP/1 parser has no other (src/mux_h1.c, h1_send_error).
    """
    defaults = config.section("defaults")
    defaults.lines = [line for line in defaults.lines if words(line)[:1] != ["errorfile"]]
    defaults.append(
        f"http-error status {status} content-type application/json lf-string {quoted(ERRORS[status].body)} "
        "hdr x-request-id %[unique-id]"
        for status in (400, 408, 413, 429, 500, 502, 503, 504)
    )
    _set_timeout(defaults, "http-request", SLOW_HEADERS_S)
    frontend = config.section("frontend", HTTP_FRONTEND)
    for index, found in list(frontend.directives()):
        if "X-Serve-Reason" in found:
            condition = " ".join(found[found.index("if") :])
            reason = f"X-Serve-Reason {found[found.index('X-Serve-Reason') + 1]}"
            frontend.replace(index, refusal(ERRORS[503], condition, reason))
    default = config.section("backend", "default_backend")
    default.replace(default.index_of("http-request", "return", "status", "404"), refusal(UNKNOWN_ROUTE, "if TRUE"))


def _set_timeout(section: Section, name: str, seconds: int) -> None:
    """Write a timeout, in place of the one that Ray may have written."""
    section.lines = [line for line in section.lines if words(line)[:2] != ["timeout", name]]
    section.append([f"timeout {name} {seconds}s"])


def _errors_of_replicas() -> Iterable[str]:
    """Rewrite the plain-text errors of Ray Serve's replicas and proxy; vLLM's own are JSON."""
    yield f"http-response set-var({RETRY_AFTER}) res.hdr(retry-after)"
    for status in REPLICA_ERRORS:
        again = f" hdr Retry-After %[var({RETRY_AFTER})]" if status in (429, 503) else ""
        yield (
            f"http-response return status {status} content-type application/json hdr x-request-id {REQUEST_ID}{again} "
            f"lf-string {quoted(ERRORS[status].body)} "
            f"if {{ status {status} }} {{ res.hdr(content-type) -m beg text/plain }}"
        )
