"""Build programs from their released Go modules into a cache that all checkouts share.

Versions are written in modules/*/go.mod and nowhere else. Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paths import cache_dir
from tools.bootstrap.cache import cache_lock
from tools.bootstrap.console import CliError, run, say

MODULES = Path(__file__).resolve().parent / "modules"


@dataclass(frozen=True)
class GoProgram:
    """A program to build: `package` of the Go module in the folder `module`."""

    name: str
    module: Path
    package: str


@dataclass(frozen=True)
class ProgramBundle:
    """Programs that are built together. `description` is what a person reads while they are built."""

    name: str
    description: str
    programs: tuple[GoProgram, ...]
    shared: Mapping[str, tuple[Path, str, str]] = field(default_factory=dict)
    """Folders that the programs read at run time, copied to share/NAME: name -> Go module that requires the dependency,
    path of the dependency, folder in it."""

    @property
    def folder(self) -> Path:
        """The folder of the built programs. Its name changes with the files of the Go modules."""
        modules = sorted({program.module for program in self.programs})
        files = b"".join(file.read_bytes() for module in modules for file in sorted(module.glob("*.*")))
        return cache_dir() / f"{self.name}-{hashlib.sha256(files).hexdigest()[:12]}"

    @property
    def is_built(self) -> bool:
        """True if nothing is left to build."""
        files = ["complete", *(program.name for program in self.programs)]
        return all((self.folder / file).exists() for file in files)

    def build(self) -> Path:
        """Build the programs that are missing. Return their folder. Raises `CliError` without Go."""
        target = self.folder
        target.mkdir(parents=True, exist_ok=True)
        with cache_lock(target.name):
            if not self.is_built:
                go = shutil.which("go")
                if go is None:
                    raise CliError(
                        f"{self.description}: cannot be built, because Go is missing. Install Go 1.26 or newer."
                    )
                say(f"  {self.description}: building from Go modules, once")
                for program in self.programs:
                    if not (target / program.name).exists():
                        _build(go, program, target)
                for name, (module, path, folder) in self.shared.items():
                    _copy_module_folder(go, module, path, folder, target / "share" / name)
                (target / "complete").touch()
        return target


CONTROL_PLANE = ProgramBundle(
    "control-plane",
    "Kubernetes' control plane and KubeRay (about ten minutes)",
    (
        GoProgram("etcd", MODULES / "etcd", "go.etcd.io/etcd/server/v3"),
        GoProgram("kube-apiserver", MODULES / "kube", "k8s.io/kubernetes/cmd/kube-apiserver"),
        GoProgram("kuberay-operator", MODULES / "kuberay", "github.com/ray-project/kuberay/ray-operator"),
        GoProgram("kube-controller-manager", MODULES / "kube", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        GoProgram("kube-scheduler", MODULES / "kube", "k8s.io/kubernetes/cmd/kube-scheduler"),
        GoProgram("kwok", MODULES / "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    ),
    {
        "kuberay": (MODULES / "kuberay", "github.com/ray-project/kuberay/ray-operator", "config"),
        "gateway-api": (MODULES / "kuberay", "sigs.k8s.io/gateway-api", "config/crd/standard"),
        "kwok": (MODULES / "kwok", "sigs.k8s.io/kwok", "kustomize/stage"),
    },
)


def pinned_version(module: Path, path: str) -> str:
    """Return the version of the dependency `path` in a module's go.mod, such as 1.37.2."""
    found = re.search(rf"^(?:require|\t)\s*{re.escape(path)} v(\S+)", (module / "go.mod").read_text(), re.M)
    assert found is not None, f"{module}/go.mod does not require {path}"
    return found.group(1)


def _build(go: str, program: GoProgram, target: Path) -> None:
    flags = "-s -w"
    if program.module == MODULES / "kube":  # Kubernetes' own builds set its version by linker flags, too
        version = pinned_version(program.module, "k8s.io/kubernetes")
        major, minor, _ = version.split(".")
        package = "k8s.io/component-base/version"
        flags += f" -X {package}.gitVersion=v{version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    temporary = target / f"{program.name}.part"
    command = [go, "build", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={flags}", "-o", str(temporary)]
    run([*command, program.package], f"{program.name}: compiling", env=_go_env(), cwd=program.module)
    temporary.rename(target / program.name)


def _copy_module_folder(go: str, module: Path, path: str, folder: str, target: Path) -> None:
    command = [go, "list", "-m", "-f", "{{.Dir}}", path]
    source = run(command, f"{path}: its folder", env=_go_env(), cwd=module).strip()
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(Path(source) / folder, target, copy_function=shutil.copyfile)


def _go_env() -> dict[str, str]:
    fixed = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    return {**os.environ, **fixed}
