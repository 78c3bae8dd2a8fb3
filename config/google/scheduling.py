"""Describe node pools to workloads: labels to select, taints to tolerate, and the size of a node."""

from __future__ import annotations

from config.google.node_pools import SYSTEM_POOL_NAME, GpuNodePool, SystemPool
from config.google.node_storage import pod_storage_gib
from config.node_pool_info import GpuNodePoolInfo, NodePoolInfo, Toleration

POOL_LABEL = "rayllm/pool"
"""Node label with the pool's name of the settings."""
GPU_TAINT = Toleration(key="nvidia.com/gpu", value="present")
"""Taint of GPU nodes. GKE adds it itself if the cluster also has nodes without GPUs; setting it keeps previews
stable."""


def system_pool_info(pool: SystemPool) -> NodePoolInfo:
    """Return the system pool as workloads see it."""
    machine = pool.machine
    return NodePoolInfo(
        name=SYSTEM_POOL_NAME,
        node_selector={POOL_LABEL: SYSTEM_POOL_NAME},
        tolerations=(),
        machine_type=machine.name,
        vcpus=machine.vcpus,
        memory_gib=machine.memory_gib,
        min_nodes=pool.total_min_nodes,
        max_nodes=pool.total_max_nodes,
    )


def gpu_pool_info(pool: GpuNodePool) -> GpuNodePoolInfo:
    """Return a GPU node pool as workloads see it."""
    machine, spec = pool.machine, pool.spec
    return GpuNodePoolInfo(
        name=pool.name,
        node_selector={"cloud.google.com/gke-accelerator": machine.accelerator.name, POOL_LABEL: pool.name},
        tolerations=(GPU_TAINT,),
        machine_type=machine.name,
        vcpus=machine.vcpus,
        memory_gib=machine.memory_gib,
        min_nodes=spec.node_count if spec.node_count is not None else spec.total_min_node_count or 0,
        max_nodes=spec.max_nodes,
        ray_accelerator_type=machine.accelerator.ray_accelerator_type,
        gpus_per_node=machine.gpus,
        gpu_memory_gib=machine.accelerator.memory_gib,
        local_ssd_gib=machine.local_ssd_gib,
        pod_storage_gib=pod_storage_gib(pool.boot_disk_size_gib, machine.local_ssds, machine.local_ssd_gib),
        reservation_bound=spec.reservation_bound,
        waits_for_capacity=spec.waits_for_capacity,
    )
