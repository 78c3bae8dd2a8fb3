"""What holds of serving that runs as declared, each claim with what was seen: the three pillars and what they need.

Of a computer and of a pod alike: `ask` carries a question of look.py to where it is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from config.data_path import DataPathSpec
from verify import queries

PROMPT = "Say something."
TOKENS = 24
NODE_SERIES, SERVE_SERIES, ENGINE_SERIES = "ray_node_", "ray_serve_", "ray_vllm_"
"""How the names begin of what every node tells, of what one that takes requests tells besides, and of what vLLM tells
in a replica that has had a request."""


class Ask(Protocol):
    """Answers a question of look.py by its name, somewhere."""

    def __call__(self, question: str, *arguments: Any) -> Any: ...


@dataclass(frozen=True)
class Finding:
    """One claim and what was seen. `holds`: they agree."""

    claim: str
    seen: str
    holds: bool


def here(question: str, *arguments: Any) -> Any:
    """On this computer."""
    return getattr(queries, question)(*arguments)


def stream(ask: Ask, endpoint: str, model: str, stats: str | None) -> Mapping[str, Any]:
    """One short streamed completion, as look.stream tells it."""
    return ask("stream", endpoint, model, PROMPT, TOKENS, stats)


def front(ask: Ask, port: int, terms: DataPathSpec) -> Finding:
    holders = ask("holders", port)
    claim = "HAProxy in front" if terms.haproxy else "Serve's Python proxy in front"
    seen = ", ".join(f"{each['name']} (pid {each['pid']})" for each in holders) or "nobody"
    right = {each["name"] == "haproxy" for each in holders} == {terms.haproxy}
    return Finding(claim, f"127.0.0.1:{port} is held by {seen}", right)


def route(answer: Mapping[str, Any], actors: Sequence[Mapping[str, Any]], terms: DataPathSpec) -> Finding:
    """`answer` is look.stream's, of a HAProxy where there is one; `actors` are look.actors'."""
    names = [actor["class_name"] for actor in actors]
    ingress = any("OpenAiIngress" in name for name in names)
    if not terms.direct:
        return Finding("tokens through the ingress", f"OpenAiIngress {'is' if ingress else 'is not'} there", ingress)
    took = [server for backend, server in answer["servers"] if backend.endswith("ingress-request-router")]
    router = any("LLMRouter" in name for name in names)
    seen = (
        f"a request went from HAProxy to replica {', '.join(took) or '?'} itself, "
        f"{'picked by LLMRouter' if router else 'with no LLMRouter'}; "
        f"OpenAiIngress {'is there' if ingress else 'does not exist'}"
    )
    return Finding("tokens straight from the replica", seen, bool(took) and router and not ingress)


def executor(actors: Sequence[Mapping[str, Any]]) -> Finding:
    workers = [actor for actor in actors if actor["class_name"] == "RayWorkerProc"]
    pids = ", ".join(str(actor["pid"]) for actor in workers)
    seen = f"{len(workers)} RayWorkerProc actor(s) alive (pid {pids})" if workers else "no RayWorkerProc actor is alive"
    return Finding("vLLM on Ray's v2 executor", seen, bool(workers))


def streams(answer: Mapping[str, Any]) -> Finding:
    seen = f"{answer['chunks']} chunks streamed, the first after {answer['first_s']:.2f} s"
    return Finding("a completion streams", seen, answer["chunks"] > 1)


def environment(ask: Ask, declared: Mapping[str, str], mark: str = "") -> Finding:
    """Of Ray's processes: what they were started with decides, whatever has been declared since."""
    found = ask("environments", sorted(declared), mark)
    others: dict[str, list[str]] = {}
    for process, variables in found.items():
        for name, value in variables.items():
            if value != declared[name]:
                others.setdefault(f"{name} is {value} instead of {declared[name]}", []).append(process)
    seen = "; ".join(f"{what} in {', '.join(where)}" for what, where in others.items())
    seen = seen or f"{len(declared)} variables in {', '.join(found) or 'no process'}"
    return Finding("environment as declared", seen, bool(found) and not others)


def versions(ask: Ask, declared: Mapping[str, str]) -> Finding:
    """Of packages."""
    found = ask("versions", sorted(declared))
    seen = ", ".join(f"{name} {version}" for name, version in found.items())
    return Finding("versions as declared", f"{seen}; declared {declared}", found == dict(declared))


def metrics(ask: Ask, endpoint: str, *kinds: str) -> Finding:
    """`kinds` are beginnings of names."""
    found = ask("series", endpoint)
    counts = {kind: sum(1 for name in found if name.startswith(kind)) for kind in kinds}
    return Finding("metrics to scrape", f"{endpoint}: time series by name: {counts}", all(counts.values()))
