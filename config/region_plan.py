"""Derive, once for each region, its release, its model services and the worker groups that they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.google.infra import GoogleInfra
from config.google.scheduling import gpu_pool_info
from config.model_service import ModelService
from config.node_pool_info import GpuNodePoolInfo
from config.releases import Release
from config.serving import ServingSettings
from config.sizing import WorkerGroup, second_ray_cluster_fits, worker_groups


@dataclass(frozen=True)
class ServicePlan:
    """One model service of a region: one RayService."""

    name: str
    """Name of the RayService."""
    service: ModelService
    """Settings of the model, with the overrides of the region's release."""
    worker_groups: tuple[WorkerGroup, ...]
    """Worker pods for each node pool, in the order in which the pools are written."""
    second_ray_cluster_fits: bool
    """True if the node pools can hold two RayClusters at once."""


@dataclass(frozen=True)
class RegionPlan:
    """What runs in one region."""

    release_name: str
    """Key of `serving.kubernetes.releases`."""
    release: Release
    """The release of that name."""
    services: tuple[ServicePlan, ...]
    """The primary model first, then the additional models in the order in which they are written."""
    node_pools: tuple[GpuNodePoolInfo, ...]
    """GPU node pools of the region."""


def plan_region(serving: ServingSettings, release: str, node_pools: Sequence[GpuNodePoolInfo]) -> RegionPlan | None:
    """Return the plan of a region with `node_pools` whose settings name `release`, or None for an unknown release.

    `release` may be empty if there is one release only.
    """
    if serving.kubernetes is None or (chosen := serving.kubernetes.release(release)) is None:
        return None
    services: list[ServicePlan] = []
    for name, service in serving.named_services(chosen):
        groups = worker_groups(service, node_pools)
        services.append(ServicePlan(name, service, groups, second_ray_cluster_fits(groups)))
    return RegionPlan(serving.kubernetes.release_name(release), chosen, tuple(services), tuple(node_pools))


def find_warnings(plans: Mapping[str, RegionPlan]) -> Iterator[str]:
    """Yield a sentence for each RayService whose region has no room for a second RayCluster."""
    for region, plan in plans.items():
        for service in plan.services:
            if not service.second_ray_cluster_fits:
                needed = sum(group.max_replicas for group in service.worker_groups)
                available = sum(group.node_pool.max_nodes for group in service.worker_groups)
                yield (
                    f"serving.replicas: {service.name} needs {needed} of the {available} reserved nodes in {region}, "
                    f"so no second RayCluster fits beside it and KubeRay cannot replace its pods. "
                    f"Reserve {2 * needed} nodes, write fewer replicas, or drain the region before each edit of pods."
                )


def plan_regions(serving: ServingSettings, infra: GoogleInfra) -> dict[str, RegionPlan]:
    """Return the plan of every region of `infra` whose release exists, by the region's name."""
    plans = {
        region.name: plan_region(serving, region.release, [gpu_pool_info(pool) for pool in region.node_pools])
        for region in infra.regions
    }
    return {name: plan for name, plan in plans.items() if plan is not None}
