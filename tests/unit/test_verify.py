"""`make verify`: the declarations that it reads from a state, and what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paths import CHECKOUT
from tools import cli
from tools.bootstrap.console import CliError
from verify import declared
from verify.declared import NETWORK_POLICY, PROVIDER, RAY_SERVICE
from workloads.local.processes import PROCESS_TAG_ENV_VAR

OUTPUTS = {
    "endpoint": "http://10.0.0.9",
    "regions": {
        "europe": {"traffic": "active", "models": {"llm": "tiny"}},
        "asia": {"traffic": "drained", "models": {"llm": "tiny"}},
    },
}


def resource(kind: str, name: str, region: str, **inputs: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ray"}
    return {
        "type": kind,
        "urn": f"urn:pulumi:dev::rayllm::{kind}::{region}-{name}",
        "id": name,
        "provider": f"urn:pulumi:dev::rayllm::{PROVIDER}::{region}-kubernetes::1",
        "inputs": {"metadata": metadata, **inputs},
    }


def resources(region: str) -> list[dict[str, Any]]:
    containers = [{"name": "ray-worker", "env": [{"name": "A", "value": "1"}, {"name": "HF_TOKEN", "valueFrom": {}}]}]
    group = {"minReplicas": 1, "maxReplicas": 3, "template": {"spec": {"containers": containers}}}
    cluster = {"rayVersion": "2.60.0", "headGroupSpec": group, "workerGroupSpecs": [group, group]}
    provider = resource(PROVIDER, "kubernetes", region, kubeconfig=f"of {region}") | {"id": "1"}
    former = resource(NETWORK_POLICY, "former", region, spec={}) | {"delete": True}
    return [
        provider,
        resource(RAY_SERVICE, "llm", region, spec={"rayClusterConfig": cluster}),
        resource(NETWORK_POLICY, "llm-ingress", region, spec={"of": region}),
        former,
    ]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    top = {"type": "pulumi:pulumi:Stack", "urn": "", "outputs": OUTPUTS}
    return write(tmp_path, [top, *resources("europe"), *resources("asia")])


def write(folder: Path, found: list[dict[str, Any]]) -> Path:
    file = folder / "state.json"
    file.write_text(json.dumps({"deployment": {"resources": found}}))
    return file


def test_an_active_region_is_checked_with_its_own_kubeconfig_and_policies(state: Path) -> None:
    found = declared.read(state)
    assert isinstance(found, list)
    (service,) = found
    assert (service.region, service.kubeconfig) == ("europe", "of europe")
    assert service.network_policies == {"llm-ingress": {"of": "europe"}}
    assert service.worker_counts == range(2, 7)
    assert service.env_vars(service.containers["ray-worker"]) == {"A": "1"}


def test_without_a_finished_up_nothing_is_declared(tmp_path: Path) -> None:
    top = {"type": "pulumi:pulumi:Stack", "urn": ""}
    assert declared.read(write(tmp_path, [top, *resources("europe")])) == []


@pytest.mark.parametrize("state", [None, "missing.json"])
def test_the_checks_say_that_they_need_a_state(monkeypatch: pytest.MonkeyPatch, state: str | None) -> None:
    monkeypatch.delenv("RAYLLM_STATE", raising=False)
    if state:
        monkeypatch.setenv("RAYLLM_STATE", state)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *cli.VERIFY_PYTEST_ARGS], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert "RAYLLM_STATE" in done.stderr
    assert ("make verify" in done.stderr) is (state is None)


def test_a_stack_on_this_computer_has_its_own_checks_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outputs = {"endpoint": "http://127.0.0.1:8000/v1", "model": "tiny", "haproxy_stats": "", "dashboard": ""}
    head = {
        "type": declared.RAY_HEAD,
        "inputs": {
            "command": json.dumps(["/venv/bin/ray", "start", "--metrics-export-port=1"]),
            "environment": {PROCESS_TAG_ENV_VAR: "tag"},
        },
    }
    state = write(tmp_path, [{"type": "pulumi:pulumi:Stack", "urn": "", "outputs": outputs}, head])
    monkeypatch.setenv("RAYLLM_STATE", str(state))
    command = [sys.executable, "-m", "pytest", *cli.VERIFY_PYTEST_ARGS, "--collect-only", "--quiet"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert "test_local.py" in done.stdout, done.stdout + done.stderr
    assert "test_regions.py" not in done.stdout


def test_a_cloud_stack_needs_kubectl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CliError, match="Install kubectl"):
        cli.verify("prod")
