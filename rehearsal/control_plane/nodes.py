"""Simulated nodes, as GKE makes them for a node pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.google import machine_types
from config.google.machine_types import GpuMachineType
from config.google.scheduling import GPU_TAINT, POOL_LABEL

EFFECTS = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}
"""Google's API has its own words for Kubernetes'."""
DISK_GIB = 200


@dataclass(frozen=True)
class Pool:
    """`count` nodes of a machine type, with the labels and taints that were asked for; None: those that this stack asks
    for."""

    name: str
    machine_type: str
    count: int
    labels: Mapping[str, str] | None = None
    taints: Sequence[Mapping[str, str]] | None = None

    @classmethod
    def of_google(cls, inputs: Mapping[str, Any]) -> Pool:
        """As a NodePool of Google's API says. There is no cluster autoscaler here: all that may come is there."""
        config, autoscaling = inputs["nodeConfig"], inputs.get("autoscaling") or {}
        count = inputs.get("nodeCount", 0) * len(inputs.get("nodeLocations") or [""])
        taints = [{**each, "effect": EFFECTS[each["effect"]]} for each in config.get("taints") or []]
        most = autoscaling.get("totalMaxNodeCount", count)
        return cls(inputs["name"], config["machineType"], most, config.get("labels") or {}, taints)

    def nodes(self, region: str, pods: Sequence[str]) -> list[dict[str, Any]]:
        """The Node objects; `pods` has the range of each one's pods."""
        return [self._node(i, region, pods[i]) for i in range(self.count)]

    def _node(self, number: int, region: str, pods: str) -> dict[str, Any]:
        machine = {**machine_types.GPU_MACHINE_TYPES, **machine_types.CPU_MACHINE_TYPES}[self.machine_type]
        gpu = machine if isinstance(machine, GpuMachineType) else None
        name = f"{self.name}-{number}"
        own = {"key": GPU_TAINT.key, "value": GPU_TAINT.value, "effect": GPU_TAINT.effect}
        taints = ([own] if gpu else []) if self.taints is None else list(self.taints)
        labels = {
            **({POOL_LABEL: self.name} if self.labels is None else self.labels),
            "kubernetes.io/hostname": name,
            "cloud.google.com/gke-nodepool": self.name,
            "node.kubernetes.io/instance-type": machine.name,
            "topology.kubernetes.io/region": region,
            **({"cloud.google.com/gke-accelerator": gpu.accelerator.name} if gpu else {}),
        }
        size = {
            "cpu": f"{int(machine.allocatable_vcpus * 1000)}m",
            "memory": f"{int(machine.allocatable_memory_gib * 1024)}Mi",
            "ephemeral-storage": f"{max(DISK_GIB, gpu.local_ssd_gib if gpu else 0)}Gi",
            "pods": "110",
            **({"nvidia.com/gpu": str(gpu.gpus)} if gpu else {}),
        }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": labels},
            "spec": {"podCIDR": pods, "podCIDRs": [pods], "taints": taints},
            "status": {"allocatable": size, "capacity": size},
        }
