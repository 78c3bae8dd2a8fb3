"""The stand-in for the `kubernetes` plugin behaves like Pulumi's, under the real engine, on a real API server."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import lightkube
import pytest

from rehearsal import install_plugins
from rehearsal.control_plane.control_plane import ControlPlane
from tests.cluster.conftest import NAMESPACE
from tests.harness.pulumi_project import PulumiProject
from tests.harness.waiting import wait_until

MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
HEAD = """
import json, pulumi, pulumi_kubernetes as k8s
here = k8s.Provider("here", kubeconfig={kubeconfig!r}, cluster_identifier={identifier!r})
opts = pulumi.ResourceOptions(provider=here)
"""


@pytest.fixture
def project(tmp_path: Path, control_plane: ControlPlane, cluster: lightkube.Client) -> PulumiProject:
    """A project with an empty stack."""
    created = PulumiProject.from_source(tmp_path, "")
    install_plugins.install_kubernetes(created.pulumi_home)
    return created.init()


def program(control_plane: ControlPlane, body: str, identifier: str = "here") -> str:
    kubeconfig = Path(control_plane.access["kubeconfig"]).read_text()
    return HEAD.format(kubeconfig=kubeconfig, identifier=identifier) + body


def service(target: int, name: str = "one") -> str:
    """Return a program line for a Service whose port 80 leads to port `target` of pods."""
    spec = {"ports": [{"port": 80, "protocol": "TCP", "targetPort": target}]}
    return (
        f"k8s.core.v1.Service('one', metadata={{'name': {name!r}, 'namespace': {NAMESPACE!r}}}, "
        f"spec=json.loads({json.dumps(spec)!r}), opts=opts)\n"
    )


def target_of(control_plane: ControlPlane, name: str = "one") -> int | None:
    found = control_plane.get(f"/api/v1/namespaces/{NAMESPACE}/services/{name}")
    return found["spec"]["ports"][0]["targetPort"] if found else None


def test_create_update_replace_and_delete_of_an_object(project: PulumiProject, control_plane: ControlPlane) -> None:
    project.write_program(program(control_plane, service(80)))
    assert project.up().ok().changes() == {"here": "create", "one": "create"}
    project.preview("--expect-no-changes").ok()
    project.write_program(program(control_plane, service(81)))
    assert project.up().ok().changes() == {"one": "update"}
    assert target_of(control_plane) == 81
    project.write_program(program(control_plane, service(81, "two")))
    assert project.up().ok().changes() == {"one": "replace"}
    assert (target_of(control_plane), target_of(control_plane, "two")) == (None, 81)
    project.destroy().ok()
    assert target_of(control_plane, "two") is None


def test_an_object_deleted_outside_pulumi_is_created_again(project: PulumiProject, control_plane: ControlPlane) -> None:
    project.write_program(program(control_plane, service(80)))
    project.up().ok()
    control_plane.http.delete(f"/api/v1/namespaces/{NAMESPACE}/services/one").raise_for_status()
    assert project.up("--refresh").ok().changes() == {"one": "create"}
    assert target_of(control_plane) == 80
    project.destroy().ok()


def test_a_refresh_shows_drift(project: PulumiProject, control_plane: ControlPlane) -> None:
    project.write_program(program(control_plane, service(80)))
    project.up().ok()
    patch = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 99}]
    headers = {"Content-Type": "application/json-patch+json"}
    path = f"/api/v1/namespaces/{NAMESPACE}/services/one"
    control_plane.http.patch(path, content=json.dumps(patch), headers=headers).raise_for_status()
    project.refresh().ok()
    (found,) = (r for r in project.export()["deployment"]["resources"] if r["urn"].endswith("::one"))
    assert found["inputs"]["spec"]["ports"][0]["targetPort"] == 99
    project.destroy().ok()


def test_a_preview_fails_if_the_api_server_refuses_a_field(project: PulumiProject, control_plane: ControlPlane) -> None:
    project.write_program(program(control_plane, ""))
    project.up().ok()
    target = {"group": "", "kind": "Service", "name": "one"}
    body = (
        "k8s.apiextensions.CustomResource('one', api_version='networking.gke.io/v1', kind='HealthCheckPolicy', "
        f"metadata={{'name': 'one', 'namespace': 'ray'}}, spec={{'targetRef': {target}, 'defaults': {{}}}}, "
        "opts=opts)\n"
    )
    project.write_program(program(control_plane, body))
    refused = project.preview()
    assert refused.status != 0
    assert "defaults" in refused.text


def test_a_field_of_another_manager_is_a_conflict(project: PulumiProject, control_plane: ControlPlane) -> None:
    """An existing object is adopted; a field that another manager set to another value is a conflict."""
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": NAMESPACE}}
    control_plane.apply({**theirs, "data": {"key": "theirs"}})
    body = "k8s.core.v1.ConfigMap('one', metadata={'name': 'one', 'namespace': 'ray'}, data={'key': %r}, opts=opts)\n"
    project.write_program(program(control_plane, body % "ours"))
    refused = project.up()
    assert refused.status != 0
    assert 'conflict with "rehearsal"' in refused.text
    project.write_program(program(control_plane, body % "theirs"))
    project.up().ok()
    project.destroy().ok()
    assert control_plane.get(f"{MAPS}/one") is None


def test_a_delete_waits_for_finalizers(project: PulumiProject, control_plane: ControlPlane) -> None:
    body = (
        "k8s.core.v1.ConfigMap('one', metadata={'name': 'one', 'namespace': 'ray', "
        "'finalizers': ['rayllm/test']}, opts=opts)\n"
    )
    project.write_program(program(control_plane, body))
    project.up().ok()
    existed: list[bool] = []

    def release() -> None:
        wait_until("its deletion", lambda: control_plane.get(f"{MAPS}/one")["metadata"].get("deletionTimestamp"))
        time.sleep(3)
        existed.append(control_plane.get(f"{MAPS}/one") is not None)
        headers = {"Content-Type": "application/merge-patch+json"}
        control_plane.http.patch(f"{MAPS}/one", content='{"metadata": {"finalizers": null}}', headers=headers)

    thread = threading.Thread(target=release)
    thread.start()
    project.destroy().ok()
    thread.join()
    assert existed == [True]
    assert control_plane.get(f"{MAPS}/one") is None


def test_another_address_of_the_same_cluster_replaces_nothing(
    project: PulumiProject, control_plane: ControlPlane
) -> None:
    project.write_program(program(control_plane, service(80)))
    project.up().ok()
    project.write_program(program(control_plane, service(80)).replace("127.0.0.1", "localhost"))
    assert project.preview().ok().changes() == {"here": "update"}
    project.write_program(program(control_plane, service(80), identifier="another"))
    assert project.preview().ok().changes() == {"here": "replace", "one": "replace"}
    project.destroy().ok()


def test_a_secret_is_encrypted_in_the_state(project: PulumiProject, control_plane: ControlPlane) -> None:
    body = (
        "k8s.core.v1.Secret('one', metadata={'name': 'one', 'namespace': 'ray'}, "
        "string_data={'value': pulumi.Output.secret('very-much-hidden')}, opts=opts)\n"
    )
    project.write_program(program(control_plane, body))
    project.up().ok()
    state = json.dumps(project.export())
    assert "very-much-hidden" not in state
    assert "dmVyeS1tdWNoLWhpZGRlbg" not in state  # base64, as in the API server's answer
    project.destroy().ok()
