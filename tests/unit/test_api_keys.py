"""API keys: `make keys` on stack local and on clusters, and the script that keeps a pod's HAProxy up to date."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_middlewares import Edge

from config.api_keys import ApiKeys
from config.model_service import ModelService
from paths import CHECKOUT
from tests.unit.listening import admin_socket
from tests.unit.ray_services import container, manifest, pods
from tests.unit.test_serve_middlewares import CALLER, OWN_NODE, SETTINGS, Replica, ask, finished
from tools import keys
from tools.bootstrap.console import CliError
from workloads.edge import key_map
from workloads.kubernetes import api_keys as in_pods
from workloads.kubernetes.pod_scripts import api_keys as script
from workloads.local import api_keys

KEY = "sk-test"
DIGEST, OTHER = api_keys.digest(KEY), "f" * 64


class HAProxy:
    """A map in HAProxy's memory, behind an admin socket."""

    def __init__(self) -> None:
        self.map: dict[str, str] = {}
        self.commands: list[str] = []

    def reply(self, command: str) -> str:
        self.commands.append(command.strip())
        match command.split():
            case ["show", "map", _]:
                return "".join(f"0x1 {digest} {name}\n" for digest, name in self.map.items())
            case ["add", "map", _, digest, name]:
                self.map[digest] = name
            case ["del", "map", _, digest]:
                del self.map[digest]
            case _:
                return "Unknown command"
        return "\n"


@pytest.fixture
def haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HAProxy]:
    found = HAProxy()
    with admin_socket(tmp_path, monkeypatch, found.reply):
        yield found


# In a pod.


def test_haproxy_follows_the_secret(haproxy: HAProxy, tmp_path: Path) -> None:
    mounted, used = tmp_path / "mounted", tmp_path / "used"
    mounted.write_text(f"{DIGEST} a\n{OTHER} b\nno line of a key\n")
    script.follow(mounted, used)
    assert haproxy.map == key_map.read(used) == {DIGEST: "a", OTHER: "b"}
    assert used.stat().st_mode & 0o777 == 0o600
    haproxy.commands.clear()
    mounted.write_text(f"{DIGEST} c\n")
    script.follow(mounted, used)
    assert haproxy.map == key_map.read(used) == {DIGEST: "c"}
    haproxy.commands.clear()
    script.follow(mounted, used)
    assert haproxy.commands == [f"show map {used}"]


def test_without_a_secret_no_key_is_known(haproxy: HAProxy, tmp_path: Path) -> None:
    haproxy.map = {DIGEST: "a"}
    script.follow(tmp_path / "none", tmp_path / "used")
    assert haproxy.map == {}
    assert (tmp_path / "used").read_text() == ""


@pytest.mark.parametrize(
    ("path", "file"), [("direct_streaming", in_pods.HAPROXY_FILE), ("python_proxy", in_pods.MOUNTED_FILE)]
)
def test_pods_mount_the_secret_and_no_key_is_in_their_spec(path: str, file: str) -> None:
    spec = manifest("prod", {"serving.api_keys": {"secret": "keys", "max_requests": 9}, "serving.data_path": path})
    worker = pods(spec)["a4"]
    volume = next(each for each in worker["volumes"] if each["name"] == in_pods.VOLUME)
    assert volume["secret"] == {"secretName": "keys", "optional": True}
    environment = {each["name"]: each.get("value", "") for each in container(worker)["env"]}
    assert json.loads(environment["RAYLLM_EDGE_SETTINGS"])["keys"] == {"map": file, "max_requests": 9}
    scripts = " ".join(container(worker)["lifecycle"]["postStart"]["exec"]["command"])
    assert ("api_keys.py" in scripts) is (file == in_pods.HAPROXY_FILE)


def test_without_the_setting_nothing_is_mounted() -> None:
    service = ModelService.model_validate({"model": {"id": "m", "source": "s"}})
    assert service.api_keys is None
    assert (in_pods.volumes(service), in_pods.mounts(service), in_pods.scripts(service)) == ([], [], [])
    assert ApiKeys().secret == "rayllm-api-keys"


# On the Python proxy.


@pytest.mark.parametrize(
    ("headers", "client", "status"),
    [
        ({"authorization": f"Bearer {KEY}"}, CALLER, 200),
        ({"authorization": f"bearer  {KEY}"}, CALLER, 200),
        ({"x_api_key": KEY}, CALLER, 200),
        ({}, CALLER, 401),
        ({"authorization": KEY}, CALLER, 401),
        ({"authorization": f"Basic {KEY}"}, CALLER, 401),
        ({"x_api_key": f"{KEY}x"}, CALLER, 401),
        ({"x_rayllm_key": "team"}, CALLER, 401),
        ({}, OWN_NODE, 200),
    ],
)
def test_the_python_proxy_checks_keys(tmp_path: Path, headers: dict[str, str], client: Any, status: int) -> None:
    (tmp_path / "keys.map").write_text(f"{DIGEST} team\n")
    replica = Replica()
    edge = Edge(replica, SETTINGS | {"keys": {"map": str(tmp_path / "keys.map"), "max_requests": 1}})
    found, reply, _ = finished(ask(edge, "/v1/completions", client=client, **headers))
    assert found == status
    if found == 401:
        assert replica.scopes == []
        assert reply["content-type"] == "application/json"
        return
    passed = dict(replica.scopes[0]["headers"])
    assert passed.get(b"x-rayllm-key") == (b"team" if client is CALLER else None)
    assert KEY.encode() not in b"".join(passed.values())


def test_the_python_proxy_reads_a_changed_file_again(tmp_path: Path) -> None:
    file = tmp_path / "keys.map"
    edge = Edge(Replica(), SETTINGS | {"keys": {"map": str(file), "max_requests": 0}})

    def status() -> int:
        return finished(ask(edge, "/v1/completions", x_api_key=KEY))[0]

    assert status() == 401
    key_map.write(file, {DIGEST: "a"})
    assert status() == 200
    key_map.write(file, {OTHER: "a"})
    assert status() == 401


# `make keys`.


def local_stack(tmp_path: Path) -> list[keys.KeyStore]:
    api_keys.ensure(tmp_path / "keys.map")
    head = {
        "type": "pulumi-python:dynamic/rayllm:RayHead",
        "inputs": {
            "command": "[]",
            "environment": {"RAY_SERVE_HAPROXY_SOCKET_PATH": str(tmp_path / "admin.sock"), "RAYLLM_PROCESS_TAG": "t"},
        },
    }
    outputs = {"endpoint": "http://127.0.0.1:1/v1", "model": "m", "api_keys": str(tmp_path / "keys.map")}
    resources = [{"type": "pulumi:pulumi:Stack", "urn": "", "outputs": outputs}, head]
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"deployment": {"resources": resources}}))
    return keys.stores(state, "local", tmp_path)


def test_a_key_is_added_and_revoked_on_the_local_host(haproxy: HAProxy, tmp_path: Path) -> None:
    found = local_stack(tmp_path)
    key = keys.add(found, "team-a")
    assert haproxy.map == {api_keys.digest(key): "team-a"}
    assert key not in (tmp_path / "keys.map").read_text()
    assert sorted(found[0].read().values()) == ["operator", "team-a"]
    keys.revoke(found, "team-a")
    assert haproxy.map == {}
    assert list(found[0].read().values()) == ["operator"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda found: keys.add(found, "a b"), "a b is no name of a key"),
        (lambda found: keys.add(found, "operator"), "has a key operator. Write another name"),
        (lambda found: keys.revoke(found, "operator"), "is the key that `make up`"),
        (lambda found: keys.revoke(found, "nobody"), "No key has the name nobody. The keys are: operator."),
    ],
)
def test_a_wrong_name_changes_nothing(tmp_path: Path, change: Any, problem: str) -> None:
    found = local_stack(tmp_path)
    before = (tmp_path / "keys.map").read_text()
    with pytest.raises(CliError, match=problem):
        change(found)
    assert (tmp_path / "keys.map").read_text() == before


def test_the_operator_s_key_stays_over_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "keys.map"
    api_keys.ensure(file)
    first = api_keys.operator_key(file)
    api_keys.ensure(file)
    assert first == api_keys.operator_key(file)
    assert first.startswith(api_keys.KEY_PREFIX)
    assert key_map.read(file) == {api_keys.digest(first): "operator"}
    assert [each.stat().st_mode & 0o777 for each in file.parent.iterdir()] == [0o600, 0o600]


def test_make_keys_writes_the_secret_of_a_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.json"
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(
        f"#!{sys.executable}\n"
        "import sys, json, base64, pathlib\n"
        f"file = pathlib.Path({str(secret)!r})\n"
        "assert sys.argv[3:5] == ['--namespace', 'ray']\n"
        "if 'apply' in sys.argv:\n"
        "    given = json.load(sys.stdin)\n"
        "    data = {k: base64.b64encode(v.encode()).decode() for k, v in given['stringData'].items()}\n"
        "    file.write_text(json.dumps({'metadata': given['metadata'], 'data': data}))\n"
        "elif file.exists():\n"
        "    print(file.read_text())\n"
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(kubectl.parent), prepend=os.pathsep)
    (tmp_path / "r.kubeconfig").write_text("")
    service = keys.DeclaredRayService("r", "llm", "m", "", "ray", {}, {})
    store = keys.ClusterKeys(service, "rayllm-api-keys", tmp_path)
    assert store.read() == {}
    key = keys.add([store], "team-a")
    assert store.read() == {api_keys.digest(key): "team-a"}
    written = json.loads(secret.read_text())
    assert written["metadata"] == {"name": "rayllm-api-keys"}
    assert key not in base64.b64decode(written["data"]["keys.map"]).decode()
    keys.revoke([store], "team-a")
    assert store.read() == {}


def test_a_stack_without_keys_is_told_the_setting(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    outputs = {"endpoint": "http://x/v1", "model": "m", "api_keys": ""}
    head = {
        "type": "pulumi-python:dynamic/rayllm:RayHead",
        "inputs": {"command": "[]", "environment": {"RAYLLM_PROCESS_TAG": "t"}},
    }
    resources = [{"type": "pulumi:pulumi:Stack", "urn": "", "outputs": outputs}, head]
    state.write_text(json.dumps({"deployment": {"resources": resources}}))
    command = [sys.executable, "-m", "tools.keys", str(state), "local"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "need no API key. Write `serving.api_keys: {}` and run `make up`" in done.stdout + done.stderr
