"""The programs of a control plane, built from their released Go modules into a cache that later clones find.

Versions are in modules/*/go.mod and nowhere else. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools import engine
from tools.console import Stop, run, say

MODULES = Path(__file__).resolve().parent / "modules"


@dataclass(frozen=True)
class Program:
    """`module` is a folder of modules/, `package` what is built there."""

    name: str
    module: str
    package: str


PROGRAMS = (
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Program("kube-apiserver", "kube", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Program("kuberay-operator", "kuberay", "github.com/ray-project/kuberay/ray-operator"),
    Program("kube-controller-manager", "kube", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Program("kube-scheduler", "kube", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
)
SHARED = {
    "kuberay": ("kuberay", "github.com/ray-project/kuberay/ray-operator", "config"),
    "gateway-api": ("kuberay", "sigs.k8s.io/gateway-api", "config/crd/standard"),
    "kwok": ("kwok", "sigs.k8s.io/kwok", "kustomize/stage"),
}
"""Folders of the modules that a running plane reads: copied beside the programs."""


def folder() -> Path:
    """Where the programs are, or will be: another pin has another folder."""
    pins = b"".join(file.read_bytes() for file in sorted(MODULES.glob("*/go.*")))
    return engine.cache() / f"control-plane-{hashlib.sha256(pins).hexdigest()[:12]}"


def built() -> bool:
    """Whether there is nothing left to build."""
    return (folder() / "complete").exists()


def version(module: str, path: str) -> str:
    """What go.mod pins, such as 1.37.2."""
    found = re.search(rf"^(?:require|\t)\s*{re.escape(path)} v(\S+)", (MODULES / module / "go.mod").read_text(), re.M)
    assert found is not None, f"{module}/go.mod does not require {path}"
    return found.group(1)


def build() -> Path:
    """Build what is missing; about ten minutes on two idle cores, once. Raises `Stop` without Go."""
    target = folder()
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:  # a second one waits, and finds the first one's work
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built():
            go = shutil.which("go")
            if go is None:
                raise Stop("The control plane is built with Go, and there is none here: install Go 1.26 or newer.")
            say("  Kubernetes and KubeRay: building their control plane from Go modules, once (about ten minutes)")
            for program in PROGRAMS:
                if not (target / program.name).exists():
                    _build(go, program, target)
            _share(go, target)
            (target / "complete").touch()
    return target


def _build(go: str, program: Program, target: Path) -> None:
    number = version("kube", "k8s.io/kubernetes")
    major, minor, _ = number.split(".")
    named = "k8s.io/component-base/version"
    kube = f" -X {named}.gitVersion=v{number} -X {named}.gitMajor={major} -X {named}.gitMinor={minor}"
    flags = "-s -w" + (kube if program.module == "kube" else "")
    temporary = target / f"{program.name}.part"
    command = [go, "build", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={flags}"]
    run(
        [*command, "-o", str(temporary), program.package],
        f"{program.name}: compiling",
        env=_environment(),
        cwd=MODULES / program.module,
    )
    temporary.rename(target / program.name)


def _share(go: str, target: Path) -> None:
    for name, (module, path, inside) in SHARED.items():
        command = [go, "list", "-m", "-f", "{{.Dir}}", path]
        source = run(command, f"{path}: its folder", env=_environment(), cwd=MODULES / module).strip()
        shutil.rmtree(target / "share" / name, ignore_errors=True)
        shutil.copytree(Path(source) / inside, target / "share" / name, copy_function=shutil.copyfile)


def _environment() -> dict[str, str]:
    fixed = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    return {**os.environ, **fixed}
