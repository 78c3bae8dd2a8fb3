"""The programs that run a node beside its control plane: one function a program, and their configuration files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rehearsal.control_plane.programs import LOOPBACK, PROGRAMS, Invocation
from tests.harness.node import debian, host
from tests.harness.node.builds import NODE
from tests.harness.node.images import PAUSE_IMAGE

if TYPE_CHECKING:
    from tests.harness.node.node import SingleNodeCluster

CONTAINERD = "/run/containerd/containerd.sock"
REDIS_PORT = 6379
REDIS_PASSWORD = "test-redis"
"""Nothing outside the namespaces can reach this Redis."""
DISABLED_PLUGINS = (
    "nri.v1.nri",
    "snapshotter.v1.devmapper",
    "snapshotter.v1.zfs",
    "snapshotter.v1.btrfs",
    "snapshotter.v1.blockfile",
    "snapshotter.v1.erofs",
    "internal.v1.tracing",
)
"""containerd's plugins that a node of this size does not need."""
CNI_CONFIG = {
    "cniVersion": "1.0.0",
    "name": host.NODE_NAME,
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni-ipam",
                "ranges": [[{"subnet": host.POD_CIDR}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}


def _redis(cluster: SingleNodeCluster) -> Invocation:
    options = ["--bind", host.REDIS_ADDRESS, "--requirepass", REDIS_PASSWORD, "--appendonly", "yes"]
    return Invocation([str(debian.program_path("redis-server")), *options, "--dir", str(cluster.folder)])


def _containerd(cluster: SingleNodeCluster) -> Invocation:
    return Invocation([str(NODE.folder / "containerd"), "--config", str(cluster.folder / "containerd.toml")])


def _kubelet(cluster: SingleNodeCluster) -> Invocation:
    return Invocation(
        [
            str(NODE.folder / "kubelet"),
            f"--config={cluster.folder / 'kubelet.json'}",
            f"--kubeconfig={cluster.kubeconfig('kubelet')}",
            f"--hostname-override={host.NODE_NAME}",
            f"--node-ip={cluster.address}",
        ],
        f"http://{LOOPBACK}:10248/healthz",
    )


def _kube_proxy(cluster: SingleNodeCluster) -> Invocation:
    return Invocation(
        [
            str(NODE.folder / "kube-proxy"),
            f"--kubeconfig={cluster.kubeconfig('kube-proxy')}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={host.POD_CIDR}",
            f"--hostname-override={host.NODE_NAME}",
            # These sysctls are the whole computer's: leave them unchanged.
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
            f"--healthz-bind-address={LOOPBACK}:10256",
            f"--metrics-bind-address={LOOPBACK}:10249",
        ],
        f"http://{LOOPBACK}:10249/healthz",
    )


def _coredns(cluster: SingleNodeCluster) -> Invocation:
    return Invocation(
        [str(NODE.folder / "coredns"), "-conf", str(cluster.folder / "Corefile")], f"http://{LOOPBACK}:8181/ready"
    )


NODE_PROGRAMS: Mapping[str, Callable[[Any], Invocation]] = {
    **PROGRAMS,
    "redis": _redis,
    "containerd": _containerd,
    "kubelet": _kubelet,
    "kube-proxy": _kube_proxy,
    "coredns": _coredns,
}
"""Program -> its invocation for a SingleNodeCluster; with those of the control plane."""


def containerd_config(cluster: SingleNodeCluster) -> str:
    """Return containerd's configuration, in TOML."""
    return f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [{", ".join(f'"io.containerd.{each}"' for each in DISABLED_PLUGINS)}]
[grpc]
  address = "{CONTAINERD}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  base_runtime_spec = "{cluster.folder}/containerd.json"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "{debian.program_path("runc")}"
  SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{debian.program_path("host-local").parent}"]
  conf_dir = "{cluster.folder}/cni"
"""


def kubelet_config(cluster: SingleNodeCluster) -> dict[str, Any]:
    """Return the kubelet's configuration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{host.cgroup_name(cluster.folder)}",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
        "address": cluster.address,
        "healthzBindAddress": LOOPBACK,
        "clusterDNS": [host.DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "failSwapOn": False,
        "cpuCFSQuota": False,  # limits are for the simulated number of CPUs
        "enforceNodeAllocatable": [],
        # As on GKE, except that a node is schedulable again soon after the pressure ends.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"},
        "evictionPressureTransitionPeriod": "10s",
        "imageMaximumGCAge": "0s",
        "imageGCHighThresholdPercent": 100,
        "resolvConf": str(cluster.folder / "resolv.conf"),
        "nodeStatusUpdateFrequency": "5s",
    }


def corefile(cluster: SingleNodeCluster) -> str:
    """Return CoreDNS's configuration."""
    return f""".:53 {{
  bind {host.DNS_ADDRESS}
  errors
  cache 2
  ready {LOOPBACK}:8181
  kubernetes cluster.local {{
    kubeconfig {cluster.kubeconfig("coredns")}
    ttl 1
  }}
}}
"""
