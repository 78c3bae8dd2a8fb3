"""What the pools of the settings are to pods: labels to select, taints to tolerate, what a node has. Plain data."""

from __future__ import annotations

from config.google.node_pools import SYSTEM_POOL, GpuPool, SystemPool
from config.node_pool_info import GpuNodeGroup, NodeGroup, Toleration

POOL_LABEL = "rayllm/pool"
"""Node label with the name that the settings give to the pool."""
GPU_TAINT = Toleration(key="nvidia.com/gpu", value="present")
"""GKE adds it to GPU pools by itself where a cluster has others; written here, it is no surprise."""


def head_nodes(pool: SystemPool) -> NodeGroup:
    """Nodes without GPUs."""
    machine = pool.machine
    return NodeGroup(
        name=SYSTEM_POOL,
        node_selector={POOL_LABEL: SYSTEM_POOL},
        tolerations=(),
        machine_type=machine.name,
        vcpus=machine.vcpus,
        memory_gib=machine.memory_gib,
        min_nodes=pool.min_nodes,
        max_nodes=pool.max_nodes,
    )


def gpu_nodes(pool: GpuPool) -> GpuNodeGroup:
    """Nodes of a GPU pool."""
    machine, terms = pool.machine, pool.terms
    return GpuNodeGroup(
        name=pool.name,
        node_selector={"cloud.google.com/gke-accelerator": machine.accelerator.name, POOL_LABEL: pool.name},
        tolerations=(GPU_TAINT,),
        machine_type=machine.name,
        vcpus=machine.vcpus,
        memory_gib=machine.memory_gib,
        min_nodes=terms.node_count if terms.node_count is not None else terms.total_min_node_count or 0,
        max_nodes=terms.most_nodes,
        accelerator=machine.accelerator.ray,
        gpus_per_node=machine.gpus,
        gpu_memory_gib=machine.accelerator.memory_gib,
        local_ssd_gib=machine.local_ssd_gib,
        fixed=terms.fixed,
        may_wait=terms.may_wait,
    )
