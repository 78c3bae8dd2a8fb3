"""Checks of a running deployment: data path, executor, environment variables, versions, metrics.

Each check takes a `Query`, which runs a function of queries.py on this computer or in a pod.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from config.data_path import DataPathSpec
from verify import queries
from verify.check_result import CheckResult, result

STREAMED = ("chat", "completion")
"""Kinds of requests whose answers are streams of tokens."""
ROUTED = "ingress-request-router"
"""End of the name of the back end for requests whose replica a request router chose."""
NODE_METRICS, SERVE_METRICS, ENGINE_METRICS = "ray_node_", "ray_serve_", "ray_vllm_"
"""Prefixes of metric names: of every Ray node, of one that receives requests, of a vLLM engine after its first
request."""


class Query(Protocol):
    """Runs a function of queries.py by its name and returns its result."""

    def __call__(self, query: str, *arguments: Any) -> Any: ...


def run_locally(query: str, *arguments: Any) -> Any:
    """Run a function of queries.py in this process."""
    return getattr(queries, query)(*arguments)


def ask(query: Query, endpoint: str, model: str, haproxy_stats: str | None) -> Mapping[str, Any]:
    """Send one short request of the model's kind. Return what `queries.ask` returns."""
    return query("ask", endpoint, model, haproxy_stats)


def proxy(query: Query, port: int, data_path: DataPathSpec) -> CheckResult:
    """Check that the declared proxy, and no other program, listens on `port`."""
    listeners = query("listeners", port)
    name = "HAProxy receives requests" if data_path.haproxy else "Serve's Python proxy receives requests"
    programs = ", ".join(f"{each['name']} (pid {each['pid']})" for each in listeners) or "no process"
    ok = {each["name"] == "haproxy" for each in listeners} == {data_path.haproxy}
    return result(name, f"{programs} listens on port {port}", ok)


def token_path(answer: Mapping[str, Any], actors: Sequence[Mapping[str, Any]], data_path: DataPathSpec) -> CheckResult:
    """Check the way of a request and its tokens: which actors run, and to what HAProxy sent the request.

    `answer` is the result of `queries.ask` with HAProxy's statistics, `actors` that of `queries.actors`.
    """
    names = [actor["class_name"] for actor in actors]
    ingress = any("OpenAiIngress" in name for name in names)
    router = any("LLMRouter" in name for name in names)
    servers = [server for backend, server in answer["servers"] if backend.endswith(ROUTED) is data_path.router]
    replicas = [server for server in servers if server.startswith("SERVE_REPLICA")]
    parts = [
        f"HAProxy sent a request to replica {', '.join(replicas) or '?'}" if data_path.haproxy else "",
        f"LLMRouter {'runs' if router else 'does not run'}" if data_path.direct else "",
        f"OpenAiIngress {'runs' if ingress else 'does not run'}",
    ]
    ok = bool(replicas) >= data_path.haproxy and router is data_path.router and ingress is not data_path.direct
    way = "tokens directly from the replica" if data_path.direct else "tokens through OpenAiIngress"
    return result(way, "; ".join(filter(None, parts)), ok)


def executor(actors: Sequence[Mapping[str, Any]]) -> CheckResult:
    """Check that vLLM runs on Ray's v2 executor: its workers are RayWorkerProc actors."""
    workers = [actor for actor in actors if actor["class_name"] == "RayWorkerProc"]
    pids = ", ".join(str(actor["pid"]) for actor in workers)
    detail = f"{len(workers)} RayWorkerProc actor(s) (pid {pids})" if workers else "no RayWorkerProc actor"
    return result("vLLM on Ray's v2 executor", detail, bool(workers))


def answered(answer: Mapping[str, Any], data_path: DataPathSpec) -> CheckResult:
    """Check that the model answers a request of some kind, and that tokens arrive in more than one chunk."""
    kind, chunks, first_s = answer["kind"], answer["chunks"], answer["first_s"]
    if not kind:
        hint = "" if data_path.direct else "; this data path has no route for some kinds (docs/reference/routes.md)"
        return result("a request is answered", f"every request is refused: {answer['text']}{hint}", False)
    if kind in STREAMED:
        return result(f"a {kind} streams", f"{chunks} chunks, the first after {first_s:.2f} s", chunks > 1)
    return result(f"{kind} is answered", f"{answer['path']} after {first_s:.2f} s", True)


def env_vars(query: Query, declared: Mapping[str, str], process_tag: str = "") -> CheckResult:
    """Check the environment variables that Ray's processes started with.

    `process_tag` (`NAME=value`) selects the processes of one stack.
    """
    found = query("process_env", sorted(declared), process_tag)
    different: dict[str, list[str]] = {}
    for process, variables in found.items():
        for name, value in variables.items():
            if value != declared[name]:
                different.setdefault(f"{name} is {value} instead of {declared[name]}", []).append(process)
    detail = "; ".join(f"{what} in {', '.join(processes)}" for what, processes in different.items())
    detail = detail or f"{len(declared)} variables in {', '.join(found) or 'no process'}"
    return result("environment variables", detail, bool(found) and not different)


def package_versions(query: Query, declared: Mapping[str, str]) -> CheckResult:
    """Check the versions of Python packages."""
    found = query("versions", sorted(declared))
    detail = ", ".join(f"{name} {version}" for name, version in found.items())
    return result("package versions", f"{detail}; declared {declared}", found == dict(declared))


def metrics(query: Query, endpoint: str, *prefixes: str) -> CheckResult:
    """Check that a Prometheus endpoint has metrics with each of these prefixes."""
    found = query("metric_names", endpoint)
    counts = {prefix: sum(1 for name in found if name.startswith(prefix)) for prefix in prefixes}
    return result("metrics", f"{endpoint}: number of metrics by prefix: {counts}", all(counts.values()))
