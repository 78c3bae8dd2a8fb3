"""`make verify`: what it takes for declared, from a state as `pulumi stack export` writes it, and what it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools import cli
from tools.bootstrap.console import CliError
from verify import declared
from verify.declared import POLICY, PROVIDER, RAY_SERVICE

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
    former = resource(POLICY, "former", region, spec={}) | {"delete": True}
    return [
        provider,
        resource(RAY_SERVICE, "llm", region, spec={"rayClusterConfig": cluster}),
        resource(POLICY, "llm-ingress", region, spec={"of": region}),
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


def test_a_region_that_takes_requests_is_asked_with_its_own_kubeconfig_and_policies(state: Path) -> None:
    found = declared.read(state)
    assert isinstance(found, list)
    (service,) = found
    assert (service.region, service.kubeconfig) == ("europe", "of europe")
    assert service.policies == {"llm-ingress": {"of": "europe"}}
    assert service.workers == range(2, 7)
    assert service.environment(service.containers["ray-worker"]) == {"A": "1"}


def test_without_a_finished_up_nothing_is_declared(tmp_path: Path) -> None:
    top = {"type": "pulumi:pulumi:Stack", "urn": ""}
    assert declared.read(write(tmp_path, [top, *resources("europe")])) == []


def test_a_cluster_is_not_asked_without_kubectl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CliError, match="Install kubectl"):
        cli.verify("prod")
