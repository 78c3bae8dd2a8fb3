"""How many worker pods a model needs on which nodes, and what each pod asks for. Arithmetic on plain data.

A worker pod takes a node's GPUs whole: one HAProxy and one raylet for all replicas on the node, and no GPU left that
belongs to nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from config.google.machine_types import allocatable
from config.model_service import Autoscaling, ModelService
from config.node_pool_info import GpuNodePoolInfo

SYSTEM_PODS_VCPUS = 1.0
"""GKE's own pods on every node: metrics, logs, device plugin, image streaming, network."""
SYSTEM_PODS_GIB = 2.0
PROPORTIONAL_SHARE = 0.95
"""Of what is left. A request that only just fits would keep a pod pending when Google adds a DaemonSet."""
SHARED_MEMORY = 0.25
"""Of the pod's memory that /dev/shm may take: Ray's object store and what vLLM's processes share. Counts as memory."""
HEAD_CPUS, HEAD_MEMORY_GIB, HEAD_DISK_GIB = 4, 16, 32
"""As KubeRay's sample has it."""


@dataclass(frozen=True)
class WorkerPodResources:
    """What a worker pod asks for."""

    cpus: int
    memory_gib: int
    gpus: int
    disk_gib: int
    """On the node's boot disk or local SSDs, for logs and weights."""
    shared_memory_gib: int


@dataclass(frozen=True)
class WorkerGroup:
    """Worker pods of one model on one pool: from `low` to `high`, one on a node."""

    node_pool: GpuNodePoolInfo
    min_replicas: int
    max_replicas: int

    @property
    def pod_resources(self) -> WorkerPodResources:
        """What each asks for."""
        return worker_pod_resources(self.node_pool)


def schedulable_resources(vcpus: int, memory_gib: float) -> tuple[int, int]:
    """vCPUs and GiB of a node that are left for this stack's pods: GKE keeps some, and its own pods ask for some."""
    cpus, memory = allocatable(vcpus, memory_gib)
    return math.floor((cpus - SYSTEM_PODS_VCPUS) * PROPORTIONAL_SHARE), math.floor(
        (memory - SYSTEM_PODS_GIB) * PROPORTIONAL_SHARE
    )


def worker_pod_resources(group: GpuNodePoolInfo) -> WorkerPodResources:
    """A whole node."""
    cpus, memory_gib = schedulable_resources(group.vcpus, group.memory_gib)
    return WorkerPodResources(
        cpus=cpus,
        memory_gib=memory_gib,
        gpus=group.gpus_per_node,
        disk_gib=256 if group.local_ssd_gib else 24,
        shared_memory_gib=max(1, math.floor(memory_gib * SHARED_MEMORY)),
    )


def eligible_node_pools(service: ModelService, groups: Sequence[GpuNodePoolInfo]) -> tuple[GpuNodePoolInfo, ...]:
    """Those that a model may use."""
    return tuple(group for group in groups if service.node_pool in (None, group.name))


def worker_groups(service: ModelService, groups: Sequence[GpuNodePoolInfo]) -> tuple[WorkerGroup, ...]:
    """The worker pods of a model: pools are filled in the order in which they are written.

    A replica stays on one node. What there is no room for is left out; config/cross_validation.py refuses that before.
    """
    replicas, each = service.replicas, service.engine.tensor_parallel_size
    least = replicas.min_replicas if isinstance(replicas, Autoscaling) else replicas.num_replicas
    most = replicas.max_replicas
    found: list[WorkerGroup] = []
    for group in eligible_node_pools(service, groups):
        on_a_node = group.gpus_per_node // each
        if on_a_node == 0 or most <= 0:
            continue
        high = min(math.ceil(most / on_a_node), group.max_nodes)
        low = min(math.ceil(max(least, 0) / on_a_node), high)
        found.append(WorkerGroup(group, low, high))
        most -= high * on_a_node
        least -= low * on_a_node
    return tuple(found)


def second_ray_cluster_fits(found: Sequence[WorkerGroup]) -> bool:
    """Whether a second RayCluster finds nodes beside the first for sure: a change of pods then loses no request."""
    return all(
        not each.node_pool.reservation_bound or each.node_pool.max_nodes >= 2 * each.max_replicas for each in found
    )
