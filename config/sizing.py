"""How many worker pods a model needs on which nodes, and what each pod asks for. Arithmetic on plain data.

A worker pod takes a node's GPUs whole: one HAProxy and one raylet for all replicas on the node, and no GPU left that
belongs to nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from config.google.machine_types import allocatable
from config.model_service import Autoscaling, Service
from config.node_pool_info import GpuNodeGroup

SYSTEM_PODS_VCPUS = 1.0
"""GKE's own pods on every node: metrics, logs, device plugin, image streaming, network."""
SYSTEM_PODS_GIB = 2.0
SHARE = 0.95
"""Of what is left. A request that only just fits would keep a pod pending when Google adds a DaemonSet."""
SHARED_MEMORY = 0.25
"""Of the pod's memory that /dev/shm may take: Ray's object store and what vLLM's processes share. Counts as memory."""
HEAD_CPUS, HEAD_MEMORY_GIB, HEAD_DISK_GIB = 4, 16, 32
"""As KubeRay's sample has it."""


@dataclass(frozen=True)
class Pod:
    """What a worker pod asks for."""

    cpus: int
    memory_gib: int
    gpus: int
    disk_gib: int
    """On the node's boot disk or local SSDs, for logs and weights."""
    shared_memory_gib: int


@dataclass(frozen=True)
class Workers:
    """Worker pods of one model on one pool: from `low` to `high`, one on a node."""

    group: GpuNodeGroup
    low: int
    high: int

    @property
    def pod(self) -> Pod:
        """What each asks for."""
        return pod(self.group)


def free(vcpus: int, memory_gib: float) -> tuple[int, int]:
    """vCPUs and GiB of a node that are left for this stack's pods: GKE keeps some, and its own pods ask for some."""
    cpus, memory = allocatable(vcpus, memory_gib)
    return math.floor((cpus - SYSTEM_PODS_VCPUS) * SHARE), math.floor((memory - SYSTEM_PODS_GIB) * SHARE)


def pod(group: GpuNodeGroup) -> Pod:
    """A whole node."""
    cpus, memory_gib = free(group.vcpus, group.memory_gib)
    return Pod(
        cpus=cpus,
        memory_gib=memory_gib,
        gpus=group.gpus_per_node,
        disk_gib=256 if group.local_ssd_gib else 24,
        shared_memory_gib=max(1, math.floor(memory_gib * SHARED_MEMORY)),
    )


def pools(service: Service, groups: Sequence[GpuNodeGroup]) -> tuple[GpuNodeGroup, ...]:
    """Those that a model may use."""
    return tuple(group for group in groups if service.pool in (None, group.name))


def workers_of(service: Service, groups: Sequence[GpuNodeGroup]) -> tuple[Workers, ...]:
    """The worker pods of a model: pools are filled in the order in which they are written.

    A replica stays on one node. What there is no room for is left out; config/cross_validation.py refuses that before.
    """
    replicas, each = service.replicas, service.engine.tensor_parallel_size
    least = replicas.min_replicas if isinstance(replicas, Autoscaling) else replicas.count
    most = replicas.most
    found: list[Workers] = []
    for group in pools(service, groups):
        on_a_node = group.gpus_per_node // each
        if on_a_node == 0 or most <= 0:
            continue
        high = min(math.ceil(most / on_a_node), group.max_nodes)
        low = min(math.ceil(max(least, 0) / on_a_node), high)
        found.append(Workers(group, low, high))
        most -= high * on_a_node
        least -= low * on_a_node
    return tuple(found)


def fits_twice(found: Sequence[Workers]) -> bool:
    """Whether a second RayCluster finds nodes beside the first for sure: a change of pods then loses no request."""
    return all(not each.group.fixed or each.group.max_nodes >= 2 * each.high for each in found)
