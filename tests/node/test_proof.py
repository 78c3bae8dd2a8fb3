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
from tests.node.conftest import Stack
from tests.node.load import MESSAGES
from tests.node.record import Section


def test_up_makes_it_and_waits_until_it_serves(stack: Stack, proof: Section) -> None:
    said = stack.created.text.rstrip().splitlines()
    ready = list(dict.fromkeys(re.findall(r"RayService llm: .*", stack.created.text)))
    assert any("Ready: RayCluster" in line for line in ready), said
    proof.block("`pulumi up`", [*ready, *said[said.index("Outputs:") :]])


def test_an_openai_client_streams_through_the_service(stack: Stack, proof: Section) -> None:
    api = openai.OpenAI(base_url=stack.url, api_key="none", max_retries=0)
    begun = time.monotonic()
    stream = api.chat.completions.create(
        model="tiny", messages=MESSAGES, max_tokens=24, stream=True, extra_body={"ignore_eos": True}
    )
    came = [(time.monotonic() - begun, each) for each in stream if each.choices]
    chunks = [each for _, each in came]
    shown = [f"{1000 * at:5.0f} ms  {each.choices[0].delta.content!r}" for at, each in came]
    proof.block(f"Chunks that an unmodified `openai` client receives from `{stack.url}`", shown)
    assert sum(1 for each in chunks if each.choices[0].delta.content) > 10
    assert chunks[-1].choices[0].finish_reason == "length"


def test_haproxy_holds_the_port_in_every_worker(stack: Stack, proof: Section) -> None:
    found = {pod["metadata"]["name"]: _holders(stack.processes(pod)) for pod in stack.ready_pods("worker")}
    proof.block(
        "Process that listens on Serve's port, in each worker pod",
        [f"{name}: {', '.join(who)} listens on port {SERVE_PORT}" for name, who in found.items()],
    )
    assert list(found.values()) == [{"haproxy"}] * 2


def test_tokens_come_straight_from_a_replica(stack: Stack, proof: Section) -> None:
    (worker, *_) = stack.ready_pods("worker")
    before = _sessions(worker)
    api = openai.OpenAI(base_url=f"http://{worker['status']['podIP']}:{SERVE_PORT}/v1", api_key="none", max_retries=0)
    api.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=4)
    took = {key for key, count in _sessions(worker).items() if count > before.get(key, 0)}
    deployments = set(stack.dashboard("api/serve/applications/")["applications"]["llm"]["deployments"])
    proof.block(
        "HAProxy's counters that one completion raises: the tokens come straight from a replica",
        [
            *(f"{backend} / {server}" for backend, server in sorted(took)),
            f"deployments: {', '.join(sorted(deployments))}",
        ],
    )
    assert any("ingress-request-router" in backend and "SERVE_REPLICA" in server for backend, server in took), took
    assert deployments == {"LLMServer:tiny", "LLMRouter"}


def test_each_replica_runs_on_the_second_ray_executor(stack: Stack, proof: Section) -> None:
    path = "api/v0/actors?filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
    actors = stack.dashboard(path)["data"]["result"]["result"]
    counts = Counter(each["class_name"] for each in actors)
    proof.block("Live actors: vLLM runs on Ray's v2 executor", [f"{n} {name}" for name, n in counts.items()])
    assert counts["RayWorkerProc"] == 2


def test_pods_run_as_they_were_declared(stack: Stack) -> None:
    """As user 1000, without a capability, with code and shared memory where the manifest says."""
    (worker, *_) = stack.ready_pods("worker")
    (raylet,) = stack.processes(worker, "raylet")
    assert raylet.uids().real == 1000
    status = dict(line.split(":", 1) for line in _status(raylet))
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"


def test_a_further_preview_says_no_changes(stack: Stack, proof: Section) -> None:
    preview = stack.project.preview().ok()
    proof.block("`pulumi preview` after the `up`", preview.text.strip().splitlines()[-2:])
    assert preview.changes() == {}


def _holders(processes: Sequence[psutil.Process]) -> set[str]:
    """Names of those that hold a socket which listens at Serve's port, in the network namespace that they share."""
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
    except OSError:  # it has ended meanwhile
        return set()


def _status(process: psutil.Process) -> list[str]:
    return Path(f"/proc/{process.pid}/status").read_text().splitlines()


def _sessions(pod: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """(back end, server) -> sessions so far, as the pod's HAProxy counts them."""
    url = f"http://{pod['status']['podIP']}:8404/stats;csv"
    rows = csv.DictReader(httpx2.get(url, trust_env=False).text.removeprefix("# ").splitlines())
    return {(row["pxname"], row["svname"]): int(row["stot"] or 0) for row in rows}
