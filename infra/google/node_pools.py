"""A cluster's node pools: one without GPUs for Ray heads and controllers, and the GPU pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import Input, ResourceOptions
from pulumi_gcp import container

from config.google.machine_types import MachineType
from config.google.node_pool_spec import NodePoolSpec
from config.google.node_pools import SYSTEM_PODS_PER_NODE, SYSTEM_POOL_NAME, GpuNodePool, SystemPool
from config.google.resource_names import ResourceNames
from config.google.scheduling import GPU_TAINT, POOL_LABEL, gpu_pool_info, system_pool_info
from infra.google.cluster import ClusterReference
from infra.google.provider import omit_none

NODE_POOL_TIMEOUTS = pulumi.CustomTimeouts(create="2h", update="4h", delete="2h")
"""Operations on large pools take longer than the provider's 30 minutes (GoogleCloudPlatform/magic-modules#18250)."""
IGNORE_INITIAL_NODE_COUNT = "initialNodeCount"
"""Left alone after birth: GKE can answer with another size, and a change replaces the pool (pulumi/pulumi-gcp#412)."""
IGNORE_LOCAL_SSD = ("nodeConfig.ephemeralStorageLocalSsdConfig", "nodeConfig.localNvmeSsdBlockConfig")
"""Left alone after birth: they come with the machine type, GKE answers with either form, and a change replaces the pool
(GoogleCloudPlatform/cluster-toolkit, gke-node-pool)."""


@dataclass(frozen=True)
class NodePoolsArgs:
    names: ResourceNames
    region: str
    cluster: ClusterReference
    system: SystemPool
    pools: Sequence[GpuNodePool]
    node_account: Input[str]
    labels: Mapping[str, str]
    """On the VMs; the provider's default labels do not reach them."""
    image_streaming: bool
    kms_key: str | None
    """Cloud KMS key for boot disks."""
    depends_on: Sequence[pulumi.Resource]


class NodePools(pulumi.ComponentResource):
    """Makes: the system pool; each GPU pool, born empty or at the size that a reservation promised.

    Does not: wait for a GPU that nobody promised: pods bring autoscaled nodes.
    Replaces: a pool, when its capacity kind or reservation, GPUs, driver, pods per node, compact placement or key
    changes (delete, then create: its name and its GPUs are there once). Machine type, zones, size, labels and taints
    change in place, node by node. A pool under another name comes up beside the old one.
    """

    def __init__(self, name: str, args: NodePoolsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:NodePools", name, {}, opts)
        self._args = args
        system = self._system()
        gpu = [self._gpu(pool) for pool in args.pools]
        self.pools: tuple[pulumi.Resource, ...] = (system, *gpu)
        self.system_pool = system_pool_info(args.system)
        self.gpu_pools = tuple(gpu_pool_info(pool) for pool in args.pools)
        self.register_outputs({})

    def _system(self) -> container.NodePool:
        pool = self._args.system
        return self._pool(
            SYSTEM_POOL_NAME,
            initial_node_count=1,  # in each zone; GKE's own pods need a node before the autoscaler can run
            autoscaling={
                "total_min_node_count": pool.total_min_nodes,
                "total_max_node_count": pool.total_max_nodes,
                "location_policy": "BALANCED",
            },
            management={"auto_repair": True, "auto_upgrade": True},
            upgrade_settings={"strategy": "SURGE", "max_surge": 1, "max_unavailable": 0},
            max_pods_per_node=SYSTEM_PODS_PER_NODE,
            node_config=self._node_config(SYSTEM_POOL_NAME, pool.machine, disk_gib=100),
        )

    def _gpu(self, pool: GpuNodePool) -> container.NodePool:
        terms, machine = pool.spec, pool.machine
        node_config: container.NodePoolNodeConfigArgsDict = {
            **self._node_config(pool.name, machine, pool.boot_disk_size_gib),
            "guest_accelerators": [
                {
                    "type": machine.accelerator.name,
                    "count": machine.gpus,
                    "gpu_driver_installation_config": {"gpu_driver_version": pool.gpu_driver_version},
                }
            ],
            "gvnic": {"enabled": True},
            "taints": [{"key": GPU_TAINT.key, "value": GPU_TAINT.value, "effect": "NO_SCHEDULE"}],
            "reservation_affinity": _affinity(terms),
            "spot": terms.spot,
            "flex_start": terms.flex_start,
            "max_run_duration": terms.max_run_duration,
            "ephemeral_storage_local_ssd_config": {"local_ssd_count": machine.local_ssds}
            if machine.local_ssds
            else None,
        }
        static = terms.node_count is not None
        return self._pool(
            pool.name,
            node_count=terms.node_count,
            initial_node_count=None if static else terms.initial_node_count,
            autoscaling=None if static else _autoscaling(terms),
            node_locations=list(terms.node_locations),
            management={"auto_repair": terms.auto_repair, "auto_upgrade": terms.auto_upgrade},
            upgrade_settings={
                "strategy": terms.upgrade_settings.strategy,
                "max_surge": terms.upgrade_settings.max_surge,
                "max_unavailable": terms.upgrade_settings.max_unavailable,
            }
            if terms.upgrade_settings
            else None,
            placement_policy={"type": terms.placement} if terms.placement else None,
            max_pods_per_node=pool.max_pods_per_node,
            node_config=node_config,
            ignore=IGNORE_LOCAL_SSD if machine.local_ssds else (),
        )

    def _node_config(self, pool: str, machine: MachineType, disk_gib: int) -> container.NodePoolNodeConfigArgsDict:
        return {
            "machine_type": machine.name,
            "image_type": "COS_CONTAINERD",
            "disk_type": machine.boot_disk_type,
            "disk_size_gb": disk_gib,
            "service_account": self._args.node_account,
            "oauth_scopes": ["https://www.googleapis.com/auth/cloud-platform"],  # the account's roles decide
            "shielded_instance_config": {"enable_secure_boot": True, "enable_integrity_monitoring": True},
            "workload_metadata_config": {"mode": "GKE_METADATA"},
            "metadata": {"disable-legacy-endpoints": "true"},  # GKE sets it by itself, and it would show as a change
            "gcfs_config": {"enabled": self._args.image_streaming},
            "labels": {POOL_LABEL: pool},
            "resource_labels": dict(self._args.labels),
            "tags": [self._args.names.node_tag()],
            "boot_disk_kms_key": self._args.kms_key,
        }

    def _pool(
        self,
        pool: str,
        *,
        ignore: Sequence[str] = (),
        max_pods_per_node: int,
        management: container.NodePoolManagementArgsDict,
        node_config: container.NodePoolNodeConfigArgsDict,
        autoscaling: container.NodePoolAutoscalingArgsDict | None,
        initial_node_count: int | None,
        upgrade_settings: container.NodePoolUpgradeSettingsArgsDict | None,
        node_count: int | None = None,
        node_locations: Sequence[str] | None = None,
        placement_policy: container.NodePoolPlacementPolicyArgsDict | None = None,
    ) -> container.NodePool:
        args = self._args
        name = args.names.node_pool(args.region, pool)
        return container.NodePool(
            name,
            name=name,
            cluster=args.cluster.id,
            location=args.region,
            autoscaling=autoscaling,
            initial_node_count=initial_node_count,
            node_count=node_count,
            ignore_node_count_changes=autoscaling is not None,
            node_locations=node_locations,
            management=management,
            upgrade_settings=upgrade_settings,
            placement_policy=placement_policy,
            max_pods_per_node=max_pods_per_node,
            network_config={"enable_private_nodes": True},
            node_config=omit_none(node_config),
            opts=ResourceOptions(
                parent=self,
                depends_on=list(args.depends_on),
                deleted_with=args.cluster.resource,
                delete_before_replace=True,
                custom_timeouts=NODE_POOL_TIMEOUTS,
                ignore_changes=[IGNORE_INITIAL_NODE_COUNT, *ignore],
            ),
        )


def _autoscaling(terms: NodePoolSpec) -> container.NodePoolAutoscalingArgsDict:
    return omit_none(
        {
            "total_min_node_count": terms.total_min_node_count,
            "total_max_node_count": terms.total_max_node_count,
            "location_policy": terms.location_policy,
        }
    )


def _affinity(terms: NodePoolSpec) -> container.NodePoolNodeConfigReservationAffinityArgsDict:
    affinity = terms.reservation_affinity
    return omit_none(
        {
            "consume_reservation_type": affinity.consume_reservation_type,
            "key": affinity.key,
            "values": list(affinity.values) or None,
        }
    )
