"""Settings of the engine and its replicas, on every data path: what the running model does with them.

The tests share one stack, and each continues from the test before: run the whole file.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.harness.local_stack import Clone
from tests.harness.waiting import wait_until
from workloads.local import ray_api

LOG_PREFIX = "from-the-settings:"
TEMPLATE = "{# the messages are left out #}hello world"
LONG: dict[str, Any] = {"max_tokens": 1500, "extra_body": {"ignore_eos": True}, "stream": True}
SETTINGS: dict[str, Any] = {
    "infra.logical_gpus": 1,
    "serving.replicas": {"kind": "fixed", "num_replicas": 2},
    "serving.max_ongoing_requests": 1,
    "serving.model.chat_template": TEMPLATE,
    "serving.engine.replicas_per_gpu": 2,
    "serving.engine.env": {"VLLM_LOGGING_PREFIX": LOG_PREFIX, "PYTHONHASHSEED": 7},
}
DATA_PATHS = ("direct_streaming", "python_proxy")


@pytest.fixture(scope="module", params=DATA_PATHS)
def stack(clone: Clone, request: pytest.FixtureRequest) -> Clone:
    """The stack with SETTINGS on one data path."""
    clone.edit({**SETTINGS, "serving.data_path": request.param})
    clone.make("up")
    return clone


def client(clone: Clone) -> openai.OpenAI:
    return openai.OpenAI(base_url=clone.outputs()["endpoint"], api_key="none", max_retries=0, timeout=300)


def replicas(clone: Clone) -> list[dict[str, Any]]:
    """Return Serve's replicas of the model."""
    outputs = clone.outputs()
    with ray_api.client(outputs["dashboard"], Path(outputs["data_dir"]), timeout_s=30) as ray:
        applications = ray.get("/api/serve/applications/").json()["applications"]
    return applications["llm"]["deployments"]["LLMServer:tiny"]["replicas"]


def logs_with(clone: Clone, text: str) -> list[Path]:
    """Return Ray's log files that contain `text`."""
    logs = Path(clone.outputs()["data_dir"]) / "ray" / "session_latest" / "logs"
    return [file for file in logs.rglob("*") if file.is_file() and text in file.read_text(errors="replace")]


def test_two_replicas_share_one_gpu(stack: Clone) -> None:
    assert [replica["state"] for replica in replicas(stack)] == ["RUNNING", "RUNNING"]


def test_the_environment_reaches_the_replicas_and_their_workers(stack: Clone) -> None:
    found = "\n".join(file.read_text(errors="replace") for file in logs_with(stack, LOG_PREFIX))
    for process in ("(EngineCore", "(RayWorkerProc"):
        assert any(process in line and LOG_PREFIX in line for line in found.splitlines()), process


def test_the_chat_template_of_the_settings_makes_the_prompt(stack: Clone) -> None:
    api = client(stack)
    text = api.completions.create(model="tiny", prompt="hello world", max_tokens=1)
    chats = [
        api.chat.completions.create(model="tiny", messages=[{"role": "user", "content": content}], max_tokens=1)
        for content in ("a", "a much longer message with other words in it")
    ]
    assert text.usage is not None
    assert [chat.usage.prompt_tokens for chat in chats if chat.usage] == 2 * [text.usage.prompt_tokens]


def test_a_request_without_a_model_is_answered_by_the_one_that_there_is(stack: Clone) -> None:
    url = stack.outputs()["endpoint"] + "/completions"
    answer = httpx2.post(url, json={"prompt": "hello", "max_tokens": 2}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "tiny"


def test_a_request_beyond_the_maximum_waits_and_is_answered(stack: Clone) -> None:
    api = client(stack)
    order: list[str] = []

    def long(started: threading.Event) -> None:
        for chunk in api.completions.create(model="tiny", prompt="a", **LONG):
            if chunk.choices:
                started.set()
        order.append("long")

    events = [threading.Event(), threading.Event()]
    threads = [threading.Thread(target=long, args=(event,)) for event in events]
    for thread in threads:
        thread.start()
    for event in events:
        assert event.wait(120)
    answer = api.completions.create(model="tiny", prompt="a", max_tokens=1)
    order.append("short")
    for thread in threads:
        thread.join()
    assert answer.choices[0].finish_reason == "length"
    assert order[0] == "long", "a replica worked on two requests"


def test_a_request_to_zero_replicas_starts_one_and_is_answered(clone: Clone) -> None:
    scaling = {"kind": "autoscaling", "min_replicas": 0, "max_replicas": 1, "downscale_delay_s": 5}
    clone.edit({"serving.data_path": "python_proxy", "serving.max_ongoing_requests": None, "serving.replicas": scaling})
    clone.make("up")
    wait_until("no replica", lambda: not replicas(clone), timeout_s=180)
    answer = client(clone).completions.create(model="tiny", prompt="hello", max_tokens=4)
    assert answer.choices[0].text
    assert [replica["state"] for replica in replicas(clone)] == ["RUNNING"]
