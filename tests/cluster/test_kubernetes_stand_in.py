"""The stand-in for the `kubernetes` plugin does what Pulumi's does, under the real engine, on a real API server."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import lightkube
import pytest

from rehearsal import kubernetes
from rehearsal.control_plane.control_plane import Plane
from tests.cluster.conftest import NAMESPACE, until
from tests.harness.pulumi_project import Engine

MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
HEAD = """
import json, pulumi, pulumi_kubernetes as k8s
here = k8s.Provider("here", kubeconfig={kubeconfig!r}, cluster_identifier={identifier!r})
opts = pulumi.ResourceOptions(provider=here)
"""


@pytest.fixture
def engine(tmp_path: Path, plane: Plane, cluster: lightkube.Client) -> Engine:
    """A project whose stack has nothing yet."""
    made = Engine.inline(tmp_path, "")
    kubernetes.mount(made.home)
    return made.init()


def program(plane: Plane, body: str, identifier: str = "here") -> str:
    kubeconfig = Path(plane.access["kubeconfig"]).read_text()
    return HEAD.format(kubeconfig=kubeconfig, identifier=identifier) + body


def service(target: int, name: str = "one") -> str:
    """A Service whose port 80 leads to port `target` of pods."""
    spec = {"ports": [{"port": 80, "protocol": "TCP", "targetPort": target}]}
    return (
        f"k8s.core.v1.Service('one', metadata={{'name': {name!r}, 'namespace': {NAMESPACE!r}}}, "
        f"spec=json.loads({json.dumps(spec)!r}), opts=opts)\n"
    )


def target_of(plane: Plane, name: str = "one") -> int | None:
    found = plane.get(f"/api/v1/namespaces/{NAMESPACE}/services/{name}")
    return found["spec"]["ports"][0]["targetPort"] if found else None


def test_an_object_lives_through_create_update_replace_and_delete(engine: Engine, plane: Plane) -> None:
    engine.write(program(plane, service(80)))
    assert engine.up().ok().changed() == {"here": "create", "one": "create"}
    engine.preview("--expect-no-changes").ok()
    engine.write(program(plane, service(81)))
    assert engine.up().ok().changed() == {"one": "update"}
    assert target_of(plane) == 81
    engine.write(program(plane, service(81, "two")))
    assert engine.up().ok().changed() == {"one": "replace"}
    assert (target_of(plane), target_of(plane, "two")) == (None, 81)
    engine.destroy().ok()
    assert target_of(plane, "two") is None


def test_what_went_behind_pulumi_s_back_comes_back(engine: Engine, plane: Plane) -> None:
    engine.write(program(plane, service(80)))
    engine.up().ok()
    plane.http.delete(f"/api/v1/namespaces/{NAMESPACE}/services/one").raise_for_status()
    assert engine.up("--refresh").ok().changed() == {"one": "create"}
    assert target_of(plane) == 80
    engine.destroy().ok()


def test_drift_shows_in_a_refresh(engine: Engine, plane: Plane) -> None:
    engine.write(program(plane, service(80)))
    engine.up().ok()
    patch = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 99}]
    headers = {"Content-Type": "application/json-patch+json"}
    path = f"/api/v1/namespaces/{NAMESPACE}/services/one"
    plane.http.patch(path, content=json.dumps(patch), headers=headers).raise_for_status()
    engine.refresh().ok()
    (found,) = (r for r in engine.export()["deployment"]["resources"] if r["urn"].endswith("::one"))
    assert found["inputs"]["spec"]["ports"][0]["targetPort"] == 99
    engine.destroy().ok()


def test_a_preview_asks_the_api_server_and_an_unknown_field_is_refused(engine: Engine, plane: Plane) -> None:
    engine.write(program(plane, ""))
    engine.up().ok()
    target = {"group": "", "kind": "Service", "name": "one"}
    body = (
        "k8s.apiextensions.CustomResource('one', api_version='networking.gke.io/v1', kind='HealthCheckPolicy', "
        f"metadata={{'name': 'one', 'namespace': 'ray'}}, spec={{'targetRef': {target}, 'defaults': {{}}}}, "
        "opts=opts)\n"
    )
    engine.write(program(plane, body))
    refused = engine.preview()
    assert refused.status != 0
    assert "defaults" in refused.text


def test_somebody_else_s_field_is_a_conflict_that_is_named(engine: Engine, plane: Plane) -> None:
    """An object that is there is adopted; a field that another manager set to something else is not taken."""
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": NAMESPACE}}
    plane.apply({**theirs, "data": {"key": "theirs"}})
    body = "k8s.core.v1.ConfigMap('one', metadata={'name': 'one', 'namespace': 'ray'}, data={'key': %r}, opts=opts)\n"
    engine.write(program(plane, body % "ours"))
    refused = engine.up()
    assert refused.status != 0
    assert 'conflict with "rig"' in refused.text
    engine.write(program(plane, body % "theirs"))
    engine.up().ok()
    engine.destroy().ok()
    assert plane.get(f"{MAPS}/one") is None


def test_a_delete_waits_for_finalizers(engine: Engine, plane: Plane) -> None:
    body = (
        "k8s.core.v1.ConfigMap('one', metadata={'name': 'one', 'namespace': 'ray', "
        "'finalizers': ['rayllm/test']}, opts=opts)\n"
    )
    engine.write(program(plane, body))
    engine.up().ok()
    seen: list[bool] = []

    def release() -> None:
        until("it is to go", lambda: plane.get(f"{MAPS}/one")["metadata"].get("deletionTimestamp"))
        time.sleep(3)
        seen.append(plane.get(f"{MAPS}/one") is not None)
        headers = {"Content-Type": "application/merge-patch+json"}
        plane.http.patch(f"{MAPS}/one", content='{"metadata": {"finalizers": null}}', headers=headers)

    thread = threading.Thread(target=release)
    thread.start()
    engine.destroy().ok()
    thread.join()
    assert seen == [True]
    assert plane.get(f"{MAPS}/one") is None


def test_another_endpoint_of_the_same_cluster_replaces_nothing(engine: Engine, plane: Plane) -> None:
    engine.write(program(plane, service(80)))
    engine.up().ok()
    engine.write(program(plane, service(80)).replace("127.0.0.1", "localhost"))
    assert engine.preview().ok().changed() == {"here": "update"}
    engine.write(program(plane, service(80), identifier="another"))
    assert engine.preview().ok().changed() == {"here": "replace", "one": "replace"}
    engine.destroy().ok()


def test_a_secret_stays_one_in_the_state(engine: Engine, plane: Plane) -> None:
    body = (
        "k8s.core.v1.Secret('one', metadata={'name': 'one', 'namespace': 'ray'}, "
        "string_data={'value': pulumi.Output.secret('very-much-hidden')}, opts=opts)\n"
    )
    engine.write(program(plane, body))
    engine.up().ok()
    state = json.dumps(engine.export())
    assert "very-much-hidden" not in state
    assert "dmVyeS1tdWNoLWhpZGRlbg" not in state  # in base64, as the API server answers it
    engine.destroy().ok()
