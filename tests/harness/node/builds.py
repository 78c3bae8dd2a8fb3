"""The Go programs of a node: kubelet and its companions at the control plane's version, containerd and CoreDNS."""

from __future__ import annotations

from pathlib import Path

from rehearsal.control_plane.builds import MODULES as CONTROL_PLANE_MODULES
from rehearsal.control_plane.builds import GoProgram, ProgramBundle

MODULES = Path(__file__).resolve().parent / "modules"
CONTAINERD_COMMANDS = "github.com/containerd/containerd/v2/cmd"
NODE = ProgramBundle(
    "node",
    "kubelet, containerd, kubectl and CoreDNS (about three minutes)",
    (
        *(
            GoProgram(name, CONTROL_PLANE_MODULES / "kube", f"k8s.io/kubernetes/cmd/{name}")
            for name in ("kubelet", "kube-proxy", "kubectl")
        ),
        *(
            GoProgram(name, MODULES / "containerd", f"{CONTAINERD_COMMANDS}/{name}")
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        ),
        GoProgram("coredns", MODULES / "coredns", "."),
        GoProgram("pause", MODULES / "pause", "."),
    ),
)
