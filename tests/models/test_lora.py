"""LoRA adapters of a bucket, on two replicas and on each data path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from config.data_path import DataPath
from tests.harness import bucket_server
from tests.harness.bucket_server import BucketServer
from tests.harness.local_stack import Clone
from tests.models.lora_adapters import write_adapter

PROMPT = "the quick brown fox"
ROUNDS = 6
"""Requests for each adapter, so that both replicas may get some."""
BUFFER_BYTES = 2**20
"""HAProxy's buffer on the local host (config/router_env.py)."""


@dataclass(frozen=True)
class Stack:
    """A running stack with two adapters."""

    outputs: Mapping[str, Any]
    bucket: BucketServer

    def complete(self, model: str, *, padding: int = 0) -> httpx2.Response:
        """Ask for 16 tokens at temperature 0, in a body that is longer by `padding` bytes."""
        request = {"model": model, "prompt": PROMPT, "max_tokens": 16, "temperature": 0, "logprobs": 1}
        url = f"{self.outputs['endpoint']}/completions"
        return httpx2.post(url, json={**request, "user": padding * "x"}, timeout=120, trust_env=False)

    def answer(self, model: str) -> str:
        """Return the answer's tokens: text alone may hide two different bytes."""
        response = self.complete(model)
        assert response.status_code == 200, response.text
        return " ".join(response.json()["choices"][0]["logprobs"]["tokens"])


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    folder = tmp_path_factory.mktemp("bucket")
    for seed, name in enumerate(("pirate", "poet")):
        write_adapter(folder / "adapters" / name, seed=seed)
    with bucket_server.running(folder / "server") as server:
        server.upload(folder / "adapters", "adapters", "tiny")
        yield server


@pytest.fixture(scope="module", params=[DataPath.DIRECT_STREAMING, DataPath.PYTHON_PROXY], ids=lambda path: path.value)
def stack(request: pytest.FixtureRequest, clone: Clone, bucket: BucketServer) -> Stack:
    clone.edit(
        {
            "infra.bucket_access": {
                "endpoint": bucket.endpoint,
                "credentials_file": str(bucket.credentials_file),
            },
            "serving.data_path": request.param.value,
            "serving.model": {
                "id": "tiny",
                "source": "tiny-random",
                "lora": {"dynamic_lora_loading_path": "gs://adapters/tiny", "max_loras": 2, "max_lora_rank": 8},
            },
            "serving.replicas": {"kind": "fixed", "num_replicas": 2},
        }
    )
    clone.make("up")
    return Stack(clone.outputs(), bucket)


def test_adapters_answer_unlike_the_base_and_unlike_each_other(stack: Stack) -> None:
    answers = {name: {stack.answer(name) for _ in range(ROUNDS)} for name in ("tiny", "tiny:pirate", "tiny:poet")}
    assert {len(each) for each in answers.values()} == {1}, answers
    assert len(set().union(*answers.values())) == 3, answers


def test_an_unknown_adapter_is_404_and_the_stack_goes_on(stack: Stack) -> None:
    assert stack.complete("tiny:nobody").status_code == 404
    assert stack.complete("tiny").status_code == 200


def test_an_adapter_that_is_uploaded_later_needs_no_edit(stack: Stack, tmp_path: Path) -> None:
    name = f"later-{stack.outputs['data_path'].replace('_', '-')}"
    write_adapter(tmp_path / name, seed=3)
    stack.bucket.upload(tmp_path / name, "adapters", f"tiny/{name}")
    assert stack.answer(f"tiny:{name}") != stack.answer("tiny")


def test_haproxy_s_buffer_limits_the_requests_for_an_adapter_alone(stack: Stack, tmp_path: Path) -> None:
    """docs/how-to/lora.md says so. The router cannot read a longer body, so the replica does not load the adapter."""
    name = f"rare-{stack.outputs['data_path'].replace('_', '-')}"
    write_adapter(tmp_path / name, seed=4)
    stack.bucket.upload(tmp_path / name, "adapters", f"tiny/{name}")
    assert stack.complete("tiny", padding=2 * BUFFER_BYTES).status_code == 200
    limited = stack.outputs["data_path"] == DataPath.DIRECT_STREAMING
    assert stack.complete(f"tiny:{name}", padding=2 * BUFFER_BYTES).status_code == (404 if limited else 200)
    assert stack.complete(f"tiny:{name}", padding=BUFFER_BYTES // 2).status_code == 200


def test_adapters_stay_in_the_stack_s_directory(stack: Stack) -> None:
    data_dir = Path(stack.outputs["data_dir"])
    assert {file.parent.name for file in data_dir.rglob("adapter_model.safetensors")} >= {"pirate", "poet"}
