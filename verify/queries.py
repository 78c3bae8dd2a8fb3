"""Read-only queries of a running deployment, run on this computer or through `kubectl exec`.

Each function returns plain data. `python -c SOURCE FUNCTION ARGUMENTS` takes the arguments as JSON and prints the
result as JSON, so the whole file can be sent into a pod. Linux and standard library only, without imports of this
project, because Ray's image does not have it. For the same reason it reads HAProxy's statistics itself.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PROGRAMS, ACTORS = ("raylet", "gcs_server", "haproxy"), ("ray::Serve", "ray::RayWorker")
"""Prefixes of process names. An actor may overwrite its first environment variables with a long process title."""
LISTEN_STATE = 0x0A
"""State of a listening socket in /proc/net/tcp."""
TIMEOUT_S = 120


def listeners(port: int) -> list[dict[str, Any]]:
    """Return `{name, pid}` of each process that listens on TCP `port`, as far as this user may see its sockets."""
    sockets = {inode for at, inode in _listening() if at == port}
    return [{"name": _name(pid), "pid": pid} for pid in _pids() if sockets & _sockets(pid)]


def process_env(names: Sequence[str], process_tag: str = "") -> dict[str, dict[str, str | None]]:
    """Return `raylet (pid 7)` -> its environment variables of these `names`, for every one of PROGRAMS and ACTORS.

    None: the variable is not set (programs only). `process_tag` (`NAME=value`) selects processes with that variable.
    """
    found: dict[str, dict[str, str | None]] = {}
    for pid in _pids():
        name = _name(pid)
        try:
            lines = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
        except OSError:
            continue
        if name.startswith((*PROGRAMS, *ACTORS)) and (not process_tag or process_tag in lines):
            env = dict(line.split("=", 1) for line in lines if "=" in line)
            known = [each for each in names if each in env or name.startswith(PROGRAMS)]
            found[f"{name} (pid {pid})"] = {each: env.get(each) for each in known}
    return found


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the installed version of each Python package."""
    return {each: metadata.version(each) for each in packages}


def actors(dashboard: str) -> list[dict[str, Any]]:
    """Return `{class_name, pid}` of every live actor, from Ray's state API."""
    query = "limit=10000&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
    found = json.loads(_get(f"{dashboard}/api/v0/actors?{query}"))["data"]["result"]["result"]
    return [{key: each[key] for key in ("class_name", "pid")} for each in found]


def running(dashboard: str) -> str:
    """Return the version of Ray that the dashboard reports."""
    return json.loads(_get(f"{dashboard}/api/version"))["ray_version"]


def metric_names(endpoint: str) -> list[str]:
    """Return the names of all metrics of a Prometheus endpoint."""
    lines = (line for line in _get(endpoint).splitlines() if line and not line.startswith("#"))
    return sorted({line.partition(" ")[0].partition("{")[0] for line in lines})


def stream(endpoint: str, model: str, prompt: str, max_tokens: int, stats: str | None = None) -> dict[str, Any]:
    """Request one streamed chat completion.

    Return `text`, the number of `chunks` with text, `first_s` (seconds to the first chunk), and `servers`: `[backend,
    server]` of each server to which HAProxy sent a request meanwhile, by its statistics at the URL `stats`.
    """
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "stream": True}
    request = urllib.request.Request(
        f"{endpoint}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    text, chunks, first = "", 0, 0.0
    before, started = _sessions(stats), time.monotonic()
    with _open(request) as reply:
        for line in reply:
            event = line.decode().strip()
            if not event.startswith("data: ") or event == "data: [DONE]":
                continue
            choices = json.loads(event[6:])["choices"]
            if choices and "content" in choices[0]["delta"] and "role" not in choices[0]["delta"]:
                first = first or time.monotonic() - started
                chunks += 1
                text += choices[0]["delta"]["content"]
    after = _sessions(stats)
    servers = sorted(key for key, count in after.items() if count > before.get(key, 0))
    return {"text": text, "chunks": chunks, "first_s": first, "servers": servers}


def _sessions(stats: str | None) -> dict[tuple[str, str], int]:
    """Return (backend, server) -> total sessions, from HAProxy's statistics; empty without HAProxy."""
    if stats is None:
        return {}
    rows = csv.DictReader(_get(f"{stats};csv").removeprefix("# ").splitlines())
    return {(r["pxname"], r["svname"]): int(r["stot"] or 0) for r in rows if r["svname"] not in ("FRONTEND", "BACKEND")}


def _get(url: str) -> str:
    token = os.environ.get("RAY_AUTH_TOKEN")  # KubeRay sets it if Ray requires a token
    with _open(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})) as reply:
        return reply.read().decode()


def _open(request: urllib.request.Request) -> Any:
    """Open a URL without the proxy that the environment may name: every address is local."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=TIMEOUT_S)


def _listening() -> Iterator[tuple[int, str]]:
    """Yield (port, inode) of each listening socket."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if int(state, 16) == LISTEN_STATE:
                yield int(local.rpartition(":")[2], 16), inode


def _sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets; empty if it has ended or belongs to another user."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # the process has closed it
                kind, _, inode = str(file.readlink()).partition(":[")
                found |= {inode[:-1]} if kind == "socket" else set()
    return found


def _pids() -> list[int]:
    return sorted(int(each.name) for each in Path("/proc").glob("[0-9]*"))


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*json.loads(sys.argv[2]))))
