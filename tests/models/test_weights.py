"""Weights of a bucket on stack local: Ray downloads them once, and the model answers as it does from a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import bucket_server
from tests.harness.bucket_server import BucketServer
from tests.harness.local_stack import Clone
from tests.models import kinds

KIND = kinds.COMPLETION
BUCKET = "weights"


@pytest.fixture(scope="module")
def bucket(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """A bucket with the tiny completion model, and with a folder that has no config.json."""
    kinds.make_models(clone, KIND)
    empty = tmp_path_factory.mktemp("empty")
    (empty / "README.md").write_text("no model")
    with bucket_server.running(tmp_path_factory.mktemp("server")) as server:
        server.upload(kinds.models_folder(clone) / KIND.model, BUCKET, "tiny")
        server.upload(empty, BUCKET, "empty")
        yield server


def write_settings(clone: Clone, bucket: BucketServer, folder: str) -> None:
    """Write the settings that serve a folder of the bucket with two replicas."""
    clone.edit(
        {
            "infra.bucket_access": {
                "endpoint": bucket.endpoint,
                "credentials_file": str(bucket.credentials_file),
            },
            "serving.model": {"id": "tiny", "source": f"gs://{BUCKET}/{folder}"},
            "serving.engine": {"max_model_len": KIND.max_model_len},
            "serving.replicas": {"kind": "fixed", "num_replicas": 2},
        }
    )


@pytest.fixture(scope="module")
def stack(clone: Clone, bucket: BucketServer) -> Clone:
    """The stack, with the weights of the bucket."""
    write_settings(clone, bucket, "tiny")
    clone.make("up")
    return clone


def downloads(bucket: BucketServer) -> list[str]:
    """Return the path of every request for the content of the weights file; others ask for its size and time."""
    paths = [path for method, path in bucket.requests() if method == "GET" and "model.safetensors" in path]
    return [path for path in paths if "alt=media" in path or not path.startswith("/storage/v1/")]


def test_a_model_of_a_bucket_answers(stack: Clone) -> None:
    kinds.completion(kinds.client(stack))


def test_the_weights_are_complete_and_in_the_stack_s_directory(stack: Clone) -> None:
    original = kinds.models_folder(stack) / KIND.model
    (config,) = (Path(stack.outputs()["data_dir"]) / "weights").glob("*/config.json")
    names = {str(file.relative_to(original)) for file in original.rglob("*") if file.is_file()}
    assert {str(file.relative_to(config.parent)) for file in config.parent.rglob("*") if file.is_file()} == names
    for name in names:
        assert (config.parent / name).read_bytes() == (original / name).read_bytes(), name


def test_two_replicas_download_once(stack: Clone, bucket: BucketServer) -> None:
    assert stack.outputs()["status"] == "RUNNING"
    assert len(downloads(bucket)) == 1, downloads(bucket)


def test_a_folder_without_a_model_says_so(stack: Clone, bucket: BucketServer) -> None:
    write_settings(stack, bucket, "empty")
    printed = stack.make("up", ok=False)
    assert "has 1 objects and no config.json" in printed
