"""The command line of each program of a control plane: one function a program, and the table PROGRAMS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rehearsal.control_plane import builds

if TYPE_CHECKING:
    from rehearsal.control_plane.control_plane import ControlPlane

LOOPBACK = "127.0.0.1"
SERVICE_CIDR, KUBERNETES_SERVICE_IP = "10.96.0.0/16", "10.96.0.1"
"""Addresses of Services, and the address of the API server's own Service."""
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
"""Controllers that this stack or KubeRay relies on, for clusters with simulated nodes."""
CONTROLLERS_OF_REAL_NODES = ("*", "-node-ipam-controller", "-persistentvolume-attach-detach-controller")
"""All controllers but those that cannot work here, for clusters with real nodes."""
KWOK_STAGES = (
    "node/fast/node-initialize.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)
PORTS = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "kuberay-metrics",
    "kuberay-health",
)
"""Names of the ports that the programs listen on."""


@dataclass(frozen=True)
class Invocation:
    """How to start a program, and the URL that answers when it is ready.

    The first word of `command` is a program of builds.CONTROL_PLANE, or an absolute path.
    """

    command: list[str]
    health_url: str = ""


def _etcd(plane: ControlPlane) -> Invocation:
    client, peer = (f"http://{LOOPBACK}:{plane.ports[name]}" for name in ("etcd", "etcd-peer"))
    return Invocation(
        [
            "etcd",
            f"--data-dir={plane.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
        f"{client}/health",
    )


def _kube_apiserver(plane: ControlPlane) -> Invocation:
    folder = plane.folder
    return Invocation(
        [
            "kube-apiserver",
            f"--etcd-servers=http://{LOOPBACK}:{plane.ports['etcd']}",
            f"--bind-address={plane.address}",
            f"--advertise-address={plane.address}",
            *(() if plane.real_nodes else ("--endpoint-reconciler-type=none",)),
            "--kubelet-preferred-address-types=InternalIP",
            f"--secure-port={plane.ports['kube-apiserver']}",
            f"--cert-dir={folder / 'certificates'}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--profiling=false",
            f"--service-account-issuer={plane.server}",
            f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            f"--tls-cert-file={folder / 'tls.crt'}",
            f"--tls-private-key-file={folder / 'tls.key'}",
        ],
        f"{plane.server}/readyz",
    )


def _kube_controller_manager(plane: ControlPlane) -> Invocation:
    simulated = [f"{name}-controller" for name in CONTROLLERS]
    return _kube_component(
        plane,
        "kube-controller-manager",
        f"--service-account-private-key-file={plane.folder / 'sa.key'}",
        f"--root-ca-file={plane.folder / 'ca.crt'}",
        "--use-service-account-credentials=true",
        f"--controllers={','.join(CONTROLLERS_OF_REAL_NODES if plane.real_nodes else simulated)}",
    )


def _kube_scheduler(plane: ControlPlane) -> Invocation:
    return _kube_component(plane, "kube-scheduler")


def _kube_component(plane: ControlPlane, name: str, *options: str) -> Invocation:
    """Return the invocation of the controller manager or the scheduler, which share most options."""
    return Invocation(
        [
            name,
            f"--kubeconfig={plane.kubeconfig(name)}",
            f"--secure-port={plane.ports[name]}",
            f"--cert-dir={plane.folder / f'certificates-{name}'}",
            "--leader-elect=false",
            *options,
            f"--bind-address={LOOPBACK}",
            "--profiling=false",
        ],
        f"https://{LOOPBACK}:{plane.ports[name]}/healthz",
    )


def _kwok(plane: ControlPlane) -> Invocation:
    stages = builds.CONTROL_PLANE.folder / "share" / "kwok"
    address = f"{LOOPBACK}:{plane.ports['kwok']}"
    return Invocation(
        [
            "kwok",
            f"--kubeconfig={plane.kubeconfig('kwok')}",
            "--manage-all-nodes=true",
            f"--server-address={address}",
            f"--cidr=10.{244 + plane.index}.0.0/16",
            f"--node-ip=10.{244 + plane.index}.255.1",
            "--node-lease-duration-seconds=40",
            *(f"--config={stages / stage}" for stage in KWOK_STAGES),
        ],
        f"http://{address}/healthz",
    )


def _kuberay_operator(plane: ControlPlane) -> Invocation:
    """Its kubeconfig is the variable KUBECONFIG (ControlPlane.program_env)."""
    health = f"{LOOPBACK}:{plane.ports['kuberay-health']}"
    return Invocation(
        [
            "kuberay-operator",
            "--enable-leader-election=false",
            "--use-kubernetes-proxy",
            f"--metrics-addr={LOOPBACK}:{plane.ports['kuberay-metrics']}",
            f"--health-probe-bind-address={health}",
            "--log-stdout-encoder=console",
        ],
        f"http://{health}/readyz",
    )


PROGRAMS: Mapping[str, Callable[[Any], Invocation]] = {
    "etcd": _etcd,
    "kube-apiserver": _kube_apiserver,
    "kube-controller-manager": _kube_controller_manager,
    "kube-scheduler": _kube_scheduler,
    "kwok": _kwok,
    "kuberay-operator": _kuberay_operator,
}
"""Program -> its invocation for a ControlPlane."""
