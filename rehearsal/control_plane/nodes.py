"""Simulated nodes, with the size, labels and taints that GKE gives the nodes of a node pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.google import machine_types
from config.google.machine_types import GpuMachineType
from config.google.node_storage import allocatable_storage_gib
from config.google.scheduling import GPU_TAINT, POOL_LABEL

TAINT_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}
"""Google's name of a taint's effect -> Kubernetes' name."""
DISK_GIB = 200
"""Size of a boot disk whose node pool does not say it."""


@dataclass(frozen=True)
class SimulatedNodePool:
    """`count` nodes of one machine type. Without `labels` or `taints`, they have those that this stack declares."""

    name: str
    machine_type: str
    count: int
    labels: Mapping[str, str] | None = None
    taints: Sequence[Mapping[str, str]] | None = None
    boot_disk_gib: int = DISK_GIB

    @classmethod
    def from_node_pool_inputs(cls, inputs: Mapping[str, Any]) -> SimulatedNodePool:
        """Return the nodes of a NodePool of Google's API. Without a cluster autoscaler here, an autoscaled pool has all
        the nodes that it may have."""
        config, autoscaling = inputs["nodeConfig"], inputs.get("autoscaling") or {}
        count = inputs.get("nodeCount", 0) * len(inputs.get("nodeLocations") or [""])
        taints = [{**each, "effect": TAINT_EFFECTS[each["effect"]]} for each in config.get("taints") or []]
        total = autoscaling.get("totalMaxNodeCount", count)
        labels, disk_gib = config.get("labels") or {}, config.get("diskSizeGb", DISK_GIB)
        return cls(inputs["name"], config["machineType"], total, labels, taints, disk_gib)

    def nodes(self, region: str, pod_cidrs: Sequence[str]) -> list[dict[str, Any]]:
        """Return the Node objects; each takes its range of pod addresses from `pod_cidrs`."""
        return [self._node(i, region, pod_cidrs[i]) for i in range(self.count)]

    def _node(self, number: int, region: str, pod_cidr: str) -> dict[str, Any]:
        machine = {**machine_types.GPU_MACHINE_TYPES, **machine_types.CPU_MACHINE_TYPES}[self.machine_type]
        gpu = machine if isinstance(machine, GpuMachineType) else None
        name = f"{self.name}-{number}"
        gpu_taint = {"key": GPU_TAINT.key, "value": GPU_TAINT.value, "effect": GPU_TAINT.effect}
        taints = ([gpu_taint] if gpu else []) if self.taints is None else list(self.taints)
        labels = {
            **({POOL_LABEL: self.name} if self.labels is None else self.labels),
            "kubernetes.io/hostname": name,
            "cloud.google.com/gke-nodepool": self.name,
            "node.kubernetes.io/instance-type": machine.name,
            "topology.kubernetes.io/region": region,
            **({"cloud.google.com/gke-accelerator": gpu.accelerator.name} if gpu else {}),
        }
        ssds, ssd_gib = (gpu.local_ssds, gpu.local_ssd_gib) if gpu else (0, 0)
        storage_gib = allocatable_storage_gib(self.boot_disk_gib, ssds, ssd_gib)
        size = {
            "cpu": f"{int(machine.allocatable_vcpus * 1000)}m",
            "memory": f"{int(machine.allocatable_memory_gib * 1024)}Mi",
            "ephemeral-storage": f"{int(storage_gib)}Gi",
            "pods": "110",
            **({"nvidia.com/gpu": str(gpu.gpus)} if gpu else {}),
        }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": labels},
            "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr], "taints": taints},
            "status": {"allocatable": size, "capacity": size},
        }
