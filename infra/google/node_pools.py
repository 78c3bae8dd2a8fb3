"""Node pools of a cluster: the system pool for Ray heads and controllers, and the GPU node pools."""

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
"""Operations on large node pools take longer than the provider's 30 minutes
(GoogleCloudPlatform/magic-modules#18250)."""
IGNORE_INITIAL_NODE_COUNT = "initialNodeCount"
"""Ignored after creation: GKE can return another size, and a change replaces the pool (pulumi/pulumi-gcp#412)."""
IGNORE_LOCAL_SSD = ("nodeConfig.ephemeralStorageLocalSsdConfig", "nodeConfig.localNvmeSsdBlockConfig")
"""Ignored after creation: the machine type decides the local SSDs, GKE returns either form, and a change replaces
the pool (GoogleCloudPlatform/cluster-toolkit, gke-node-pool)."""


@dataclass(frozen=True)
class NodePoolsArgs:
    """Arguments of `NodePools`."""

    names: ResourceNames
    region: str
    cluster: ClusterReference
    system: SystemPool
    pools: Sequence[GpuNodePool]
    node_account: Input[str]
    labels: Mapping[str, str]
    """Labels of the VMs; the provider's default labels do not reach them."""
    image_streaming: bool
    kms_key: str | None
    """Cloud KMS key for boot disks."""
    depends_on: Sequence[pulumi.Resource]


class NodePools(pulumi.ComponentResource):
    """The system pool and the GPU node pools. A GPU pool starts empty, or at the size that a reservation guarantees.

    Does not wait for a GPU without a reservation: the autoscaler adds nodes when pods need them. A change of capacity
    kind, reservation, GPU model, driver, pods per node, compact placement or key replaces a pool (Pulumi deletes it
    first: its name and its GPUs exist once). Machine type, zones, size, labels and taints change in place, one node at
    a time. A pool with another name starts beside the old one.
    """

    def __init__(self, name: str, args: NodePoolsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:NodePools", name, {}, opts)
        self._args = args
        system = self._create_system_pool()
        gpu = [self._create_gpu_pool(pool) for pool in args.pools]
        self.pools: tuple[pulumi.Resource, ...] = (system, *gpu)
        self.system_pool = system_pool_info(args.system)
        self.gpu_pools = tuple(gpu_pool_info(pool) for pool in args.pools)
        self.register_outputs({})

    def _create_system_pool(self) -> container.NodePool:
        pool = self._args.system
        return self._create_pool(
            SYSTEM_POOL_NAME,
            initial_node_count=1,  # in each zone; GKE's own pods need a node before the autoscaler runs
            autoscaling={
                "total_min_node_count": pool.total_min_nodes,
                "total_max_node_count": pool.total_max_nodes,
                "location_policy": "BALANCED",
            },
            management={"auto_repair": True, "auto_upgrade": True},
            upgrade_settings={"strategy": "SURGE", "max_surge": 1, "max_unavailable": 0},
            max_pods_per_node=SYSTEM_PODS_PER_NODE,
            node_config=self._node_config(SYSTEM_POOL_NAME, pool.machine, disk_gib=pool.boot_disk_size_gib),
        )

    def _create_gpu_pool(self, pool: GpuNodePool) -> container.NodePool:
        spec, machine = pool.spec, pool.machine
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
            "reservation_affinity": _reservation_affinity(spec),
            "spot": spec.spot,
            "flex_start": spec.flex_start,
            "max_run_duration": spec.max_run_duration,
            "ephemeral_storage_local_ssd_config": {"local_ssd_count": machine.local_ssds}
            if machine.local_ssds
            else None,
        }
        fixed = spec.node_count is not None
        return self._create_pool(
            pool.name,
            node_count=spec.node_count,
            initial_node_count=None if fixed else spec.initial_node_count,
            autoscaling=None if fixed else _autoscaling(spec),
            node_locations=list(spec.node_locations),
            management={"auto_repair": spec.auto_repair, "auto_upgrade": spec.auto_upgrade},
            upgrade_settings={
                "strategy": spec.upgrade_settings.strategy,
                "max_surge": spec.upgrade_settings.max_surge,
                "max_unavailable": spec.upgrade_settings.max_unavailable,
            }
            if spec.upgrade_settings
            else None,
            placement_policy={"type": spec.placement} if spec.placement else None,
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
            "oauth_scopes": [
                "https://www.googleapis.com/auth/cloud-platform"
            ],  # the roles of the service account decide
            "shielded_instance_config": {"enable_secure_boot": True, "enable_integrity_monitoring": True},
            "workload_metadata_config": {"mode": "GKE_METADATA"},
            "metadata": {"disable-legacy-endpoints": "true"},  # GKE sets it; without it every preview shows a change
            "gcfs_config": {"enabled": self._args.image_streaming},
            "labels": {POOL_LABEL: pool},
            "resource_labels": dict(self._args.labels),
            "tags": [self._args.names.node_tag()],
            "boot_disk_kms_key": self._args.kms_key,
        }

    def _create_pool(
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


def _autoscaling(spec: NodePoolSpec) -> container.NodePoolAutoscalingArgsDict:
    return omit_none(
        {
            "total_min_node_count": spec.total_min_node_count,
            "total_max_node_count": spec.total_max_node_count,
            "location_policy": spec.location_policy,
        }
    )


def _reservation_affinity(spec: NodePoolSpec) -> container.NodePoolNodeConfigReservationAffinityArgsDict:
    affinity = spec.reservation_affinity
    return omit_none(
        {
            "consume_reservation_type": affinity.consume_reservation_type,
            "key": affinity.key,
            "values": list(affinity.values) or None,
        }
    )
