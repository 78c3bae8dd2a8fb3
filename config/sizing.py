"""Size worker groups: how many worker pods a model needs on which node pools, and the resources of each pod.

A worker pod requests all GPUs of its node: one HAProxy and one raylet serve every replica of the node, and no GPU is
left unused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from config.google.machine_types import allocatable
from config.model_service import Autoscaling, ModelService
from config.node_pool_info import GpuNodePoolInfo

SYSTEM_PODS_VCPUS = 1.0
"""vCPUs of GKE's own pods on every node: metrics, logs, device plugin, image streaming, network."""
SYSTEM_PODS_GIB = 2.0
"""GiB of memory of the same pods."""
REQUESTED_SHARE = 0.95
"""Share of the remaining resources that a pod requests. With an exact fit the pod stays pending when Google adds a
DaemonSet."""
SHARED_MEMORY_SHARE = 0.25
"""Share of a pod's memory that /dev/shm may use: Ray's object store, and what vLLM's processes share. Kubernetes counts
it as memory of the pod."""
LOGS_GIB = 8
"""GiB of a worker's disk for Ray's logs, compiled kernels and everything else that is not weights (an estimate)."""
HEAD_CPUS, HEAD_MEMORY_GIB, HEAD_DISK_GIB = 4, 16, 32
"""Resources of a Ray head, as in KubeRay's sample."""


@dataclass(frozen=True)
class WorkerPodResources:
    """Resources that a worker pod requests."""

    cpus: int
    memory_gib: int
    gpus: int
    disk_gib: int
    """On the node's boot disk or local SSDs, for weights, caches and logs. The kubelet evicts a pod that uses more."""
    shared_memory_gib: int


@dataclass(frozen=True)
class WorkerGroup:
    """Worker pods of one model on one node pool, one pod a node."""

    node_pool: GpuNodePoolInfo
    min_replicas: int
    """Fewest pods (KubeRay's field)."""
    max_replicas: int
    """Most pods (KubeRay's field)."""

    @property
    def pod_resources(self) -> WorkerPodResources:
        """Resources of each pod."""
        return worker_pod_resources(self.node_pool)


def schedulable_resources(vcpus: int, memory_gib: float) -> tuple[int, int]:
    """Return the vCPUs and GiB of a node that remain for this stack's pods after GKE's reservation and GKE's pods."""
    cpus, memory = allocatable(vcpus, memory_gib)
    return math.floor((cpus - SYSTEM_PODS_VCPUS) * REQUESTED_SHARE), math.floor(
        (memory - SYSTEM_PODS_GIB) * REQUESTED_SHARE
    )


def heads_per_node(vcpus: int, memory_gib: float) -> int:
    """Return the Ray heads that fit on a node of the system pool. Its boot disk is made for as many."""
    cpus, memory = schedulable_resources(vcpus, memory_gib)
    return min(cpus // HEAD_CPUS, memory // HEAD_MEMORY_GIB)


def worker_disk_gib(pod_storage_gib: float) -> int:
    """Return the GiB of ephemeral storage of a worker pod on a node where pods can request `pod_storage_gib`."""
    return math.floor(pod_storage_gib * REQUESTED_SHARE)


def worker_pod_resources(node_pool: GpuNodePoolInfo) -> WorkerPodResources:
    """Return the resources of a worker pod, which fills one node of `node_pool`."""
    cpus, memory_gib = schedulable_resources(node_pool.vcpus, node_pool.memory_gib)
    return WorkerPodResources(
        cpus=cpus,
        memory_gib=memory_gib,
        gpus=node_pool.gpus_per_node,
        disk_gib=worker_disk_gib(node_pool.pod_storage_gib),
        shared_memory_gib=max(1, math.floor(memory_gib * SHARED_MEMORY_SHARE)),
    )


def eligible_node_pools(service: ModelService, node_pools: Sequence[GpuNodePoolInfo]) -> tuple[GpuNodePoolInfo, ...]:
    """Return the node pools that `service` may use."""
    return tuple(pool for pool in node_pools if service.node_pool in (None, pool.name))


def replicas_per_node(service: ModelService, node_pool: GpuNodePoolInfo) -> int:
    """Return how many replicas of `service` a node of `node_pool` holds. A replica stays on one node."""
    engine = service.engine
    return node_pool.gpus_per_node // engine.tensor_parallel_size * engine.replicas_per_gpu


def worker_groups(service: ModelService, node_pools: Sequence[GpuNodePoolInfo]) -> tuple[WorkerGroup, ...]:
    """Return the worker groups of `service`. They fill the node pools in the order in which these are written.

    Replicas that do not fit are left out; config/cross_validation.py reports them.
    """
    replicas = service.replicas
    least = replicas.min_replicas if isinstance(replicas, Autoscaling) else replicas.num_replicas
    most = replicas.max_replicas
    groups: list[WorkerGroup] = []
    for pool in eligible_node_pools(service, node_pools):
        per_node = replicas_per_node(service, pool)
        if per_node == 0 or most <= 0:
            continue
        max_pods = min(math.ceil(most / per_node), pool.max_nodes)
        min_pods = min(math.ceil(max(least, 0) / per_node), max_pods)
        groups.append(WorkerGroup(pool, min_pods, max_pods))
        most -= max_pods * per_node
        least -= min_pods * per_node
    return tuple(groups)


def second_ray_cluster_fits(groups: Sequence[WorkerGroup]) -> bool:
    """Return True if the node pools can hold two RayClusters at once. KubeRay can then replace pods without losing a
    request."""
    return all(
        not group.node_pool.reservation_bound or group.node_pool.max_nodes >= 2 * group.max_replicas for group in groups
    )
