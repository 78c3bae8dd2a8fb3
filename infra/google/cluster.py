"""GKE cluster of a region: control plane, add-ons and access. node_pools.py has its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pulumi
import yaml
from pulumi import Input, ResourceOptions
from pulumi_gcp import container

from config.google.cluster import (
    ClusterDefaults,
    ControlPlaneAccess,
    ExistingCluster,
    Maintenance,
    MaintenanceExclusion,
    MaintenanceWindow,
    Weekday,
)
from config.google.project import Project
from infra.google.network import ClusterNetwork
from infra.google.provider import omit_none

MONDAY = date(2026, 1, 5)
"""Maintenance windows recur from the week of this day. Any week works, if it never changes."""

METRICS = ("SYSTEM_COMPONENTS", "POD", "DEPLOYMENT", "STATEFULSET", "DAEMONSET", "KUBELET", "CADVISOR", "DCGM")
"""Metrics that managed Prometheus collects for dashboards of Ray and GPUs. DCGM has the metrics of the GPUs."""


@dataclass(frozen=True)
class ClusterReference:
    """A new or an existing cluster, as other modules of infra use it."""

    id: Input[str]
    """`projects/P/locations/L/clusters/N`."""
    kubeconfig: pulumi.Output[str]
    membership: Input[str] | None
    """`projects/P/locations/L/memberships/N`; None without a fleet."""
    resource: container.Cluster | None = None
    """None for an existing cluster."""


@dataclass(frozen=True)
class GkeClusterArgs:
    """Arguments of `GkeCluster`."""

    project: Project
    region: str
    defaults: ClusterDefaults
    network: ClusterNetwork
    in_fleet: bool
    node_account: Input[str]
    kms_key: str | None
    """Cloud KMS key that encrypts etcd."""
    protect: bool
    depends_on: Sequence[pulumi.Resource]
    """APIs, and grants that nodes need to start."""


class GkeCluster(pulumi.ComponentResource):
    """A regional GKE cluster with private nodes, Dataplane V2, Workload Identity, the Gateway API, managed Prometheus
    and the Ray Operator add-on. Its API answers at the DNS endpoint.

    Creates no node pool and installs no CRD (GKE manages the CRDs of Ray and of the Gateway API). A change of the VPC,
    the subnetwork or the ranges of pods and Services replaces the cluster with everything that runs in it.
    """

    def __init__(self, name: str, args: GkeClusterArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:GkeCluster", name, {}, opts)
        defaults = args.defaults
        access = defaults.control_plane_access
        self.resource = container.Cluster(
            name,
            name=name,
            location=args.region,
            deletion_protection=args.protect,
            deletion_policy="PREVENT" if args.protect else "DELETE",
            # GKE creates no cluster without a node pool. This one is removed at once; it has the configuration of the
            # other pools, for projects whose organization policy rejects any other.
            remove_default_node_pool=True,
            initial_node_count=1,
            node_config=_default_pool_node_config(args),
            release_channel={"channel": defaults.release_channel},
            min_master_version=defaults.min_version,
            maintenance_policy=_maintenance_policy(defaults.maintenance),
            networking_mode="VPC_NATIVE",
            network=args.network.network,
            subnetwork=args.network.subnetwork,
            ip_allocation_policy={
                "cluster_secondary_range_name": args.network.pods_range,
                "services_secondary_range_name": args.network.services_range,
            },
            datapath_provider="ADVANCED_DATAPATH",
            private_cluster_config={"enable_private_nodes": True},
            control_plane_endpoints_config=_control_plane_endpoints(access),
            master_authorized_networks_config=_authorized_networks(access),
            workload_identity_config={"workload_pool": f"{args.project.id}.svc.id.goog"},
            enable_shielded_nodes=True,
            database_encryption={"state": "ENCRYPTED", "key_name": args.kms_key} if args.kms_key else None,
            secret_manager_config={"enabled": True},
            fleet={"project": args.project.id} if args.in_fleet else None,
            gateway_api_config={"channel": "CHANNEL_STANDARD"},
            addons_config=_addons(gcs_fuse_csi_driver=defaults.gcs_fuse_csi_driver),
            logging_config={"enable_components": ["SYSTEM_COMPONENTS", "WORKLOADS"]},
            monitoring_config={
                "enable_components": list(METRICS),
                "managed_prometheus": {"enabled": True, "auto_monitoring_config": {"scope": "NONE"}},
            },
            cost_management_config={"enabled": True},
            skip_node_pool_refresh=True,  # node pools are resources of their own; autoscaling is not drift
            opts=self._cluster_options(args),
        )
        self.cluster = self._reference(name, args)
        self.register_outputs({})

    def _cluster_options(self, args: GkeClusterArgs) -> ResourceOptions:
        return ResourceOptions(
            parent=self,
            protect=args.protect,
            depends_on=[*args.depends_on, *args.network.nat_gateways],
            delete_before_replace=True,
            custom_timeouts=pulumi.CustomTimeouts(create="2h", update="2h", delete="2h"),
            ignore_changes=[
                "initialNodeCount",  # of the removed pool: GKE returns 0, and a change replaces the cluster
                "nodeConfig",  # of the removed pool: GKE returns the first pool's, and a change replaces the cluster
            ],
        )

    def _reference(self, name: str, args: GkeClusterArgs) -> ClusterReference:
        dns_endpoint = self.resource.control_plane_endpoints_config.dns_endpoint_config.endpoint
        return ClusterReference(
            id=self.resource.id,
            kubeconfig=pulumi.Output.all(name, dns_endpoint).apply(lambda both: kubeconfig(both[0], both[1])),
            membership=self._membership(args.project) if args.in_fleet else None,
            resource=self.resource,
        )

    def _membership(self, project: Project) -> pulumi.Output[str]:
        return pulumi.Output.format(
            "projects/{}/locations/{}/memberships/{}",
            project.id,
            self.resource.fleet.membership_location,
            self.resource.fleet.membership_id,
        )


def existing_cluster(cluster: ExistingCluster, project: Project, region: str) -> ClusterReference:
    """Return the reference of an existing cluster. Creates no resource."""
    return ClusterReference(
        id=f"projects/{project.id}/locations/{region}/clusters/{cluster.name}",
        kubeconfig=pulumi.Output.from_input(kubeconfig(cluster.name, cluster.dns_endpoint)),
        membership=cluster.membership,
    )


def kubeconfig(name: str, dns_endpoint: str) -> str:
    """Return a kubeconfig in YAML, without a credential: the exec plugin gets a token when a client needs one. A public
    certificate authority signs the DNS endpoint's certificate."""
    user = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "gke-gcloud-auth-plugin",
        "installHint": "Install it with `gcloud components install gke-gcloud-auth-plugin`.",
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": f"https://{dns_endpoint}"}}],
            "users": [{"name": name, "user": {"exec": user}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        sort_keys=False,
    )


def _addons(*, gcs_fuse_csi_driver: bool) -> container.ClusterAddonsConfigArgsDict:
    return {
        "http_load_balancing": {"disabled": False},  # it includes the Gateway controller
        "gcs_fuse_csi_driver_config": {"enabled": gcs_fuse_csi_driver},
        "ray_operator_configs": [
            {
                "enabled": True,
                "ray_cluster_logging_config": {"enabled": True},
                "ray_cluster_monitoring_config": {"enabled": True},
            }
        ],
    }


def _default_pool_node_config(args: GkeClusterArgs) -> container.ClusterNodeConfigArgsDict:
    return omit_none(
        {
            "service_account": args.node_account,
            "shielded_instance_config": {"enable_secure_boot": True, "enable_integrity_monitoring": True},
            "boot_disk_kms_key": args.kms_key,
        }
    )


def _control_plane_endpoints(access: ControlPlaneAccess) -> container.ClusterControlPlaneEndpointsConfigArgsDict:
    return {
        "dns_endpoint_config": {"allow_external_traffic": access.allow_external_traffic},
        "ip_endpoints_config": {"enabled": bool(access.authorized_networks)},
    }


def _authorized_networks(access: ControlPlaneAccess) -> container.ClusterMasterAuthorizedNetworksConfigArgsDict | None:
    if not access.authorized_networks:
        return None
    return {
        "cidr_blocks": [{"display_name": n.name, "cidr_block": str(n.cidr)} for n in access.authorized_networks],
        "gcp_public_cidrs_access_enabled": False,
    }


def _maintenance_policy(maintenance: Maintenance) -> container.ClusterMaintenancePolicyArgsDict | None:
    if maintenance.window is None:
        return None
    return {
        "recurring_window": _window(maintenance.window),
        "maintenance_exclusions": [_exclusion(exclusion) for exclusion in maintenance.exclusions],
    }


def _window(window: MaintenanceWindow) -> container.ClusterMaintenancePolicyRecurringWindowArgsDict:
    week = list(Weekday)
    days = sorted(set(window.days), key=week.index)
    first = MONDAY + timedelta(days=week.index(days[0]))  # the first occurrence is on one of the days
    start = f"{first}T{window.start_hour:02}:00:00Z"
    last, hour = divmod(window.start_hour + window.duration_hours, 24)
    end = f"{first + timedelta(days=last)}T{hour:02}:00:00Z"
    return {"start_time": start, "end_time": end, "recurrence": f"FREQ=WEEKLY;BYDAY={','.join(days)}"}


def _exclusion(exclusion: MaintenanceExclusion) -> container.ClusterMaintenancePolicyMaintenanceExclusionArgsDict:
    open_end = exclusion.end_date is None
    return omit_none(
        {
            "exclusion_name": exclusion.name,
            "start_time": f"{exclusion.start_date}T00:00:00Z",
            "end_time": None if open_end else f"{exclusion.end_date}T00:00:00Z",
            "exclusion_options": omit_none(
                {"scope": exclusion.scope, "end_time_behavior": "UNTIL_END_OF_SUPPORT" if open_end else None}
            ),
        }
    )
