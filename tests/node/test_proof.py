"""Stream from pods that KubeRay created with an unmodified client, and look at the data path from inside the pods.

`RAYLLM_RECORD=1` writes the transcript into docs/measurements.md.
"""

from __future__ import annotations

import csv
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil

from config.kuberay import SERVE_PORT
from config.routes import PUBLIC_ROUTES, SERVED_ROUTES
from tests.node.conftest import Stack
from tests.node.load import MESSAGES
from tests.node.record import Section


def test_up_creates_the_rayservice_and_waits_until_it_serves(stack: Stack, proof: Section) -> None:
    output = stack.created.text.rstrip().splitlines()
    ready = list(dict.fromkeys(re.findall(r"RayService llm: .*", stack.created.text)))
    assert any("Ready: RayCluster" in line for line in ready), output
    proof.block("`pulumi up`", [*ready, *output[output.index("Outputs:") :]])


def test_an_openai_client_streams_through_the_service(stack: Stack, proof: Section) -> None:
    api = openai.OpenAI(base_url=stack.url, api_key="none", max_retries=0)
    started = time.monotonic()
    stream = api.chat.completions.create(
        model="tiny", messages=MESSAGES, max_tokens=24, stream=True, extra_body={"ignore_eos": True}
    )
    received = [(time.monotonic() - started, each) for each in stream if each.choices]
    chunks = [each for _, each in received]
    lines = [f"{1000 * at:5.0f} ms  {each.choices[0].delta.content!r}" for at, each in received]
    proof.block(f"Chunks that an unmodified `openai` client receives from `{stack.url}`", lines)
    assert sum(1 for each in chunks if each.choices[0].delta.content) > 10
    assert chunks[-1].choices[0].finish_reason == "length"


def test_haproxy_listens_on_the_port_in_every_worker(stack: Stack, proof: Section) -> None:
    found = {pod["metadata"]["name"]: _listeners(stack.processes(pod)) for pod in stack.ready_pods("worker")}
    proof.block(
        "Process that listens on Serve's port, in each worker pod",
        [f"{name}: {', '.join(names)} listens on port {SERVE_PORT}" for name, names in found.items()],
    )
    assert list(found.values()) == [{"haproxy"}] * 2


def test_tokens_come_straight_from_a_replica(stack: Stack, proof: Section) -> None:
    (worker, *_) = stack.ready_pods("worker")
    before = _sessions(worker)
    api = openai.OpenAI(base_url=f"http://{worker['status']['podIP']}:{SERVE_PORT}/v1", api_key="none", max_retries=0)
    api.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=4)
    raised = {key for key, count in _sessions(worker).items() if count > before.get(key, 0)}
    deployments = set(stack.dashboard("api/serve/applications/")["applications"]["llm"]["deployments"])
    proof.block(
        "HAProxy's counters that one completion raises: the tokens come straight from a replica",
        [
            *(f"{backend} / {server}" for backend, server in sorted(raised)),
            f"deployments: {', '.join(sorted(deployments))}",
        ],
    )
    assert any("ingress-request-router" in backend and "SERVE_REPLICA" in server for backend, server in raised), raised
    assert deployments == {"LLMServer:tiny", "LLMRouter"}


def test_only_public_routes_are_open_in_a_pod(stack: Stack) -> None:
    """To a caller from outside of the pod: every route of vLLM's and Ray's applications, with both methods."""
    (worker, *_) = stack.ready_pods("worker")
    url = f"http://{worker['status']['podIP']}:{SERVE_PORT}"
    served = {path for kinds in SERVED_ROUTES.values() for paths in kinds.values() for path in paths}
    with httpx2.Client(timeout=60, trust_env=False) as ask:
        for path in sorted((served | {"/-/routes", "/"}) - set(PUBLIC_ROUTES)):
            plain = path.replace("{response_id}", "r")
            assert [ask.request(method, url + plain).status_code for method in ("GET", "POST")] == [404, 404], path
        assert ask.get(f"{url}/metrics").json()["error"]["code"] == "unknown_route"
        assert ask.get(f"{url}/v1/models").json()["data"][0]["id"] == "tiny"


def test_each_replica_uses_rays_v2_executor(stack: Stack, proof: Section) -> None:
    path = "api/v0/actors?filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
    actors = stack.dashboard(path)["data"]["result"]["result"]
    counts = Counter(each["class_name"] for each in actors)
    proof.block("Live actors: vLLM runs on Ray's v2 executor", [f"{n} {name}" for name, n in counts.items()])
    assert counts["RayWorkerProc"] == 2


def test_pods_run_without_privileges(stack: Stack) -> None:
    """They run as user 1000, without capabilities and without new privileges."""
    (worker, *_) = stack.ready_pods("worker")
    (raylet,) = stack.processes(worker, "raylet")
    assert raylet.uids().real == 1000
    status = dict(line.split(":", 1) for line in _status(raylet))
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"


def test_a_second_preview_has_no_changes(stack: Stack, proof: Section) -> None:
    preview = stack.project.preview().ok()
    proof.block("`pulumi preview` after the `up`", preview.text.strip().splitlines()[-2:])
    assert preview.changes() == {}


def _listeners(processes: Sequence[psutil.Process]) -> set[str]:
    """Return the names of the processes of a pod that listen on Serve's port."""
    listening = 0x0A
    sockets = set[str]()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{processes[0].pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if int(local.rpartition(":")[2], 16) == SERVE_PORT and int(state, 16) == listening:
                sockets.add(f"socket:[{inode}]")
    return {each.info["name"] for each in processes if sockets & _open_files(each)}


def _open_files(process: psutil.Process) -> set[str]:
    try:
        return {str(each.readlink()) for each in Path(f"/proc/{process.pid}/fd").iterdir()}
    except OSError:  # the process has ended
        return set()


def _status(process: psutil.Process) -> list[str]:
    return Path(f"/proc/{process.pid}/status").read_text().splitlines()


def _sessions(pod: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Return (backend, server) -> number of sessions, from the statistics of the pod's HAProxy."""
    url = f"http://{pod['status']['podIP']}:8404/stats;csv"
    rows = csv.DictReader(httpx2.get(url, trust_env=False).text.removeprefix("# ").splitlines())
    return {(row["pxname"], row["svname"]): int(row["stot"] or 0) for row in rows}
