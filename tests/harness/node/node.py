"""A cluster of one real node: a control plane, and kubelet, containerd, kube-proxy, CoreDNS and Redis beside it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.google.scheduling import GPU_TAINT, POOL_LABEL
from rehearsal.control_plane import builds
from rehearsal.control_plane.control_plane import USERS, Plane
from tests.harness.node import debian, host, images
from tools.bootstrap.venvs import RAY

POOL = "node"
"""Its pool: head and workers share the one node."""
GPUS = 8
"""That it says it has."""
CONTAINERD = "/run/containerd/containerd.sock"
REDIS_PORT = 6379
PASSWORD = "rig-redis"
"""Of a Redis that nobody outside the namespaces can reach."""
RAY_IMAGE = "docker.io/rayproject/ray-llm:rig"
NEXT_IMAGE = "docker.io/rayproject/ray-llm-next:rig"
"""The same under another digest, for a release to be raised to."""
VARIABLES = {
    # vLLM on a CPU that it shares with everything else; no network to look for anything in.
    "LANG": "C.UTF-8",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",  # pretended GPUs: there is no device to make visible
    "PYTHONDONTWRITEBYTECODE": "1",  # nor a folder of its own to write it to
}
"""In the Ray image."""


@dataclass(frozen=True)
class Node(Plane):
    """In the namespaces that machine.py has prepared. `environment` holds Ray and vLLM, `model` is a folder."""

    address: str = host.ADDRESS
    ray: Path = Path()
    model: Path = Path()

    @property
    def users(self) -> dict[str, tuple[str, str]]:
        own = {
            "kubelet": (f"system:node:{host.NAME}", "system:nodes"),
            "proxy": ("system:kube-proxy", ""),
            "dns": ("dns", "system:masters"),
        }
        return {**USERS, **own}

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "PATH": f"{builds.NODE.folder}:{debian.search_path()}",
            "LD_LIBRARY_PATH": debian.libraries(),
        }

    def start_node(self) -> None:
        """Everything beside the control plane; comes back when pods can run."""
        f = self.folder
        (f / "containerd.json").write_text(json.dumps(self._base()))
        (f / "containerd.toml").write_text(self._containerd())
        (f / "cni").mkdir()
        (f / "cni" / "10-rig.conflist").write_text(json.dumps(NETWORK))
        (f / "kubelet.json").write_text(json.dumps(self._kubelet()))
        (f / "Corefile").write_text(COREFILE.format(folder=f))
        self._keep("redis")
        self._keep("containerd")
        found = images.archive(
            [
                images.pause(builds.NODE.folder / "pause"),
                images.ray(RAY_IMAGE, self.ray, VARIABLES),
                images.ray(NEXT_IMAGE, self.ray, {**VARIABLES, "RAYLLM_RELEASE": "next"}),
            ],
            f / "images.tar",
        )
        (f / "images.json").write_text(json.dumps(found))
        self.ctr("images", "import", "--local", str(f / "images.tar"))
        for program in ("kubelet", "kube-proxy", "coredns"):
            self._keep(program)
        self._wait("the node", self._ready)
        patch = {"metadata": {"labels": LABELS}, "spec": {"taints": [TAINT]}}
        self._patch("", patch)
        self._patch("/status", {"status": {each: {GPU_TAINT.key: str(GPUS)} for each in ("capacity", "allocatable")}})

    def restart(self, what: str) -> None:
        """Start one program again after `kill`."""
        self._keep(what)

    @contextmanager
    def without_image(self) -> Iterator[None]:
        """No registry has it any more, and this node neither: what runs goes on."""
        names = [name for name in self.ctr("images", "list", "--quiet").split() if self.image.split("@")[0] in name]
        self.ctr("images", "remove", *names)
        try:
            yield
        finally:
            self.ctr("images", "import", "--local", str(self.folder / "images.tar"))

    def ctr(self, *words: str) -> str:
        """containerd's own client, in Kubernetes' namespace."""
        done = subprocess.run([*self._ctr, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def image(self) -> str:
        """Reference of the Ray image, by digest."""
        return self._reference(RAY_IMAGE)

    @property
    def next_image(self) -> str:
        """Of the one that a release is raised to."""
        return self._reference(NEXT_IMAGE)

    def _reference(self, name: str) -> str:
        return json.loads((self.folder / "images.json").read_text())[name.rpartition(":")[0]]

    def _answers(self, what: str, url: str) -> bool:
        match what:
            case "containerd":
                return subprocess.run([*self._ctr, "version"], capture_output=True).returncode == 0
            case "redis":
                with socket.socket() as probe:
                    return probe.connect_ex((host.REDIS, REDIS_PORT)) == 0
            case _:
                return super()._answers(what, url)

    @property
    def _ctr(self) -> list[str]:
        return [str(builds.NODE.folder / "ctr"), "--address", CONTAINERD, "--namespace", "k8s.io"]

    def _ready(self) -> bool:
        node = self.get(f"/api/v1/nodes/{host.NAME}")
        conditions = (node or {}).get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _patch(self, sub: str, body: Mapping[str, Any]) -> None:
        reply = self.http.patch(
            f"/api/v1/nodes/{host.NAME}{sub}",
            content=json.dumps(body),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert not reply.is_error, reply.text

    def _base(self) -> dict[str, Any]:
        """containerd's own default, with what every container finds of this machine."""
        done = subprocess.run(
            [str(builds.NODE.folder / "ctr"), "oci", "spec"], capture_output=True, check=True, text=True
        )
        spec = json.loads(done.stdout)
        spec["process"].pop("rlimits", None)  # without CAP_SYS_RESOURCE they cannot be had
        spec["mounts"] = [each for each in spec["mounts"] if each["destination"] != "/run"]
        own = {Path("/usr"), Path("/etc/alternatives"), Path("/etc/ssl"), self.ray, self.model, *_pythons(self.ray)}
        spec["mounts"] += [
            {"destination": str(each), "source": str(each), "type": "bind", "options": ["rbind", "ro", "nosuid"]}
            for each in sorted(own)
            if each.exists() and not (each.is_relative_to("/usr") and each != Path("/usr"))
        ]
        return spec

    def _containerd(self) -> str:
        return f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [{", ".join(f'"io.containerd.{each}"' for each in WITHOUT)}]
[grpc]
  address = "{CONTAINERD}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "rig.local/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  base_runtime_spec = "{self.folder}/containerd.json"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "{debian.program("runc")}"
  SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{debian.program("host-local").parent}"]
  conf_dir = "{self.folder}/cni"
"""

    def _kubelet(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{host.cgroup_of(self.folder)}",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
            "address": self.address,
            "healthzBindAddress": "127.0.0.1",
            "clusterDNS": [host.DNS],
            "clusterDomain": "cluster.local",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "failSwapOn": False,
            "cpuCFSQuota": False,  # limits are for the CPUs that the node says it has
            "enforceNodeAllocatable": [],
            # As on GKE, but that pressure which is over is believed sooner.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"},
            "evictionPressureTransitionPeriod": "10s",
            "imageMaximumGCAge": "0s",
            "imageGCHighThresholdPercent": 100,
            "resolvConf": str(self.folder / "resolv.conf"),
            "nodeStatusUpdateFrequency": "5s",
        }

    def _command(self, what: str) -> tuple[list[str], str]:
        f, folder = self.folder, builds.NODE.folder
        match what:
            case "containerd":
                return [str(folder / what), "--config", str(f / "containerd.toml")], ""
            case "kubelet":
                words = [f"--config={f / 'kubelet.json'}", f"--kubeconfig={self._config('kubelet')}"]
                known = [f"--hostname-override={host.NAME}", f"--node-ip={self.address}"]
                return [str(folder / what), *words, *known], "http://127.0.0.1:10248/healthz"
            case "kube-proxy":
                words = [
                    f"--kubeconfig={self._config('proxy')}",
                    "--proxy-mode=nftables",
                    f"--cluster-cidr={host.PODS}",
                    f"--hostname-override={host.NAME}",
                    # Of the whole computer: not ours to set.
                    "--conntrack-max-per-core=0",
                    "--conntrack-min=0",
                    "--conntrack-tcp-timeout-established=0",
                    "--conntrack-tcp-timeout-close-wait=0",
                    "--healthz-bind-address=127.0.0.1:10256",
                    "--metrics-bind-address=127.0.0.1:10249",
                ]
                return [str(folder / what), *words], "http://127.0.0.1:10249/healthz"
            case "coredns":
                return [str(folder / what), "-conf", str(f / "Corefile")], "http://127.0.0.1:8181/ready"
            case "redis":
                words = ["--bind", host.REDIS, "--requirepass", PASSWORD, "--appendonly", "yes", "--dir", str(f)]
                return [str(debian.program("redis-server")), *words], ""
            case _:
                return super()._command(what)


def node_in(folder: Path) -> Node:
    """The one that is up there, or will be."""
    return Node("rig", folder, ray=RAY, model=folder / "model")


LABELS = {
    POOL_LABEL: POOL,
    "cloud.google.com/gke-nodepool": POOL,
    "topology.kubernetes.io/region": "rig",
    "topology.kubernetes.io/zone": "rig-a",
}
TAINT = {"key": GPU_TAINT.key, "value": GPU_TAINT.value, "effect": GPU_TAINT.effect}
WITHOUT = (
    "nri.v1.nri",
    "snapshotter.v1.devmapper",
    "snapshotter.v1.zfs",
    "snapshotter.v1.btrfs",
    "snapshotter.v1.blockfile",
    "snapshotter.v1.erofs",
    "internal.v1.tracing",
)
"""containerd's plugins that a node of this size has no use for."""
NETWORK = {
    "cniVersion": "1.0.0",
    "name": "rig",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni-ipam",
                "ranges": [[{"subnet": host.PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}
COREFILE = (
    ".:53 {{\n  bind "
    + host.DNS
    + """
  errors
  cache 2
  ready 127.0.0.1:8181
  kubernetes cluster.local {{
    kubeconfig {folder}/dns.kubeconfig
    ttl 1
  }}
}}
"""
)


def _pythons(environment: Path) -> Sequence[Path]:
    """The Python that a virtual environment was made from."""
    settings = (environment / "pyvenv.cfg").read_text().splitlines()
    home = next(line.partition("=")[2].strip() for line in settings if line.startswith("home"))
    return [Path(home).parent, Path(home).resolve().parent]
