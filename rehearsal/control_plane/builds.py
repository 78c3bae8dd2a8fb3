"""Programs of the rig, built from their released Go modules into a cache that later clones find.

Versions are in modules/*/go.mod and nowhere else. Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paths import CHECKOUT
from tools.bootstrap.cache import cache_dir, cache_lock
from tools.bootstrap.console import CliError, run, say

MODULES = Path(__file__).resolve().parent / "modules"
OF_A_NODE = CHECKOUT / "tests" / "harness" / "node" / "modules"


@dataclass(frozen=True)
class Program:
    """`module` is a folder with a go.mod, `package` what is built there."""

    name: str
    module: Path
    package: str


@dataclass(frozen=True)
class Bundle:
    """Programs that are built together. `shared` are folders of the modules that are read when they run, copied beside
    them: name -> module, its path, the folder in it."""

    name: str
    what: str
    programs: tuple[Program, ...]
    shared: Mapping[str, tuple[Path, str, str]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where they are, or will be: another pin, or another file of ours, has another folder."""
        modules = sorted({program.module for program in self.programs})
        pins = b"".join(file.read_bytes() for module in modules for file in sorted(module.glob("*.*")))
        return cache_dir() / f"{self.name}-{hashlib.sha256(pins).hexdigest()[:12]}"

    @property
    def built(self) -> bool:
        """Whether there is nothing left to build."""
        files = ["complete", *(program.name for program in self.programs)]
        return all((self.folder / each).exists() for each in files)

    def build(self) -> Path:
        """Build what is missing, once. Raises `CliError` without Go."""
        target = self.folder
        target.mkdir(parents=True, exist_ok=True)
        with cache_lock(target.name):
            if not self.built:
                go = shutil.which("go")
                if go is None:
                    raise CliError(f"{self.what}: built with Go, and there is none here; install Go 1.26 or newer.")
                say(f"  {self.what}: building from Go modules, once")
                for program in self.programs:
                    if not (target / program.name).exists():
                        _build(go, program, target)
                for name, (module, path, inside) in self.shared.items():
                    _share(go, module, path, inside, target / "share" / name)
                (target / "complete").touch()
        return target


CONTROL_PLANE = Bundle(
    "control-plane",
    "Kubernetes' control plane and KubeRay (about ten minutes)",
    (
        Program("etcd", MODULES / "etcd", "go.etcd.io/etcd/server/v3"),
        Program("kube-apiserver", MODULES / "kube", "k8s.io/kubernetes/cmd/kube-apiserver"),
        Program("kuberay-operator", MODULES / "kuberay", "github.com/ray-project/kuberay/ray-operator"),
        Program("kube-controller-manager", MODULES / "kube", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Program("kube-scheduler", MODULES / "kube", "k8s.io/kubernetes/cmd/kube-scheduler"),
        Program("kwok", MODULES / "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    ),
    {
        "kuberay": (MODULES / "kuberay", "github.com/ray-project/kuberay/ray-operator", "config"),
        "gateway-api": (MODULES / "kuberay", "sigs.k8s.io/gateway-api", "config/crd/standard"),
        "kwok": (MODULES / "kwok", "sigs.k8s.io/kwok", "kustomize/stage"),
    },
)
CONTAINERD = "github.com/containerd/containerd/v2/cmd"
NODE = Bundle(
    "node",
    "kubelet, containerd, kubectl and CoreDNS (about three minutes)",
    (
        Program("kubelet", MODULES / "kube", "k8s.io/kubernetes/cmd/kubelet"),
        Program("kube-proxy", MODULES / "kube", "k8s.io/kubernetes/cmd/kube-proxy"),
        Program("kubectl", MODULES / "kube", "k8s.io/kubernetes/cmd/kubectl"),
        Program("containerd", OF_A_NODE / "containerd", f"{CONTAINERD}/containerd"),
        Program("containerd-shim-runc-v2", OF_A_NODE / "containerd", f"{CONTAINERD}/containerd-shim-runc-v2"),
        Program("ctr", OF_A_NODE / "containerd", f"{CONTAINERD}/ctr"),
        Program("coredns", OF_A_NODE / "coredns", "."),
        Program("pause", OF_A_NODE / "pause", "."),
    ),
)


def version(module: str, path: str) -> str:
    """What go.mod pins, such as 1.37.2."""
    found = re.search(rf"^(?:require|\t)\s*{re.escape(path)} v(\S+)", (MODULES / module / "go.mod").read_text(), re.M)
    assert found is not None, f"{module}/go.mod does not require {path}"
    return found.group(1)


def _build(go: str, program: Program, target: Path) -> None:
    number = version("kube", "k8s.io/kubernetes")
    major, minor, _ = number.split(".")
    named = "k8s.io/component-base/version"
    kube = f" -X {named}.gitVersion=v{number} -X {named}.gitMajor={major} -X {named}.gitMinor={minor}"
    flags = "-s -w" + (kube if program.module.name == "kube" else "")
    temporary = target / f"{program.name}.part"
    command = [go, "build", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={flags}"]
    run(
        [*command, "-o", str(temporary), program.package],
        f"{program.name}: compiling",
        env=_environment(),
        cwd=program.module,
    )
    temporary.rename(target / program.name)


def _share(go: str, module: Path, path: str, inside: str, target: Path) -> None:
    command = [go, "list", "-m", "-f", "{{.Dir}}", path]
    source = run(command, f"{path}: its folder", env=_environment(), cwd=module).strip()
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(Path(source) / inside, target, copy_function=shutil.copyfile)


def _environment() -> dict[str, str]:
    fixed = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    return {**os.environ, **fixed}
