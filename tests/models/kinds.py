"""The kinds of models that the tests serve, and what a client of each one sends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import openai

from config.model_service import TINY_RANDOM
from paths import CHECKOUT
from tests.harness.local_stack import Clone
from verify import queries

Client = openai.OpenAI


def chat(client: Client) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hello"}], max_tokens=4, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


def completion(client: Client) -> None:
    answer = client.completions.create(model="tiny", prompt="hello", max_tokens=4, extra_body={"ignore_eos": True})
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


def embedding(client: Client) -> None:
    """Two texts have two vectors of length 1."""
    answer = client.embeddings.create(model="tiny", input=["hello", "world"])
    lengths = [sum(number**2 for number in each.embedding) for each in answer.data]
    assert [round(each, 2) for each in lengths] == [1, 1]


def classification(client: Client) -> None:
    answer = post(client, "/classify", {"model": "tiny", "input": ["hello", "world"]})
    assert [each["num_classes"] for each in answer["data"]] == [3, 3]


def token_classification(client: Client) -> None:
    answer = post(client, "/pooling", {"model": "tiny", "input": "hello"})
    assert {len(each) for each in answer["data"][0]["data"]} == {5}


def score(client: Client) -> None:
    answer = post(client, "/v1/score", {"model": "tiny", "text_1": "hello", "text_2": ["hello", "world"]})
    assert all(0 <= each["score"] <= 1 for each in answer["data"])
    assert len(answer["data"]) == 2


def rerank(client: Client) -> None:
    score(client)
    answer = post(client, "/rerank", {"model": "tiny", "query": "hello", "documents": ["hello", "world"]})
    assert {each["index"] for each in answer["results"]} == {0, 1}


def transcription(client: Client) -> None:
    recording = queries.recording()
    answer = client.audio.transcriptions.create(
        model="tiny", file=("speech.wav", recording), language="en", extra_body={"max_completion_tokens": 4}
    )
    assert isinstance(answer.text, str)


@dataclass(frozen=True)
class Kind:
    """A kind of model."""

    model: str
    """Its name in tests/harness/tiny_models.py, or `tiny-random`."""
    printed: str
    """The kind of request that `make up` shows."""
    ask: Callable[[Client], None]
    max_model_len: int = 512
    engine_kwargs: dict[str, Any] = field(default_factory=dict)


CHAT = Kind(TINY_RANDOM, "chat", chat)
COMPLETION = Kind("completion", "completion", completion)
EMBEDDING = Kind("embedding", "embedding", embedding)
DECODER_EMBEDDING = Kind("decoder_embedding", "embedding", embedding, engine_kwargs={"runner": "pooling"})
CLASSIFICATION = Kind("classification", "classification", classification)
TOKEN_CLASSIFICATION = Kind("token_classification", "pooling", token_classification)
RERANKER = Kind("reranker", "score", rerank)
SCORE = Kind("reranker", "score", score)
TRANSCRIPTION = Kind("transcription", "transcription", transcription, max_model_len=448)


def make_models(clone: Clone, *kinds: Kind) -> None:
    """Create the tiny models of these kinds beside the clone."""
    names = sorted({kind.model for kind in kinds} - {TINY_RANDOM})
    command = [clone.folder / ".venv-ray/bin/python", "-m", "tests.harness.tiny_models", models_folder(clone), *names]
    run = subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def models_folder(clone: Clone) -> Path:
    return clone.folder.with_name("models")


def select(clone: Clone, kind: Kind) -> None:
    """Write the settings that serve the model."""
    source = kind.model if kind.model == TINY_RANDOM else str(models_folder(clone) / kind.model)
    clone.edit(
        {
            "serving.model.source": source,
            "serving.engine": {"max_model_len": kind.max_model_len, "engine_kwargs": dict(kind.engine_kwargs)},
        }
    )


def client(clone: Clone) -> Client:
    return openai.OpenAI(base_url=clone.outputs()["endpoint"], api_key="none", max_retries=0)


def post(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a request that the OpenAI client does not know. Return the answer."""
    reply = httpx2.post(str(client.base_url).rstrip("/").removesuffix("/v1") + path, json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()
