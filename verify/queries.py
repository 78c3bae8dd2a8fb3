"""What serving shows of itself to one who stands beside it: on a computer, or inside a pod.

Each function answers one question as plain data. `python -c SOURCE FUNCTION ARGUMENTS` answers it on standard output,
both as JSON, so that a test can ask through `kubectl exec`. Changes nothing. Linux; standard library only, and nothing
else of the project: Ray's image has neither.
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
"""Beginnings of names. Actors may have written a long title over the first of their variables."""
LISTENS = 0x0A
"""A socket's state in /proc/net/tcp."""
LIMIT_S = 120


def holders(port: int) -> list[dict[str, Any]]:
    """`{name, pid}` of each process that listens on TCP `port` and may be looked into."""
    sockets = {inode for at, inode in _listening() if at == port}
    return [{"name": _name(pid), "pid": pid} for pid in _pids() if sockets & _sockets(pid)]


def environments(names: Sequence[str], mark: str = "") -> dict[str, dict[str, str | None]]:
    """`raylet (pid 7)` -> the variables of these `names`, for each of PROGRAMS and ACTORS; None for one that is not
    there, of programs. `mark`: of those only that carry this variable, `NAME=value`."""
    found: dict[str, dict[str, str | None]] = {}
    for pid in _pids():
        name = _name(pid)
        try:
            lines = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
        except OSError:
            continue
        if name.startswith((*PROGRAMS, *ACTORS)) and (not mark or mark in lines):
            there = dict(line.split("=", 1) for line in lines if "=" in line)
            kept = [each for each in names if each in there or name.startswith(PROGRAMS)]
            found[f"{name} (pid {pid})"] = {each: there.get(each) for each in kept}
    return found


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of installed Python packages, as the Python that answers finds them."""
    return {each: metadata.version(each) for each in packages}


def actors(dashboard: str) -> list[dict[str, Any]]:
    """`{class_name, pid}` of every live actor, from Ray's state API."""
    query = "limit=10000&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
    found = json.loads(_get(f"{dashboard}/api/v0/actors?{query}"))["data"]["result"]["result"]
    return [{key: each[key] for key in ("class_name", "pid")} for each in found]


def running(dashboard: str) -> str:
    """The version of the Ray that answers."""
    return json.loads(_get(f"{dashboard}/api/version"))["ray_version"]


def series(metrics: str) -> list[str]:
    """Names of the time series that a Prometheus endpoint has."""
    lines = (line for line in _get(metrics).splitlines() if line and not line.startswith("#"))
    return sorted({line.partition(" ")[0].partition("{")[0] for line in lines})


def stream(endpoint: str, model: str, prompt: str, tokens: int, stats: str | None = None) -> dict[str, Any]:
    """One streamed chat completion: `said`, `chunks` with text, `first_s` to the first of them, and `servers`, to which
    HAProxy has sent a request meanwhile (`[back end, server]`, by its statistics at `stats`)."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "stream": True}
    request = urllib.request.Request(
        f"{endpoint}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    said, chunks, first = "", 0, 0.0
    before, started = _sessions(stats), time.monotonic()
    with _open(request) as reply:
        for line in reply:
            text = line.decode().strip()
            if not text.startswith("data: ") or text == "data: [DONE]":
                continue
            choices = json.loads(text[6:])["choices"]
            if choices and "content" in choices[0]["delta"] and "role" not in choices[0]["delta"]:
                first = first or time.monotonic() - started
                chunks += 1
                said += choices[0]["delta"]["content"]
    after = _sessions(stats)
    servers = sorted(key for key, count in after.items() if count > before.get(key, 0))
    return {"said": said, "chunks": chunks, "first_s": first, "servers": servers}


def _sessions(stats: str | None) -> dict[tuple[str, str], int]:
    """(back end, server) -> sessions so far, from HAProxy's own statistics; nothing where there is none."""
    if stats is None:
        return {}
    rows = csv.DictReader(_get(f"{stats};csv").removeprefix("# ").splitlines())
    return {(r["pxname"], r["svname"]): int(r["stot"] or 0) for r in rows if r["svname"] not in ("FRONTEND", "BACKEND")}


def _get(url: str) -> str:
    token = os.environ.get("RAY_AUTH_TOKEN")  # KubeRay sets it where Ray asks for one
    with _open(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})) as reply:
        return reply.read().decode()


def _open(request: urllib.request.Request) -> Any:
    """Past any proxy that the environment names: what is asked is always near."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=LIMIT_S)


def _listening() -> Iterator[tuple[int, str]]:
    """(port, inode) of each socket that listens."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if int(state, 16) == LISTENS:
                yield int(local.rpartition(":")[2], 16), inode


def _sockets(pid: int) -> set[str]:
    """Inodes; none of a process that has ended meanwhile, or is not ours to look into."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
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
