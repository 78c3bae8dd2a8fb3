"""Node pools as workloads see them: size, limits, and how to schedule a pod on them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Toleration:
    """Toleration of one taint, in Kubernetes' own fields."""

    key: str
    value: str
    effect: str = "NoSchedule"


@dataclass(frozen=True)
class NodePoolInfo:
    """A pool of equal nodes, and what a pod must set to be scheduled on them."""

    name: str
    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]
    machine_type: str
    vcpus: int
    memory_gib: float
    min_nodes: int
    """Over all zones."""
    max_nodes: int
    """Over all zones."""


@dataclass(frozen=True, kw_only=True)
class GpuNodePoolInfo(NodePoolInfo):
    """A pool of nodes with GPUs."""

    gpus_per_node: int
    pod_storage_gib: float
    """Ephemeral storage of one node that pods can request: on its local SSDs, or on its boot disk without any."""
    ray_accelerator_type: str | None = None
    """Ray's name of the GPU model (`B200`), as in `LLMConfig.accelerator_type`; None if Ray has none."""
    gpu_memory_gib: float = 0
    """Of one GPU."""
    local_ssd_gib: int = 0
    """Of one node."""
    reservation_bound: bool = True
    """True if a reservation limits the pool: no node beyond `max_nodes` is available."""
    waits_for_capacity: bool = False
    """True if nodes can take hours to days to arrive (flex-start): no resource waits until pods are ready."""
