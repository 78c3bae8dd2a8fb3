"""Read-only queries of a running deployment, run on this computer or through `kubectl exec`.

Each function returns plain data. `python -c SOURCE FUNCTION ARGUMENTS` takes the arguments as JSON and prints the
result as JSON, so the whole file can be sent into a pod. Linux and standard library only, without imports of this
project, because Ray's image does not have it. For the same reason it reads HAProxy's statistics itself.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import struct
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PROGRAMS, ACTORS = ("raylet", "gcs_server", "haproxy"), ("ray::Serve", "ray::RayWorker")
"""Prefixes of process names. An actor may overwrite its first environment variables with a long process title."""
LISTEN_STATE = 0x0A
"""State of a listening socket in /proc/net/tcp."""
TIMEOUT_S = 120
PROMPT, MAX_TOKENS = "Say something.", 24
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": MAX_TOKENS, "stream": True},
    ),
    "completion": ("/v1/completions", {"prompt": PROMPT, "max_tokens": MAX_TOKENS, "stream": True}),
    "embedding": ("/v1/embeddings", {"input": PROMPT}),
    "score": ("/v1/score", {"text_1": PROMPT, "text_2": "Something."}),
    "classification": ("/classify", {"input": PROMPT}),
    "pooling": ("/pooling", {"input": PROMPT}),
    "transcription": ("/v1/audio/transcriptions", {"max_completion_tokens": MAX_TOKENS}),
}
"""Kind of request -> path and fields besides `model`. A model answers the first kind that is meant for it."""
AUDIO_KINDS = ("transcription",)
"""Kinds of REQUESTS that are forms with a recording."""


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


def ask(endpoint: str, model: str, stats: str | None = None) -> dict[str, Any]:
    """Send the requests of REQUESTS to the model until it answers one.

    Return its `kind`; `path` and `body`; `text`, what it answered; the number of `chunks`; `first_s` (seconds to the
    first chunk); and `servers`: `[backend, server]` of each server to which HAProxy sent a request meanwhile, by its
    statistics at the URL `stats`. If the model refuses every request, `kind` is empty, and `text` says what it replied.
    """
    refusals: list[str] = []
    for kind, (path, fields) in REQUESTS.items():
        body = {"model": model, **fields}
        data, content_type = _form(body) if kind in AUDIO_KINDS else (json.dumps(body).encode(), "application/json")
        url = endpoint.removesuffix("/v1") + path
        before, started = _sessions(stats), time.monotonic()
        try:
            with _open(urllib.request.Request(url, data, {"Content-Type": content_type, **_api_key()})) as reply:
                chunks = (
                    list(_stream_texts(reply, started)) if "stream" in body else [_answer(json.load(reply), started)]
                )
        except urllib.error.HTTPError as error:
            refusals.append(f"{path} {error.code}")
            continue
        after = _sessions(stats)
        servers = sorted(key for key, count in after.items() if count > before.get(key, 0))
        text, first = "".join(text for text, _ in chunks), chunks[0][1] if chunks else 0.0
        shown = {"path": path, "body": body, "text": text, "chunks": len(chunks), "first_s": first}
        return {"kind": kind, **shown, "servers": servers}
    shown = {"path": "", "body": {}, "text": ", ".join(refusals), "chunks": 0, "first_s": 0.0}
    return {"kind": "", **shown, "servers": []}


def _stream_texts(reply: Any, started: float) -> Iterator[tuple[str, float]]:
    """Yield (text, seconds since `started`) of each event with text of a streamed chat or completion."""
    for line in reply:
        event = line.decode().strip()
        if not event.startswith("data: ") or event == "data: [DONE]":
            continue
        for choice in json.loads(event[6:])["choices"][:1]:
            delta = choice.get("delta", choice)
            text = delta.get("content", delta.get("text"))
            if text is not None and "role" not in delta:
                yield text, time.monotonic() - started


def _answer(answer: dict[str, Any], started: float) -> tuple[str, float]:
    """Return an answer that is not a stream, in a few words, and the seconds since `started`."""
    seconds = time.monotonic() - started
    for item in answer.get("data", [])[:1]:
        if "label" in item:
            return f"{item['label']}, probabilities {_numbers(item['probs'])}", seconds
        if "score" in item:
            return f"score {item['score']:.3f}", seconds
        return _numbers(item.get("embedding", item.get("data"))), seconds
    return answer.get("text", json.dumps(answer)[:200]), seconds


def _numbers(values: Any) -> str:
    """Return the first numbers of a vector; of a list of vectors, how many there are."""
    if values and isinstance(values[0], list):
        return f"{len(values)} vectors, the first of {_numbers(values[0])}"
    return f"{len(values)} numbers: {', '.join(f'{each:.3f}' for each in values[:4])}{', ...' if values[4:] else ''}"


def _form(fields: dict[str, Any]) -> tuple[bytes, str]:
    """Return a form with `fields` and a recording, and its content type."""
    boundary = "rayllm-form"
    names = [f'name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    names.append('name="file"; filename="speech.wav"\r\nContent-Type: audio/wav\r\n\r\n')
    parts = "\r\n".join(f"--{boundary}\r\nContent-Disposition: form-data; {each}" for each in names)
    return (
        parts.encode() + recording() + f"\r\n--{boundary}--\r\n".encode(),
        f"multipart/form-data; boundary={boundary}",
    )


def recording() -> bytes:
    """Return one second of a tone in WAV format."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(b"".join(struct.pack("<h", int(8000 * math.sin(each / 6))) for each in range(16000)))
    return file.getvalue()


def _sessions(stats: str | None) -> dict[tuple[str, str], int]:
    """Return (backend, server) -> total sessions, from HAProxy's statistics; empty without HAProxy."""
    if stats is None:
        return {}
    rows = csv.DictReader(_get(f"{stats};csv").removeprefix("# ").splitlines())
    return {(r["pxname"], r["svname"]): int(r["stot"] or 0) for r in rows if r["svname"] not in ("FRONTEND", "BACKEND")}


def _get(url: str) -> str:
    token = _ray_token()
    with _open(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})) as reply:
        return reply.read().decode()


def _api_key() -> dict[str, str]:
    """Return the header with the API key; none inside a pod, where no key is needed."""
    key = os.environ.get("RAYLLM_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _ray_token() -> str:
    """Return Ray's token: KubeRay sets the first variable if Ray requires one, and stack local the second."""
    token, path = os.environ.get("RAY_AUTH_TOKEN"), os.environ.get("RAY_AUTH_TOKEN_PATH")
    if token or not path:
        return token or ""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


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
