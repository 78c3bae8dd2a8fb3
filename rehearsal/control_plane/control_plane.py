"""One cluster's control plane: etcd, API server, controllers, scheduler, simulated nodes and the KubeRay operator.

Everything listens on 127.0.0.1 of the network namespace that it runs in. All files are in one folder. Its pids.json
lists the processes that were started, and no other process is ever ended.
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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
import yaml

from rehearsal.control_plane import builds, gke_crds
from rehearsal.control_plane.nodes import SimulatedNodePool
from rehearsal.control_plane.programs import KUBERNETES_SERVICE_IP, LOOPBACK, PORTS, PROGRAMS, Invocation

START_TIMEOUT_S = 120
API_USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kuberay-operator": ("system:serviceaccount:kuberay:kuberay-operator", ""),
    "kwok": ("kwok", "system:masters"),
}
"""Owner of a token -> its Kubernetes user and group. The operator has KubeRay's own ClusterRole and nothing else."""
CONTEXT = "rehearsal"
"""Cluster and context in the kubeconfigs, and the field manager of `apply`."""
CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader, if this yaml has it."""
APPLY_HEADERS = {"Content-Type": "application/apply-patch+yaml"}
Object = dict[str, Any]


@dataclass(frozen=True)
class ControlPlane:
    """A control plane in `folder`. `index` tells it from others in the same network namespace."""

    name: str
    folder: Path
    index: int = 0
    address: str = LOOPBACK
    """Where the API server listens. Pods of real nodes need an address that they can reach."""
    real_nodes: bool = False
    """True if kubelets run the nodes; otherwise kwok simulates nodes and pods."""

    def start(self, pools: Iterable[SimulatedNodePool] = ()) -> None:
        """Start every program in order, and return when the operator is ready. Raises `AssertionError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_certificates()
        self._write_tokens()
        self.start_program("etcd")
        self.start_program("kube-apiserver")
        self._write_kubeconfigs()
        self.start_program("kube-controller-manager")
        self.start_program("kube-scheduler")
        self._create_crds()
        self._grant_operator_role()
        for pool in pools:
            self.add_nodes(pool)
        if not self.real_nodes:
            self.start_program("kwok")
        self.start_program("kuberay-operator")
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self.wait_for("the default service account", lambda: self.get(account))

    def start_program(self, name: str) -> None:
        """Start one program, and return when it is ready. Raises `AssertionError` if it ends or takes too long."""
        invocation = self.programs[name](self)
        process = self._spawn(name, invocation)

        def is_ready() -> bool:
            assert process.poll() is None, f"{name} of {self.name} ended: {_tail(self.folder / f'{name}.log')}"
            return self._is_ready(name, invocation)

        self.wait_for(name, is_ready)

    def add_nodes(self, pool: SimulatedNodePool) -> None:
        """Create the nodes of a node pool."""
        existing = len(self.get("/api/v1/nodes")["items"])
        pod_cidrs = [f"10.{244 + self.index}.{existing + i + 1}.0/24" for i in range(pool.count)]
        for node in pool.nodes(self.name, pod_cidrs):
            self.apply(node)
            self.apply({**node, "status": node["status"]}, "/status")

    def kill(self, program: str) -> None:
        """End one program with kill -9, by its name in `programs`."""
        _kill(self.pids()[program])

    def stop(self) -> None:
        """End every program, and delete the folder."""
        for pid in reversed([pid for pid in self.pids().values() if _is_our_program(pid)]):
            _kill(pid)  # its data is deleted, so it need not end in order
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, path: str) -> Any:
        """Return an object or a list as admin, or None if there is none. Raises `httpx2.HTTPError`."""
        reply = self.http.get(path)
        return None if reply.status_code == 404 else reply.raise_for_status().json()

    def apply(self, body: Object, subresource: str = "") -> Object:
        """Apply an object on the server as admin. Raises `AssertionError` with the server's message."""
        kind = body["kind"].lower()
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
        version, metadata = body["apiVersion"], body["metadata"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        reply = self.http.patch(
            f"{base}{namespace}/{plural}/{metadata['name']}{subresource}",
            params={"fieldManager": CONTEXT, "force": "true"},
            content=json.dumps(body),
            headers=APPLY_HEADERS,
        )
        assert not reply.is_error, reply.text
        return reply.json()

    def wait_for(self, what: str, condition: Callable[[], Any]) -> None:
        """Wait until `condition` returns something true. Raises `AssertionError` after START_TIMEOUT_S."""
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.1)
        raise AssertionError(f"{what} of {self.name} is not ready after {START_TIMEOUT_S} s")

    @cached_property
    def http(self) -> httpx2.Client:
        """A client that calls the API server as admin."""
        return httpx2.Client(
            base_url=self.server,
            headers={"Authorization": f"Bearer {self._tokens()['admin']}"},
            verify=ssl.create_default_context(cafile=str(self.ca)),
            trust_env=False,
            timeout=30,
        )

    @property
    def access(self) -> dict[str, str]:
        """The entry for this control plane in control-planes.json: server, admin's token, CA file, kubeconfig file."""
        return {
            "server": self.server,
            "token": self._tokens()["admin"],
            "ca": str(self.ca),
            "kubeconfig": self.kubeconfig("admin"),
        }

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the server's certificate."""
        return self.folder / "ca.crt"

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.address}:{self.ports['kube-apiserver']}"

    @cached_property
    def ports(self) -> dict[str, int]:
        """Free ports, chosen once and kept in the folder."""
        file = self.folder / "ports.json"
        if not file.exists():
            sockets = [socket.socket() for _ in PORTS]
            for each in sockets:
                each.bind((LOOPBACK, 0))
            file.write_text(json.dumps(dict(zip(PORTS, (s.getsockname()[1] for s in sockets), strict=True))))
            for each in sockets:
                each.close()
        return json.loads(file.read_text())

    def kubeconfig(self, user: str) -> str:
        """Return the path of a user's kubeconfig."""
        return str(self.folder / f"{user}.kubeconfig")

    def pids(self) -> dict[str, int]:
        """Return the pid of each program that was started."""
        file = self.folder / "pids.json"
        return json.loads(file.read_text()) if file.exists() else {}

    @property
    def programs(self) -> Mapping[str, Callable[[Any], Invocation]]:
        """The invocations of the programs that this control plane can start."""
        return PROGRAMS

    @property
    def api_users(self) -> dict[str, tuple[str, str]]:
        """Owner of a token -> its Kubernetes user and group."""
        return API_USERS

    @property
    def program_env(self) -> dict[str, str]:
        """Environment variables of the programs."""
        return {
            "PATH": "/usr/bin:/bin",
            "GOGC": "400",  # Go collects garbage less often: memory for time
            "HOME": str(self.folder),
            "KUBECONFIG": self.kubeconfig("kuberay-operator"),
            "CLUSTER_DOMAIN": "cluster.local",
        }

    def _write_certificates(self) -> None:
        folder = self.folder
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        ca = ["-subj", f"/CN={CONTEXT}", "-addext", "basicConstraints=critical,CA:TRUE"]
        _openssl(*new, *ca, *_output_files(folder, "ca"))
        names = f"IP:{self.address},IP:{KUBERNETES_SERVICE_IP},DNS:localhost,DNS:kubernetes.default.svc"
        server = ["-addext", f"subjectAltName={names}", "-subj", "/CN=kube-apiserver"]
        signed = ["-CA", str(self.ca), "-CAkey", str(folder / "ca.key"), "-addext", "basicConstraints=CA:FALSE"]
        _openssl(*new, *server, *signed, *_output_files(folder, "tls"))
        _openssl("genrsa", "-out", str(folder / "sa.key"), "2048")
        _openssl("rsa", "-in", str(folder / "sa.key"), "-pubout", "-out", str(folder / "sa.pub"))

    def _write_tokens(self) -> None:
        tokens = {owner: secrets.token_hex(16) for owner in self.api_users}
        rows = [f'{tokens[owner]},{user},{owner},"{group}"' for owner, (user, group) in self.api_users.items()]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n")
        (self.folder / "tokens.json").write_text(json.dumps(tokens))

    def _tokens(self) -> dict[str, str]:
        return json.loads((self.folder / "tokens.json").read_text())

    def _write_kubeconfigs(self) -> None:
        ca = base64.b64encode(self.ca.read_bytes()).decode()
        cluster = {"server": self.server, "certificate-authority-data": ca}
        for user, token in self._tokens().items():
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": CONTEXT, "cluster": cluster}],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
                "current-context": CONTEXT,
            }
            Path(self.kubeconfig(user)).write_text(json.dumps(config))

    def _create_crds(self) -> None:
        """Create KubeRay's and the Gateway API's CRDs and the stand-ins for GKE's; wait until the real ones are
        established."""
        share = builds.CONTROL_PLANE.folder / "share"
        files = [*(share / "kuberay" / "crd" / "bases").glob("*.yaml"), *(share / "gateway-api").glob("*.yaml")]
        documents = [each for file in sorted(files) for each in yaml.load_all(file.read_text(), Loader=YAML_LOADER)]
        crds = [each for each in documents if each and each["kind"] == "CustomResourceDefinition"]
        for crd in (*crds, *gke_crds.crds()):
            crd.pop("status", None)
            # Some have a megabyte, which server-side apply would read as YAML, slowly.
            self.http.post(CRDS_PATH, json=crd).raise_for_status()
        for name in (crd["metadata"]["name"] for crd in crds):
            self.wait_for(name, lambda name=name: _is_established(self.get(f"{CRDS_PATH}/{name}")))

    def _grant_operator_role(self) -> None:
        """Bind the ClusterRole that KubeRay ships to its operator's service account."""
        role = yaml.safe_load((builds.CONTROL_PLANE.folder / "share/kuberay/rbac/role.yaml").read_text())
        self.apply(role)
        subject = {"kind": "ServiceAccount", "name": "kuberay-operator", "namespace": "kuberay"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["metadata"]["name"]}
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "roleRef": reference}
        self.apply({**binding, "metadata": {"name": "kuberay-operator"}, "subjects": [subject]})

    def _is_ready(self, name: str, invocation: Invocation) -> bool:
        """Return True if a program that runs answers at its health URL."""
        headers = {"Authorization": f"Bearer {self._tokens()['admin']}"}
        try:
            # Controllers and scheduler sign their own certificates; the request contains nothing that matters.
            return httpx2.get(invocation.health_url, headers=headers, verify=False, trust_env=False).is_success
        except httpx2.HTTPError:
            return False

    def _spawn(self, name: str, invocation: Invocation) -> subprocess.Popen[bytes]:
        """Start a program, and write its pid to pids.json."""
        program, *arguments = invocation.command
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(builds.CONTROL_PLANE.folder / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env=self.program_env,
            )
        (self.folder / "pids.json").write_text(json.dumps({**self.pids(), name: process.pid}))
        return process


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _output_files(folder: Path, name: str) -> list[str]:
    return ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]


def _is_established(crd: Object | None) -> bool:
    conditions = (crd or {}).get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _is_our_program(pid: int) -> bool:
    """Return True if a process runs a program of builds.CONTROL_PLANE: the kernel may use a pid a second time."""
    try:
        program = str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False
    return program.startswith(str(builds.CONTROL_PLANE.folder))


def _kill(pid: int) -> None:
    """End a process with kill -9, and wait up to 5 s until it is gone."""
    os.kill(pid, signal.SIGKILL)
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
