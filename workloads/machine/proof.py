"""What the running stack says of itself: each pillar proven from the outside, in one line.

Read-only but for two short completions. Run as `python -m workloads.machine.proof` with the stack's outputs as JSON on
standard input; ends with 1 when something is not as declared.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from infra.machine import processes
from workloads.data_path import TERMS, DataPath

PROMPT = "Say something."
TOKENS = 24
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


@dataclass(frozen=True)
class Finding:
    """One claim and what was seen. `holds`: they agree."""

    claim: str
    seen: str
    holds: bool


def findings(outputs: dict[str, Any]) -> Iterator[Finding]:
    """Everything that can be told apart from outside, in the order a request meets it."""
    terms = TERMS[DataPath(outputs["data_path"])]
    port = urlsplit(outputs["endpoint"]).port
    assert port is not None
    yield _front(port, terms.haproxy)
    actors = _actors(outputs["dashboard"])
    yield _route(outputs, actors, terms.direct)
    yield _executor(actors)
    yield _loopback(outputs["mark"])


def stream(outputs: dict[str, Any]) -> tuple[str, int, float]:
    """One streamed chat completion: its text, the number of chunks with text, seconds to the first of them."""
    body = {
        "model": outputs["model"],
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": TOKENS,
        "stream": True,
    }
    said, chunks, first, started = "", 0, 0.0, time.monotonic()
    with httpx.stream(
        "POST", f"{outputs['endpoint']}/chat/completions", json=body, timeout=120, trust_env=False
    ) as reply:
        reply.raise_for_status()
        for line in reply.iter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            choices = json.loads(line[6:])["choices"]
            if choices and "content" in choices[0]["delta"] and "role" not in choices[0]["delta"]:
                first = first or time.monotonic() - started
                chunks += 1
                said += choices[0]["delta"]["content"]
    return said, chunks, first


def _front(port: int, haproxy: bool) -> Finding:
    holder = processes.holder_of(port)
    name = holder.name() if isinstance(holder, psutil.Process) else str(holder)
    pid = f" (pid {holder.pid})" if isinstance(holder, psutil.Process) else ""
    claim = "HAProxy in front" if haproxy else "Serve's Python proxy in front"
    return Finding(claim, f"127.0.0.1:{port} is held by {name.strip()}{pid}", (name == "haproxy") is haproxy)


def _route(outputs: dict[str, Any], actors: list[dict[str, Any]], direct: bool) -> Finding:
    names = [actor["class_name"] for actor in actors]
    ingress = any("OpenAiIngress" in name for name in names)
    if not direct:
        return Finding("tokens through the ingress", f"OpenAiIngress {'is' if ingress else 'is not'} there", ingress)
    before = _sessions(outputs["haproxy_stats"])
    body = {"model": outputs["model"], "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 1}
    httpx.post(f"{outputs['endpoint']}/chat/completions", json=body, timeout=120, trust_env=False).raise_for_status()
    after = _sessions(outputs["haproxy_stats"])
    took = sorted(key for key in after if after[key] > before.get(key, 0) and key[0].endswith("ingress-request-router"))
    router = any("LLMRouter" in name for name in names)
    seen = (
        f"a request went from HAProxy to replica {', '.join(server for _, server in took) or '?'} itself, "
        f"{'picked by LLMRouter' if router else 'with no LLMRouter'}; "
        f"OpenAiIngress {'is there' if ingress else 'does not exist'}"
    )
    return Finding("tokens straight from the replica", seen, bool(took) and router and not ingress)


def _executor(actors: list[dict[str, Any]]) -> Finding:
    workers = [actor for actor in actors if actor["class_name"] == "RayWorkerProc"]
    pids = ", ".join(str(actor["pid"]) for actor in workers)
    seen = f"{len(workers)} RayWorkerProc actor(s) alive (pid {pids})" if workers else "no RayWorkerProc actor is alive"
    return Finding("vLLM on Ray's v2 executor", seen, bool(workers))


def _loopback(mark: str) -> Finding:
    listening = processes.listening(mark)
    open_ones = [f"{address}:{port}" for address, port in listening if address not in LOOPBACK]
    seen = f"{len(listening)} ports listen, " + (
        f"these not on loopback: {open_ones}" if open_ones else "all on 127.0.0.1"
    )
    return Finding("reachable from here only", seen, bool(listening) and not open_ones)


def _sessions(stats: str) -> dict[tuple[str, str], int]:
    """(backend, server) -> sessions so far, from HAProxy's own statistics."""
    table = httpx.get(f"{stats};csv", timeout=10, trust_env=False).text.removeprefix("# ")
    rows = csv.DictReader(io.StringIO(table))
    return {(r["pxname"], r["svname"]): int(r["stot"] or 0) for r in rows if r["svname"] not in ("FRONTEND", "BACKEND")}


def _actors(dashboard: str) -> list[dict[str, Any]]:
    """Every live actor, from Ray's state API."""
    alive = {"filter_keys": "state", "filter_predicates": "=", "filter_values": "ALIVE"}
    reply = httpx.get(f"{dashboard}/api/v0/actors", params=alive, timeout=30, trust_env=False)
    return reply.json()["data"]["result"]["result"]


def main() -> int:
    outputs = json.load(sys.stdin)
    seen = list(findings(outputs))
    width = max(len(finding.claim) for finding in seen)
    for finding in seen:
        print(f"  {'ok ' if finding.holds else 'NOT'}  {finding.claim:{width}}  {finding.seen}")
    said, chunks, first = stream(outputs)
    noise = " (random weights: noise)" if outputs.get("random_weights") else ""
    print(f"\n  {outputs['model']}{noise}: {said!r}")
    print(f"  {chunks} chunks streamed, the first after {first:.2f} s")
    return 0 if all(finding.holds for finding in seen) and chunks else 1


if __name__ == "__main__":
    sys.exit(main())
