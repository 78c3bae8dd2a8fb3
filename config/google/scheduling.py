"""What the pools of the settings are to pods: labels to select, taints to tolerate, what a node has. Plain data."""

from __future__ import annotations

from config.google.node_pools import SYSTEM_POOL_NAME, GpuNodePool, SystemPool
from config.node_pool_info import GpuNodePoolInfo, NodePoolInfo, Toleration

POOL_LABEL = "rayllm/pool"
"""Node label with the name that the settings give to the pool."""
GPU_TAINT = Toleration(key="nvidia.com/gpu", value="present")
"""GKE adds it to GPU pools by itself where a cluster has others; written here, it is no surprise."""


def system_pool_info(pool: SystemPool) -> NodePoolInfo:
    """Nodes without GPUs."""
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
    """Nodes of a GPU pool."""
    machine, terms = pool.machine, pool.spec
    return GpuNodePoolInfo(
        name=pool.name,
        node_selector={"cloud.google.com/gke-accelerator": machine.accelerator.name, POOL_LABEL: pool.name},
        tolerations=(GPU_TAINT,),
        machine_type=machine.name,
        vcpus=machine.vcpus,
        memory_gib=machine.memory_gib,
        min_nodes=terms.node_count if terms.node_count is not None else terms.total_min_node_count or 0,
        max_nodes=terms.max_nodes,
        ray_accelerator_type=machine.accelerator.ray_accelerator_type,
        gpus_per_node=machine.gpus,
        gpu_memory_gib=machine.accelerator.memory_gib,
        local_ssd_gib=machine.local_ssd_gib,
        reservation_bound=terms.reservation_bound,
        waits_for_capacity=terms.waits_for_capacity,
    )
