"""The download of weights to a node: once, complete, and again after an error."""

from __future__ import annotations

import io
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workloads.kubernetes.pod_scripts import weights_download
from workloads.kubernetes.pod_scripts.weights_download import ATTEMPTS, WeightsError, download_once

URI = "gs://weights/gemma"
MTIME_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Item:
    """An object, as pyarrow.fs.FileInfo has it."""

    path: str
    size: int
    mtime_ns: int = MTIME_NS

    @property
    def base_name(self) -> str:
        return self.path.rpartition("/")[2]


class Bucket:
    """The objects of a bucket; `failures` reads fail half-way before the first one succeeds."""

    def __init__(self, objects: dict[str, bytes], failures: int = 0) -> None:
        self.objects = {f"weights/gemma/{name}": content for name, content in objects.items()}
        self.failures = failures
        self.reads: list[str] = []

    def list_objects(self, uri: str) -> tuple[Bucket, str, list[Item]]:
        items = [Item(path, len(content)) for path, content in self.objects.items()]
        return self, uri.removeprefix("gs://"), items

    def open_input_stream(self, path: str, **_: Any) -> io.BytesIO:
        self.reads.append(path)
        if self.failures:
            self.failures -= 1
            return io.BytesIO(self.objects[path][: len(self.objects[path]) // 2])
        return io.BytesIO(self.objects[path])


FILES = {"config.json": b"{}", "model-1.safetensors": b"1234", "sub/model-2.safetensors": b"56789"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    created = Bucket(FILES)
    monkeypatch.setattr(weights_download, "list_objects", created.list_objects)
    return created


def content(directory: Path) -> dict[str, bytes]:
    return {str(each.relative_to(directory)): each.read_bytes() for each in directory.rglob("*") if each.is_file()}


def no_sleep(_: float) -> None:
    """Do not wait."""


def test_the_first_replica_downloads_and_the_second_does_not(bucket: Bucket, tmp_path: Path) -> None:
    directory = tmp_path / "weights" / "gemma"
    assert download_once(URI, directory)
    assert content(directory) == FILES
    assert not download_once(URI, directory)
    assert len(bucket.reads) == len(FILES)
    assert [each.name for each in directory.parent.iterdir() if each.is_dir()] == ["gemma"]


def test_a_failed_read_is_tried_again_and_complete_files_are_kept(bucket: Bucket, tmp_path: Path) -> None:
    bucket.failures = 1
    pauses: list[float] = []
    assert download_once(URI, tmp_path / "gemma", sleep=pauses.append)
    assert content(tmp_path / "gemma") == FILES
    assert pauses == [5]
    assert len(bucket.reads) < 2 * len(FILES)


def test_an_error_that_lasts_is_raised_and_nothing_counts_as_complete(bucket: Bucket, tmp_path: Path) -> None:
    bucket.failures = 10**6
    pauses: list[float] = []
    with pytest.raises(OSError, match="bytes, and"):
        download_once(URI, tmp_path / "gemma", sleep=pauses.append)
    assert len(pauses) == ATTEMPTS - 1
    assert not (tmp_path / "gemma").exists()
    bucket.failures = 0
    assert download_once(URI, tmp_path / "gemma", sleep=no_sleep)
    assert content(tmp_path / "gemma") == FILES


def test_an_interrupted_download_goes_on_without_what_is_not_of_the_bucket(bucket: Bucket, tmp_path: Path) -> None:
    directory, partial = tmp_path / "gemma", tmp_path / "gemma.partial"
    assert download_once(URI, directory)
    directory.rename(partial)  # as if the process had ended before the rename
    (partial / "model-1.safetensors").write_bytes(b"0000")  # the size of the object, and not its time
    (partial / "model-3.safetensors").write_bytes(b"of an earlier model")
    (partial / "model-4.safetensors.part").write_bytes(b"half")
    bucket.reads.clear()
    assert download_once(URI, directory)
    assert content(directory) == FILES
    assert bucket.reads == ["weights/gemma/model-1.safetensors"]


@pytest.mark.parametrize("objects", [{}, {"weights/gemma/model.safetensors": b"1"}])
def test_a_folder_without_a_model_is_no_reason_to_try_again(
    bucket: Bucket, tmp_path: Path, objects: dict[str, bytes]
) -> None:
    bucket.objects = objects
    with pytest.raises(WeightsError, match=rf"has {len(objects)} objects and no config\.json"):
        download_once(URI, tmp_path / "gemma", sleep=lambda _: pytest.fail("it tried again"))


def test_a_full_disk_is_told_before_the_download(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_download, "FREE_BYTES", 2**60)
    with pytest.raises(WeightsError, match="GiB more on the disk of"):
        download_once(URI, tmp_path / "gemma", sleep=no_sleep)
    assert bucket.reads == []


def _slow_replica(directory: Path, log: Path) -> None:
    created = Bucket(FILES)

    def slow(uri: str) -> Any:
        with log.open("a") as file:
            file.write("download\n")
        time.sleep(0.3)
        return created.list_objects(uri)

    weights_download.list_objects = slow
    download_once(URI, directory)
    assert content(directory) == FILES


def test_replicas_that_start_together_wait_for_the_one_that_downloads(tmp_path: Path) -> None:
    start = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    replicas = [start.Process(target=_slow_replica, args=(tmp_path / "gemma", log)) for _ in range(4)]
    for replica in replicas:
        replica.start()
    for replica in replicas:
        replica.join()
    assert [replica.exitcode for replica in replicas] == [0, 0, 0, 0]
    assert log.read_text() == "download\n"
