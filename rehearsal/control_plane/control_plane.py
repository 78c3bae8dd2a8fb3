"""One cluster's control plane: etcd, API server, controllers, scheduler, simulated nodes, the KubeRay operator.

Everything listens on 127.0.0.1 of the namespace that it runs in. What it keeps is in one folder; what it started is in
that folder's pids.json, and only that is ever ended.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
import yaml

from rehearsal.control_plane import builds, gke_crds
from rehearsal.control_plane.nodes import Pool

LOOPBACK = "127.0.0.1"
SERVICES, KUBERNETES = "10.96.0.0/16", "10.96.0.1"
"""Addresses of Services, and that of the API server's own."""
LIMIT_S = 120
USERS = {
    "admin": ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "operator": ("system:serviceaccount:kuberay:kuberay-operator", ""),
    "kwok": ("kwok", "system:masters"),
}
"""Token owners: user and group. The operator has its own ClusterRole and nothing else."""
CONTROLLERS = (
    "disruption",
    "endpoints",
    "endpointslice",
    "garbage-collector",
    "job",
    "namespace",
    "node-lifecycle",
    "pod-garbage-collector",
    "root-ca-certificate-publisher",
    "serviceaccount",
    "serviceaccount-token",
    "taint-eviction",
)
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, where this yaml has it."""
APPLY = {"Content-Type": "application/apply-patch+yaml"}
STAGES = ("node/fast/node-initialize.yaml", "pod/fast/pod-ready.yaml", "pod/fast/pod-complete.yaml")
STAGES_OF_THE_END = ("pod/fast/pod-delete.yaml",)
Object = dict[str, Any]


@dataclass(frozen=True)
class Plane:
    """A control plane in `folder`; `number` tells it from others in the same namespace."""

    name: str
    folder: Path
    number: int = 0
    address: str = LOOPBACK
    """Where it listens. Pods of real nodes need one that they can reach; those of simulated ones reach nothing."""

    def start(self, pools: Iterable[Pool] = ()) -> None:
        """Everything, in order; comes back when the operator works."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._certificates()
        self._tokens()
        self._keep("etcd")
        self.start_api_server()
        self._write_kubeconfigs()
        self._keep("controllers")
        self._keep("scheduler")
        self._kinds()
        for pool in pools:
            self.add_nodes(pool)
        if not self._real:
            self._keep("kwok")
        self.start_operator()
        self._wait(
            "the default service account", lambda: self.get("/api/v1/namespaces/default/serviceaccounts/default")
        )

    def start_api_server(self) -> None:
        self._keep("api-server")

    def start_operator(self) -> None:
        self._keep("operator")

    def add_nodes(self, pool: Pool) -> None:
        """As a node pool brings them."""
        taken = len(self.get("/api/v1/nodes")["items"])
        pods = [f"10.{244 + self.number}.{taken + i + 1}.0/24" for i in range(pool.count)]
        for node in pool.nodes(self.name, pods):
            self.apply(node)
            self.apply({**node, "status": node["status"]}, "/status")

    def kill(self, what: str) -> None:
        """kill -9 of one of its programs: `api-server`, `operator` ..."""
        pid = self._pids()[what]
        os.kill(pid, signal.SIGKILL)
        _gone(pid)

    def stop(self) -> None:
        """End everything, forget everything."""
        pids = self._pids() if (self.folder / "pids.json").exists() else {}
        for pid in reversed([pid for pid in pids.values() if _ours(pid)]):
            os.kill(pid, signal.SIGKILL)  # what it keeps is thrown away
            _gone(pid)
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, path: str) -> Any:
        """An object or a list; None where there is none. Raises what httpx2 raises."""
        reply = self.http.get(path)
        return None if reply.status_code == 404 else reply.raise_for_status().json()

    def apply(self, body: Object, sub: str = "") -> Object:
        """Server-side apply as admin. Raises AssertionError with the server's words."""
        kind = body["kind"].lower()
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
        version, metadata = body["apiVersion"], body["metadata"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        inside = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        reply = self.http.patch(
            f"{base}{inside}/{plural}/{metadata['name']}{sub}",
            params={"fieldManager": "rig", "force": "true"},
            content=json.dumps(body),
            headers=APPLY,
        )
        assert not reply.is_error, reply.text
        return reply.json()

    @cached_property
    def http(self) -> httpx2.Client:
        """As admin."""
        at = self.access
        return httpx2.Client(
            base_url=at["server"],
            headers={"Authorization": f"Bearer {at['token']}"},
            verify=ssl.create_default_context(cafile=at["ca"]),
            trust_env=False,
            timeout=30,
        )

    @property
    def access(self) -> dict[str, str]:
        """What clusters.json says of it."""
        tokens = json.loads((self.folder / "tokens.json").read_text())
        kubeconfig = str(self.folder / "admin.kubeconfig")
        return {
            "server": self._server,
            "token": tokens["admin"],
            "ca": str(self.ca),
            "kubeconfig": kubeconfig,
        }

    @property
    def ca(self) -> Path:
        """The authority that signed the server's certificate."""
        return self.folder / "ca.crt"

    @cached_property
    def _ports(self) -> dict[str, int]:
        file = self.folder / "ports.json"
        if not file.exists():
            names = ("etcd", "peer", "api-server", "controllers", "scheduler", "kwok", "metrics", "health")
            sockets = [socket.socket() for _ in names]
            for each in sockets:
                each.bind((LOOPBACK, 0))
            file.write_text(json.dumps(dict(zip(names, (s.getsockname()[1] for s in sockets), strict=True))))
            for each in sockets:
                each.close()
        return json.loads(file.read_text())

    @property
    def _server(self) -> str:
        return f"https://{self.address}:{self._ports['api-server']}"

    @property
    def _real(self) -> bool:
        return self.address != LOOPBACK

    @property
    def users(self) -> dict[str, tuple[str, str]]:
        """Token owners: user and group."""
        return USERS

    def _certificates(self) -> None:
        f = self.folder
        ca = ["-subj", "/CN=rig", "-addext", "basicConstraints=critical,CA:TRUE"]
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *ca, *_out(f, "ca"))
        known = f"IP:{self.address},IP:{KUBERNETES},DNS:localhost,DNS:kubernetes.default.svc"
        names = ["-addext", f"subjectAltName={known}", "-subj", "/CN=kube-apiserver"]
        signed = ["-CA", str(f / "ca.crt"), "-CAkey", str(f / "ca.key"), "-addext", "basicConstraints=CA:FALSE"]
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *signed, *_out(f, "tls"))
        _openssl("genrsa", "-out", str(f / "sa.key"), "2048")
        _openssl("rsa", "-in", str(f / "sa.key"), "-pubout", "-out", str(f / "sa.pub"))

    def _tokens(self) -> None:
        tokens = {who: secrets.token_hex(16) for who in self.users}
        rows = [f'{tokens[who]},{user},{who},"{group}"' for who, (user, group) in self.users.items()]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n")
        (self.folder / "tokens.json").write_text(json.dumps(tokens))

    def _write_kubeconfigs(self) -> None:
        ca = base64.b64encode(self.ca.read_bytes()).decode()
        for who, token in json.loads((self.folder / "tokens.json").read_text()).items():
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "rig", "cluster": {"server": self._server, "certificate-authority-data": ca}}],
                "users": [{"name": who, "user": {"token": token}}],
                "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": who}}],
                "current-context": "rig",
            }
            (self.folder / f"{who}.kubeconfig").write_text(json.dumps(config))

    def _kinds(self) -> None:
        share = builds.CONTROL_PLANE.folder / "share"
        files = [*(share / "kuberay" / "crd" / "bases").glob("*.yaml"), *(share / "gateway-api").glob("*.yaml")]
        found = [each for file in sorted(files) for each in yaml.load_all(file.read_text(), Loader=FAST)]
        kinds = [each for each in found if each and each["kind"] == "CustomResourceDefinition"]
        for each in (*kinds, *gke_crds.definitions()):
            each.pop("status", None)
            # Some are of a megabyte, which server-side apply reads as YAML, slowly.
            self.http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=each).raise_for_status()
        for name in (each["metadata"]["name"] for each in kinds):
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
            self._wait(name, lambda path=path: _established(self.get(path)))
        role = yaml.safe_load((share / "kuberay" / "rbac" / "role.yaml").read_text())
        self.apply(role)
        subject = {"kind": "ServiceAccount", "name": "kuberay-operator", "namespace": "kuberay"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["metadata"]["name"]}
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "roleRef": reference}
        self.apply({**binding, "metadata": {"name": "kuberay-operator"}, "subjects": [subject]})

    def _keep(self, what: str) -> None:
        """Start one program and wait until it answers."""
        command, url = self._command(what)
        process = self._spawn(what, command)

        def answers() -> bool:
            assert process.poll() is None, f"{what} of {self.name} ended: {_tail(self.folder / f'{what}.log')}"
            return self._answers(what, url)

        self._wait(what, answers)

    def _answers(self, _what: str, url: str) -> bool:
        return _ok(url, self._admin())

    def _spawn(self, what: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start one program, and remember it. `command[0]` is one of ours, or a path."""
        log = (self.folder / f"{what}.log").open("ab")
        process = subprocess.Popen(
            [str(builds.CONTROL_PLANE.folder / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=self.folder,
            env=self.environment,
        )
        (self.folder / "pids.json").write_text(json.dumps({**self._pids(), what: process.pid}))
        return process

    @property
    def environment(self) -> dict[str, str]:
        """Of its programs."""
        own = {"HOME": str(self.folder), "KUBECONFIG": self._config("operator"), "CLUSTER_DOMAIN": "cluster.local"}
        return {"PATH": "/usr/bin:/bin", "GOGC": "400", **own}  # memory for time: Go collects less often

    @property
    def _controllers(self) -> Iterable[str]:
        """Of real nodes all that can work; of simulated ones what this stack or KubeRay relies on."""
        others = ("*", "-node-ipam-controller", "-persistentvolume-attach-detach-controller")
        return others if self._real else (f"{each}-controller" for each in CONTROLLERS)

    def _admin(self) -> str:
        return json.loads((self.folder / "tokens.json").read_text())["admin"]

    def _config(self, who: str) -> str:
        return str(self.folder / f"{who}.kubeconfig")

    def _pids(self) -> dict[str, int]:
        file = self.folder / "pids.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def _command(self, what: str) -> tuple[list[str], str]:
        """Words, and what to ask to know that it works."""
        ports, f = self._ports, self.folder
        etcd, peer = (f"http://{LOOPBACK}:{ports[name]}" for name in ("etcd", "peer"))
        serving = [f"--bind-address={LOOPBACK}", "--profiling=false"]
        match what:
            case "etcd":
                client = [f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}"]
                peers = [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
                words = [f"--data-dir={f / 'etcd'}", *client, *peers, f"--initial-cluster=default={peer}"]
                return ["etcd", *words, "--unsafe-no-fsync", "--log-level=warn"], f"{etcd}/health"
            case "api-server":
                account = [
                    f"--service-account-issuer={self._server}",
                    f"--service-account-key-file={f / 'sa.pub'}",
                    f"--service-account-signing-key-file={f / 'sa.key'}",
                ]
                tls = [f"--tls-cert-file={f / 'tls.crt'}", f"--tls-private-key-file={f / 'tls.key'}"]
                words = [
                    f"--etcd-servers={etcd}",
                    f"--bind-address={self.address}",
                    f"--advertise-address={self.address}",
                    *(() if self._real else ("--endpoint-reconciler-type=none",)),
                    "--kubelet-preferred-address-types=InternalIP",
                    f"--secure-port={ports[what]}",
                    f"--cert-dir={f / 'certificates'}",
                    f"--service-cluster-ip-range={SERVICES}",
                    f"--token-auth-file={f / 'tokens.csv'}",
                    "--authorization-mode=Node,RBAC",
                    "--enable-admission-plugins=NodeRestriction",
                    "--allow-privileged=true",
                    "--profiling=false",
                ]
                return ["kube-apiserver", *words, *account, *tls], f"{self._server}/readyz"
            case "controllers":
                words = [
                    f"--kubeconfig={self._config('controllers')}",
                    f"--secure-port={ports[what]}",
                    f"--cert-dir={f / 'certificates-controllers'}",
                    "--leader-elect=false",
                    f"--service-account-private-key-file={f / 'sa.key'}",
                    f"--root-ca-file={f / 'ca.crt'}",
                    "--use-service-account-credentials=true",
                    f"--controllers={','.join(self._controllers)}",
                ]
                return ["kube-controller-manager", *words, *serving], f"https://{LOOPBACK}:{ports[what]}/healthz"
            case "scheduler":
                words = [
                    f"--kubeconfig={self._config('scheduler')}",
                    f"--secure-port={ports[what]}",
                    f"--cert-dir={f / 'certificates-scheduler'}",
                    "--leader-elect=false",
                ]
                return ["kube-scheduler", *words, *serving], f"https://{LOOPBACK}:{ports[what]}/healthz"
            case "kwok":
                stages = builds.CONTROL_PLANE.folder / "share" / "kwok"
                words = [
                    f"--kubeconfig={self._config('kwok')}",
                    "--manage-all-nodes=true",
                    f"--server-address={LOOPBACK}:{ports[what]}",
                    f"--cidr=10.{244 + self.number}.0.0/16",
                    f"--node-ip=10.{244 + self.number}.255.1",
                    "--node-lease-duration-seconds=40",
                    *(f"--config={stages / stage}" for stage in (*STAGES, *STAGES_OF_THE_END)),
                ]
                return ["kwok", *words], f"http://{LOOPBACK}:{ports[what]}/healthz"
            case _:
                words = [
                    "--enable-leader-election=false",
                    "--use-kubernetes-proxy",
                    f"--metrics-addr={LOOPBACK}:{ports['metrics']}",
                    f"--health-probe-bind-address={LOOPBACK}:{ports['health']}",
                    "--log-stdout-encoder=console",
                ]
                return ["kuberay-operator", *words], f"http://{LOOPBACK}:{ports['health']}/readyz"

    def _wait(self, what: str, there: Callable[[], Any]) -> None:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            if there():
                return
            time.sleep(0.1)
        raise AssertionError(f"{what} of {self.name} was not there after {LIMIT_S} s")


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _out(folder: Path, name: str) -> list[str]:
    return ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]


def _ok(url: str, token: str) -> bool:
    try:
        # Controllers and scheduler sign their own certificates; nothing is sent to them that matters.
        return httpx2.get(url, headers={"Authorization": f"Bearer {token}"}, verify=False, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def _established(kind: Object | None) -> bool:
    conditions = (kind or {}).get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _ours(pid: int) -> bool:
    """Whether the process is still the one that was started: pids come again."""
    try:
        program = str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False
    return program.startswith(str(builds.CONTROL_PLANE.folder))


def _gone(pid: int) -> None:
    for _ in range(100):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            if not Path(f"/proc/{pid}").exists():
                return
        time.sleep(0.05)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])
