"""Weights of a bucket on stack local: Ray's own download to the stack's directory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.local.infra import LocalInfra
from config.model_service import TINY_RANDOM, Model
from config.serving import ServingSettings
from infra.contract import LocalHost
from infra.local import provision
from paths import CHECKOUT
from workloads.local import bucket_weights, deploy, processes
from workloads.model_weights import CALLBACK_CLASS

URI = "gs://weights/tiny"
LOOPBACK = CHECKOUT / "workloads" / "local" / "ray_runtime" / "loopback"


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = provision.local_host(LocalInfra(kind="local", port_offset=2000), "bucket-weights", tmp_path)
    return replace(made, data_dir=tmp_path / "run")


def deployed(host: LocalHost, model: Model, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the LLMConfig that stack local sends to Ray, and the model source that the host checks got."""
    sent: dict[str, Any] = {}

    def application(_: str, *, config: dict[str, Any], **_options: Any) -> SimpleNamespace:
        sent.update(config["applications"][0]["args"]["llm_configs"][0])
        return SimpleNamespace(status="RUNNING")

    def checks(_: LocalHost, serving: ServingSettings) -> list[Any]:
        sent["checked_source"] = serving.model.source
        return []

    head = SimpleNamespace(dashboard="", session="", data_dir=str(host.data_dir))
    monkeypatch.setattr(deploy, "RayHead", lambda *_: head)
    monkeypatch.setattr(deploy, "ServeApplication", application)
    monkeypatch.setattr(deploy.host_checks, "find_issues", checks)
    deploy.deploy(ServingSettings(model=model), host)
    return sent


def test_ray_downloads_the_folder_below_the_stack_s_directory(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    found = deployed(host, Model(id="m", source=URI), monkeypatch)
    directory = found["model_loading_config"]["model_source"]
    assert directory.startswith(f"{host.data_dir}/weights/")
    assert found["callback_config"] == {
        "callback_class": CALLBACK_CLASS,
        "callback_kwargs": {"uri": URI, "directory": directory},
    }
    assert found["checked_source"] == TINY_RANDOM, "the host has no directory of this name"


def test_a_directory_of_the_host_needs_no_download(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    found = deployed(host, Model(id="m", source="/models/tiny"), monkeypatch)
    assert found["model_loading_config"]["model_source"] == "/models/tiny"
    assert "callback_config" not in found
    assert found["checked_source"] == "/models/tiny"


def test_ray_s_processes_find_the_callback_and_it_hides_no_module() -> None:
    """pod_scripts has a readiness.py: the folder is the last one on the module path."""
    code = "import sys, importlib.util as u; print(u.find_spec('rayllm_weights').origin); print(sys.path[-1])"
    environment = {**os.environ, "PYTHONPATH": str(LOOPBACK), processes.PROCESS_TAG_ENV_VAR: "rayllm-test"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    origin, last = run.stdout.split()
    assert Path(origin).parent == Path(last) == CHECKOUT / "workloads" / "kubernetes" / "pod_scripts"


def disk_issues(host: LocalHost, monkeypatch: pytest.MonkeyPatch, **model: Any) -> list[str]:
    monkeypatch.setattr(bucket_weights.shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * 2**30))
    return [each.format() for each in bucket_weights.find_issues(host, Model(id="m", **model))]


def test_weights_of_a_known_size_must_fit_on_the_disk(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = disk_issues(host, monkeypatch, source=URI, weights_gib=15)
    assert sentence.startswith(f"serving.model.weights_gib: 15 GiB, and {host.data_dir} needs 17 GiB of disk")
    assert "10.0 GiB are free" in sentence
    assert disk_issues(host, monkeypatch, source=URI, weights_gib=8) == []
    assert disk_issues(host, monkeypatch, source=URI) == [], "an unknown size"
    assert disk_issues(host, monkeypatch, source="/models/tiny", weights_gib=15) == [], "on the disk already"


def test_a_running_stack_has_its_weights_already(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "stack_processes", lambda _: [object()])
    assert disk_issues(host, monkeypatch, source=URI, weights_gib=15) == []
