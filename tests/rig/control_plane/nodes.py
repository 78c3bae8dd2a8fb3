"""Simulated nodes, as GKE makes them for a node pool: shape, labels and taints come from the product's own tables."""

from __future__ import annotations

from typing import Any

from infra import accelerators
from infra.accelerators import MachineShape, MachineType
from infra.google.node_groups import GPU_TAINT, POOL_LABEL


def shape(machine_type: str) -> MachineShape:
    """Of a machine type with GPUs or without."""
    return {**accelerators.MACHINE_TYPES, **accelerators.SYSTEM_MACHINE_TYPES}[machine_type]


def node(pool: str, machine: MachineShape, number: int, *, pods: str, region: str) -> dict[str, Any]:
    """Node `number` of a pool; `pods` is the range of its pods' addresses."""
    gpu = machine if isinstance(machine, MachineType) else None
    labels = {
        POOL_LABEL: pool,
        "cloud.google.com/gke-nodepool": pool,
        "node.kubernetes.io/instance-type": machine.name,
        "topology.kubernetes.io/region": region,
        **({"cloud.google.com/gke-accelerator": gpu.accelerator.name} if gpu else {}),
    }
    size = {
        "cpu": f"{int(machine.allocatable_vcpus * 1000)}m",
        "memory": f"{int(machine.allocatable_memory_gib * 1024)}Mi",
        "ephemeral-storage": f"{max(100, gpu.local_ssd_gib if gpu else 0)}Gi",
        "pods": "110",
        **({"nvidia.com/gpu": str(gpu.gpus)} if gpu else {}),
    }
    taints = [{"key": GPU_TAINT.key, "value": GPU_TAINT.value, "effect": GPU_TAINT.effect}] if gpu else []
    name = f"{pool}-{number}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {**labels, "kubernetes.io/hostname": name},
        },
        "spec": {"podCIDR": pods, "podCIDRs": [pods], "taints": taints},
        "status": {"allocatable": size, "capacity": size},
    }
