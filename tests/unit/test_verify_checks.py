"""What the claims make of what was seen, and what look.py sees."""

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
from verify.checks import Ask, Finding

DIRECT, BASELINE = DATA_PATHS[DataPath.DIRECT_STREAMING], DATA_PATHS[DataPath.PYTHON_PROXY]
ROUTED = {"servers": [["llm-ingress-request-router", "SERVE_REPLICA_1"]]}
AROUND = {"servers": [["llm", "SERVE_REPLICA_1"]]}


def answers(answer: object) -> Ask:
    """Whatever the question."""

    def ask(question: str, *arguments: Any) -> Any:
        return answer

    return ask


def actors(*names: str) -> list[dict[str, Any]]:
    return [{"class_name": name, "pid": 7} for name in names]


def held_by(*names: str) -> Ask:
    return answers([{"name": name, "pid": 7} for name in names])


@pytest.mark.parametrize(
    ("finding", "seen"),
    [
        (lambda: checks.front(held_by("ray::ProxyActor"), 8000, DIRECT), "ray::ProxyActor"),
        (lambda: checks.front(held_by("haproxy", "nginx"), 8000, DIRECT), "nginx"),
        (lambda: checks.front(held_by(), 8000, DIRECT), "nobody"),
        (lambda: checks.front(held_by(), 8000, BASELINE), "nobody"),
        (lambda: checks.front(held_by("haproxy"), 8000, BASELINE), "haproxy"),
        (lambda: checks.route(AROUND, actors("LLMRouter"), DIRECT), "replica ? itself"),
        (lambda: checks.route(ROUTED, actors(), DIRECT), "no LLMRouter"),
        (lambda: checks.route(ROUTED, actors("LLMRouter", "OpenAiIngress"), DIRECT), "OpenAiIngress is there"),
        (lambda: checks.route(ROUTED, actors("LLMRouter"), BASELINE), "OpenAiIngress is not there"),
        (lambda: checks.executor(actors("LLMServer")), "no RayWorkerProc"),
        (lambda: checks.streams({"chunks": 1, "first_s": 1.0}), "1 chunks"),
        (lambda: checks.environment(answers({}), {"A": "1"}), "no process"),
        (lambda: checks.environment(answers({"raylet": {"A": "2"}}), {"A": "1"}), "A is 2 instead of 1 in raylet"),
        (lambda: checks.environment(answers({"raylet": {"A": None}}), {"A": "1"}), "A is None"),
        (lambda: checks.versions(answers({"ray": "2.56.0"}), {"ray": versions.RAY}), "ray 2.56.0"),
        (lambda: checks.metrics(answers(["ray_serve_x"]), "url", "ray_serve_", "ray_vllm_"), "'ray_vllm_': 0"),
    ],
)
def test_what_is_not_as_declared_is_named(finding: Callable[[], Finding], seen: str) -> None:
    found = finding()
    assert not found.holds
    assert seen in found.seen


@pytest.mark.parametrize(
    "finding",
    [
        lambda: checks.front(held_by("haproxy", "haproxy"), 8000, DIRECT),
        lambda: checks.front(held_by("ray::ProxyActor"), 8000, BASELINE),
        lambda: checks.route(ROUTED, actors("LLMRouter", "RayWorkerProc"), DIRECT),
        lambda: checks.route({"servers": []}, actors("OpenAiIngress"), BASELINE),
        lambda: checks.executor(actors("RayWorkerProc")),
        lambda: checks.environment(answers({"raylet": {"A": "1"}}), {"A": "1"}),
    ],
)
def test_what_is_as_declared_holds(finding: Callable[[], Finding]) -> None:
    assert finding().holds, finding().seen


def test_who_listens_is_found_by_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (holder,) = queries.holders(server.getsockname()[1])
    assert holder["pid"] == os.getpid()


def test_only_processes_of_the_stack_are_asked_for_their_environment(tmp_path: Path) -> None:
    """An actor's title may have taken the place of a variable; a program has what it was started with."""
    started: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
    for name, mark in (("raylet", "mine"), ("raylet", "other"), ("ray::ServeReplica", "mine"), ("other", "mine")):
        program = tmp_path / mark / name
        program.parent.mkdir(exist_ok=True)
        shutil.copy(shutil.which("sleep") or "", program)
        environment = {"RAYLLM_PROCESS_TAG": mark, "WANTED": mark}
        started[name, mark] = subprocess.Popen([str(program), "60"], env=environment)
    try:
        found = queries.environments(["WANTED", "UNSET"], "RAYLLM_PROCESS_TAG=mine")
    finally:
        for each in started.values():
            each.kill()
            each.wait()
    assert found == {
        f"raylet (pid {started['raylet', 'mine'].pid})": {"WANTED": "mine", "UNSET": None},
        f"ray::ServeRepli (pid {started['ray::ServeReplica', 'mine'].pid})": {"WANTED": "mine"},
    }


def test_the_source_alone_answers_a_question() -> None:
    """As in a pod, which has nothing of the project."""
    source = Path(queries.__file__).read_text()
    command = [sys.executable, "-I", "-c", source, "versions", json.dumps([["pydantic"]])]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert set(json.loads(done.stdout)) == {"pydantic"}, done.stderr
