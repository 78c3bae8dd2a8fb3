"""List all policies of the pack."""

from __future__ import annotations

from policies import (
    container_images,
    cost,
    data_protection,
    gpu_node_pools,
    identity,
    labels,
    models,
    network,
    ray,
    reliability,
)

POLICIES = (
    *network.POLICIES,
    *identity.POLICIES,
    *data_protection.POLICIES,
    *gpu_node_pools.POLICIES,
    *reliability.POLICIES,
    *ray.POLICIES,
    *models.POLICIES,
    *container_images.POLICIES,
    *labels.POLICIES,
)
"""Policies that check one resource at a time."""
STACK_POLICIES = (
    *network.STACK_POLICIES,
    *reliability.STACK_POLICIES,
    *models.STACK_POLICIES,
    *cost.STACK_POLICIES,
)
"""Policies that check the resources of a stack together."""
