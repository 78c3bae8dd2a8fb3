"""What workloads may know of a node pool: sizes, bounds, and how a pod lands on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Toleration:
    """One taint that pods must tolerate (Kubernetes' own words: key, value, NoSchedule)."""

    key: str
    value: str
    effect: str = "NoSchedule"


@dataclass(frozen=True)
class NodePoolInfo:
    """A set of equal nodes, and what a pod must say to land on one."""

    name: str
    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]
    machine_type: str
    vcpus: int
    memory_gib: float
    min_nodes: int
    max_nodes: int


@dataclass(frozen=True)
class GpuNodePoolInfo(NodePoolInfo):
    """Nodes with GPUs. `fixed`: no node beyond `max_nodes` can be had, so two RayClusters never fit side by side."""

    ray_accelerator_type: str | None = None
    """Ray's name for it (`B200`), as in LLMConfig's accelerator_type; None where Ray knows none."""
    gpus_per_node: int = 0
    gpu_memory_gib: float = 0
    local_ssd_gib: int = 0
    reservation_bound: bool = True
    waits_for_capacity: bool = False
    """Nodes can take hours to days to come (flex-start): nothing waits for Ready."""
