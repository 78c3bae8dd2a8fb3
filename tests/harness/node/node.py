"""A cluster of one real node: a control plane with kubelet, containerd, kube-proxy, CoreDNS and Redis beside it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.google.scheduling import GPU_TAINT, POOL_LABEL
from rehearsal.control_plane.control_plane import API_USERS, ControlPlane
from rehearsal.control_plane.programs import Invocation
from tests.harness.node import debian, host, images, programs
from tests.harness.node.builds import NODE
from tools.bootstrap.venvs import RAY

NODE_POOL = "node"
"""The node's pool; head and workers share the one node."""
GPUS = 8
"""Simulated number of GPUs."""
RAY_IMAGE = "docker.io/rayproject/ray-llm:test"
NEXT_IMAGE = "docker.io/rayproject/ray-llm-next:test"
"""The same image with another digest, for a release upgrade."""
IMAGE_ENV = {
    # vLLM on a CPU that it shares with everything else, without a network to load anything from.
    "LANG": "C.UTF-8",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",  # simulated GPUs: there is no device to make visible
    "PYTHONDONTWRITEBYTECODE": "1",  # the pods' user has no folder to write bytecode to
}
"""Environment variables of the Ray image."""
LABELS = {
    POOL_LABEL: NODE_POOL,
    "cloud.google.com/gke-nodepool": NODE_POOL,
    "topology.kubernetes.io/region": host.NODE_NAME,
    "topology.kubernetes.io/zone": f"{host.NODE_NAME}-a",
}
TAINT = {"key": GPU_TAINT.key, "value": GPU_TAINT.value, "effect": GPU_TAINT.effect}


@dataclass(frozen=True)
class SingleNodeCluster(ControlPlane):
    """A cluster in the namespaces that host.prepare_namespaces has prepared."""

    address: str = host.NODE_ADDRESS
    real_nodes: bool = True
    venv: Path = Path()
    """The virtual environment with Ray and vLLM."""
    model: Path = Path()
    """The folder of the tiny model."""

    @property
    def api_users(self) -> dict[str, tuple[str, str]]:
        return {
            **API_USERS,
            "kubelet": (f"system:node:{host.NODE_NAME}", "system:nodes"),
            "kube-proxy": ("system:kube-proxy", ""),
            "coredns": ("dns", "system:masters"),
        }

    @property
    def programs(self) -> Mapping[str, Callable[[Any], Invocation]]:
        return programs.NODE_PROGRAMS

    @property
    def program_env(self) -> dict[str, str]:
        return {
            **super().program_env,
            "PATH": f"{NODE.folder}:{debian.search_path()}",
            "LD_LIBRARY_PATH": debian.library_path(),
        }

    def start_node(self) -> None:
        """Start every program beside the control plane, and return when pods can run. Raises `AssertionError`."""
        folder = self.folder
        (folder / "containerd.json").write_text(json.dumps(self._container_base_spec()))
        (folder / "containerd.toml").write_text(programs.containerd_config(self))
        (folder / "cni").mkdir()
        (folder / "cni" / "10-ptp.conflist").write_text(json.dumps(programs.CNI_CONFIG))
        (folder / "kubelet.json").write_text(json.dumps(programs.kubelet_config(self)))
        (folder / "Corefile").write_text(programs.corefile(self))
        self.start_program("redis")
        self.start_program("containerd")
        self._import_images()
        for program in ("kubelet", "kube-proxy", "coredns"):
            self.start_program(program)
        self.wait_for("the node", self._node_is_ready)
        self._patch_node("", {"metadata": {"labels": LABELS}, "spec": {"taints": [TAINT]}})
        gpus = {GPU_TAINT.key: str(GPUS)}
        self._patch_node("/status", {"status": {"capacity": gpus, "allocatable": gpus}})

    @contextmanager
    def without_image(self) -> Iterator[None]:
        """Remove the Ray image from the node, which has no registry, while the block runs. Running pods go on."""
        name = self.image.split("@")[0]
        references = self.run_ctr("images", "list", "--quiet").split()
        self.run_ctr("images", "remove", *(each for each in references if name in each))
        try:
            yield
        finally:
            self.run_ctr("images", "import", "--local", str(self.folder / "images.tar"))

    def run_ctr(self, *words: str) -> str:
        """Run containerd's client in Kubernetes' namespace. Return its output. Raises `AssertionError`."""
        done = subprocess.run([*self._ctr, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def image(self) -> str:
        """Reference of the Ray image, by digest."""
        return self._reference(RAY_IMAGE)

    @property
    def next_image(self) -> str:
        """Reference of the image for a release upgrade, by digest."""
        return self._reference(NEXT_IMAGE)

    def _reference(self, name: str) -> str:
        return json.loads((self.folder / "images.json").read_text())[name.rpartition(":")[0]]

    def _import_images(self) -> None:
        """Create the images, and import them into containerd."""
        archive = self.folder / "images.tar"
        references = images.write_archive(
            [
                images.pause_image(NODE.folder / "pause"),
                images.ray_image(RAY_IMAGE, self.venv, IMAGE_ENV),
                images.ray_image(NEXT_IMAGE, self.venv, {**IMAGE_ENV, "RAYLLM_RELEASE": "next"}),
            ],
            archive,
        )
        (self.folder / "images.json").write_text(json.dumps(references))
        self.run_ctr("images", "import", "--local", str(archive))

    def _is_ready(self, name: str, invocation: Invocation) -> bool:
        match name:
            case "containerd":
                return subprocess.run([*self._ctr, "version"], capture_output=True).returncode == 0
            case "redis":
                with socket.socket() as connection:
                    return connection.connect_ex((host.REDIS_ADDRESS, programs.REDIS_PORT)) == 0
            case _:
                return super()._is_ready(name, invocation)

    @property
    def _ctr(self) -> list[str]:
        return [str(NODE.folder / "ctr"), "--address", programs.CONTAINERD, "--namespace", "k8s.io"]

    def _node_is_ready(self) -> bool:
        node = self.get(f"/api/v1/nodes/{host.NODE_NAME}")
        conditions = (node or {}).get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _patch_node(self, subresource: str, body: Mapping[str, Any]) -> None:
        reply = self.http.patch(
            f"/api/v1/nodes/{host.NODE_NAME}{subresource}",
            content=json.dumps(body),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert not reply.is_error, reply.text

    def _container_base_spec(self) -> dict[str, Any]:
        """Return containerd's default specification of a container, with the folders of this machine bound into it."""
        done = subprocess.run([str(NODE.folder / "ctr"), "oci", "spec"], capture_output=True, check=True, text=True)
        spec = json.loads(done.stdout)
        spec["process"].pop("rlimits", None)  # they need CAP_SYS_RESOURCE
        spec["mounts"] = [each for each in spec["mounts"] if each["destination"] != "/run"]
        folders = {Path("/usr"), Path("/etc/alternatives"), Path("/etc/ssl"), self.venv, self.model}
        spec["mounts"] += [
            {"destination": str(each), "source": str(each), "type": "bind", "options": ["rbind", "ro", "nosuid"]}
            for each in sorted({*folders, *_base_pythons(self.venv)})
            if each.exists() and not (each.is_relative_to("/usr") and each != Path("/usr"))
        ]
        return spec


def cluster_in(folder: Path) -> SingleNodeCluster:
    """Return the cluster whose files are, or will be, in `folder`."""
    return SingleNodeCluster(host.NODE_NAME, folder, venv=RAY, model=folder / "model")


def _base_pythons(venv: Path) -> Sequence[Path]:
    """Return the folders of the Python that a virtual environment was made from."""
    settings = (venv / "pyvenv.cfg").read_text().splitlines()
    home = next(line.partition("=")[2].strip() for line in settings if line.startswith("home"))
    return [Path(home).parent, Path(home).resolve().parent]
