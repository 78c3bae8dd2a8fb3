"""Results of the checks for given query results, and the queries on this computer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import versions
from config.data_path import DATA_PATHS, DataPath
from verify import checks, queries
from verify.check_result import CheckResult, Status, format_results
from verify.checks import Query

DIRECT, BASELINE = DATA_PATHS[DataPath.DIRECT_STREAMING], DATA_PATHS[DataPath.PYTHON_PROXY]
LEAST, HAPROXY = DATA_PATHS[DataPath.LEAST_CONNECTIONS], DATA_PATHS[DataPath.HAPROXY]
ROUTED = {"servers": [["llm-ingress-request-router", "SERVE_REPLICA_1"]]}
REFUSED = {"kind": "", "text": "/classify 404", "chunks": 0, "first_s": 0.0}
FALLBACK = {"servers": [["llm", "SERVE_PROXY_ACTOR-1"]]}
AROUND = {"servers": [["llm", "SERVE_REPLICA_1"]]}


def answers(answer: object) -> Query:
    """Return a query that always has this result."""

    def query(query: str, *arguments: Any) -> Any:
        return answer

    return query


def actors(*names: str) -> list[dict[str, Any]]:
    return [{"class_name": name, "pid": 7} for name in names]


def held_by(*names: str) -> Query:
    return answers([{"name": name, "pid": 7} for name in names])


@pytest.mark.parametrize(
    ("check", "detail"),
    [
        (lambda: checks.proxy(held_by("ray::ProxyActor"), 8000, DIRECT), "ray::ProxyActor"),
        (lambda: checks.proxy(held_by("haproxy", "nginx"), 8000, DIRECT), "nginx"),
        (lambda: checks.proxy(held_by(), 8000, DIRECT), "no process"),
        (lambda: checks.proxy(held_by(), 8000, BASELINE), "no process"),
        (lambda: checks.proxy(held_by("haproxy"), 8000, BASELINE), "haproxy"),
        (lambda: checks.token_path(AROUND, actors("LLMRouter"), DIRECT), "replica ?;"),
        (lambda: checks.token_path(ROUTED, actors(), DIRECT), "LLMRouter does not run"),
        (lambda: checks.token_path(ROUTED, actors("LLMRouter", "OpenAiIngress"), DIRECT), "OpenAiIngress runs"),
        (lambda: checks.token_path(ROUTED, actors("LLMRouter"), BASELINE), "OpenAiIngress does not run"),
        (lambda: checks.token_path(AROUND, actors("LLMRouter"), LEAST), "LLMRouter runs"),
        (lambda: checks.token_path(ROUTED, actors(), LEAST), "replica ?;"),
        (lambda: checks.token_path(FALLBACK, actors("OpenAiIngress"), HAPROXY), "replica ?;"),
        (lambda: checks.token_path(AROUND, actors(), HAPROXY), "OpenAiIngress does not run"),
        (lambda: checks.executor(actors("LLMServer")), "no RayWorkerProc"),
        (lambda: checks.answered({"kind": "chat", "chunks": 1, "first_s": 1.0}, DIRECT), "1 chunks"),
        (lambda: checks.answered(REFUSED, DIRECT), "every request is refused: /classify 404"),
        (lambda: checks.answered(REFUSED, BASELINE), "docs/reference/routes.md"),
        (lambda: checks.env_vars(answers({}), {"A": "1"}), "no process"),
        (lambda: checks.env_vars(answers({"raylet": {"A": "2"}}), {"A": "1"}), "A is 2 instead of 1 in raylet"),
        (lambda: checks.env_vars(answers({"raylet": {"A": None}}), {"A": "1"}), "A is None"),
        (lambda: checks.package_versions(answers({"ray": "2.56.0"}), {"ray": versions.RAY}), "ray 2.56.0"),
        (lambda: checks.metrics(answers(["ray_serve_x"]), "url", "ray_serve_", "ray_vllm_"), "'ray_vllm_': 0"),
    ],
)
def test_a_difference_is_named(check: Callable[[], CheckResult], detail: str) -> None:
    found = check()
    assert found.status is Status.FAILED
    assert detail in found.detail


@pytest.mark.parametrize(
    "check",
    [
        lambda: checks.proxy(held_by("haproxy", "haproxy"), 8000, DIRECT),
        lambda: checks.proxy(held_by("ray::ProxyActor"), 8000, BASELINE),
        lambda: checks.token_path(ROUTED, actors("LLMRouter", "RayWorkerProc"), DIRECT),
        lambda: checks.token_path({"servers": []}, actors("OpenAiIngress"), BASELINE),
        lambda: checks.token_path(AROUND, actors("LLMServer"), LEAST),
        lambda: checks.token_path(AROUND, actors("OpenAiIngress"), HAPROXY),
        lambda: checks.executor(actors("RayWorkerProc")),
        lambda: checks.answered({"kind": "completion", "chunks": 2, "first_s": 1.0}, DIRECT),
        lambda: checks.answered({"kind": "embedding", "path": "/v1/embeddings", "chunks": 1, "first_s": 1.0}, DIRECT),
        lambda: checks.env_vars(answers({"raylet": {"A": "1"}}), {"A": "1"}),
    ],
)
def test_the_declared_state_is_ok(check: Callable[[], CheckResult]) -> None:
    assert check().ok, check().detail


def test_results_are_printed_in_columns() -> None:
    results = [CheckResult("long name", "a", Status.NOT_RUN), CheckResult("name", "b", Status.OK)]
    assert list(format_results(results)) == ["  not run  long name  a", "  ok       name       b"]


def test_a_listener_is_found_by_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (listener,) = queries.listeners(server.getsockname()[1])
    assert listener["pid"] == os.getpid()


def test_only_processes_of_the_stack_are_queried(tmp_path: Path) -> None:
    """An actor's title may overwrite a variable. A program keeps the variables that it was started with."""
    started: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
    for name, mark in (("raylet", "mine"), ("raylet", "other"), ("ray::ServeReplica", "mine"), ("other", "mine")):
        program = tmp_path / mark / name
        program.parent.mkdir(exist_ok=True)
        shutil.copy(shutil.which("sleep") or "", program)
        environment = {"RAYLLM_PROCESS_TAG": mark, "WANTED": mark}
        started[name, mark] = subprocess.Popen([str(program), "60"], env=environment)
    try:
        found = queries.process_env(["WANTED", "UNSET"], "RAYLLM_PROCESS_TAG=mine")
    finally:
        for each in started.values():
            each.kill()
            each.wait()
    assert found == {
        f"raylet (pid {started['raylet', 'mine'].pid})": {"WANTED": "mine", "UNSET": None},
        f"ray::ServeRepli (pid {started['ray::ServeReplica', 'mine'].pid})": {"WANTED": "mine"},
    }


def test_the_source_alone_runs_a_query() -> None:
    """As in a pod, which has no other file of this project."""
    source = Path(queries.__file__).read_text()
    command = [sys.executable, "-I", "-c", source, "versions", json.dumps([["pydantic"]])]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert set(json.loads(done.stdout)) == {"pydantic"}, done.stderr
