"""A region's GKE cluster: its control plane, add-ons, and who may reach it. Its nodes are in node_pools.py."""

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
"""Windows recur from the week of this day on; any week would do, but always the same."""

METRICS = ("SYSTEM_COMPONENTS", "POD", "DEPLOYMENT", "STATEFULSET", "DAEMONSET", "KUBELET", "CADVISOR", "DCGM")
"""What managed Prometheus collects: what a Ray or GPU dashboard asks for. DCGM is the GPUs' own."""


@dataclass(frozen=True)
class ClusterReference:
    """A cluster, made here or elsewhere, as the rest of this layer uses it."""

    id: Input[str]
    """`projects/P/locations/L/clusters/N`."""
    kubeconfig: pulumi.Output[str]
    membership: Input[str] | None
    """`projects/P/locations/L/memberships/N`; None outside a fleet."""
    resource: container.Cluster | None = None
    """None where it was made elsewhere."""


@dataclass(frozen=True)
class GkeClusterArgs:
    project: Project
    region: str
    options: ClusterDefaults
    network: ClusterNetwork
    in_fleet: bool
    node_account: Input[str]
    kms_key: str | None
    """Cloud KMS key for what is in etcd."""
    protect: bool
    depends_on: Sequence[pulumi.Resource]
    """APIs, and grants without which nodes cannot start."""


class GkeCluster(pulumi.ComponentResource):
    """Makes: a regional cluster with private nodes, Dataplane V2, Workload Identity, the Gateway API, managed
    Prometheus and the Ray Operator add-on, whose API answers at its DNS endpoint.

    Does not: make nodes, or install a CRD (GKE owns those of Ray and of the Gateway API).
    Replaces: itself, with all that runs in it, when its VPC, subnetwork or ranges for pods and Services change.
    """

    def __init__(self, name: str, args: GkeClusterArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:GkeCluster", name, {}, opts)
        options = args.options
        self.resource = container.Cluster(
            name,
            name=name,
            location=args.region,
            deletion_protection=args.protect,
            deletion_policy="PREVENT" if args.protect else "DELETE",
            # GKE makes no cluster without a pool. This one goes at once; it is made like ours, for projects whose
            # organization allows no other nodes.
            remove_default_node_pool=True,
            initial_node_count=1,
            node_config=_default_pool_node_config(args),
            release_channel={"channel": options.release_channel},
            min_master_version=options.min_version,
            maintenance_policy=_maintenance(options.maintenance),
            networking_mode="VPC_NATIVE",
            network=args.network.network,
            subnetwork=args.network.subnetwork,
            ip_allocation_policy={
                "cluster_secondary_range_name": args.network.pods_range,
                "services_secondary_range_name": args.network.services_range,
            },
            datapath_provider="ADVANCED_DATAPATH",
            private_cluster_config={"enable_private_nodes": True},
            control_plane_endpoints_config=_endpoints(options.control_plane_access),
            master_authorized_networks_config=_authorized(options.control_plane_access),
            workload_identity_config={"workload_pool": f"{args.project.id}.svc.id.goog"},
            enable_shielded_nodes=True,
            database_encryption={"state": "ENCRYPTED", "key_name": args.kms_key} if args.kms_key else None,
            secret_manager_config={"enabled": True},
            fleet={"project": args.project.id} if args.in_fleet else None,
            gateway_api_config={"channel": "CHANNEL_STANDARD"},
            addons_config={
                "http_load_balancing": {"disabled": False},  # the Gateway controller is a part of it
                "gcs_fuse_csi_driver_config": {"enabled": options.gcs_fuse_csi_driver},
                "ray_operator_configs": [
                    {
                        "enabled": True,
                        "ray_cluster_logging_config": {"enabled": True},
                        "ray_cluster_monitoring_config": {"enabled": True},
                    }
                ],
            },
            logging_config={"enable_components": ["SYSTEM_COMPONENTS", "WORKLOADS"]},
            monitoring_config={
                "enable_components": list(METRICS),
                "managed_prometheus": {"enabled": True, "auto_monitoring_config": {"scope": "NONE"}},
            },
            cost_management_config={"enabled": True},
            skip_node_pool_refresh=True,  # pools are resources of their own; the autoscaler's doings are no drift
            opts=ResourceOptions(
                parent=self,
                protect=args.protect,
                depends_on=[*args.depends_on, *args.network.nat_gateways],
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create="2h", update="2h", delete="2h"),
                ignore_changes=[
                    "initialNodeCount",  # of the pool that is gone: GKE answers 0, and a change replaces the cluster
                    "nodeConfig",  # of the pool that is gone: GKE answers with the first pool's, to the same effect
                ],
            ),
        )
        endpoints = self.resource.control_plane_endpoints_config
        self.cluster = ClusterReference(
            id=self.resource.id,
            kubeconfig=pulumi.Output.all(name, endpoints.dns_endpoint_config.endpoint).apply(
                lambda both: kubeconfig(both[0], both[1])
            ),
            membership=pulumi.Output.format(
                "projects/{}/locations/{}/memberships/{}",
                args.project.id,
                self.resource.fleet.membership_location,
                self.resource.fleet.membership_id,
            )
            if args.in_fleet
            else None,
            resource=self.resource,
        )
        self.register_outputs({})


def existing_cluster(cluster: ExistingCluster, project: Project, region: str) -> ClusterReference:
    """The same of a cluster that was made elsewhere; nothing is made."""
    return ClusterReference(
        id=f"projects/{project.id}/locations/{region}/clusters/{cluster.name}",
        kubeconfig=pulumi.Output.from_input(kubeconfig(cluster.name, cluster.dns_endpoint)),
        membership=cluster.membership,
    )


def kubeconfig(name: str, dns_endpoint: str) -> str:
    """YAML that holds no credential: the plugin asks for a token when one is needed. The DNS endpoint's certificate is
    one that everybody trusts."""
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


def _default_pool_node_config(args: GkeClusterArgs) -> container.ClusterNodeConfigArgsDict:
    return omit_none(
        {
            "service_account": args.node_account,
            "shielded_instance_config": {"enable_secure_boot": True, "enable_integrity_monitoring": True},
            "boot_disk_kms_key": args.kms_key,
        }
    )


def _endpoints(access: ControlPlaneAccess) -> container.ClusterControlPlaneEndpointsConfigArgsDict:
    return {
        "dns_endpoint_config": {"allow_external_traffic": access.allow_external_traffic},
        "ip_endpoints_config": {"enabled": bool(access.authorized_networks)},
    }


def _authorized(access: ControlPlaneAccess) -> container.ClusterMasterAuthorizedNetworksConfigArgsDict | None:
    if not access.authorized_networks:
        return None
    return {
        "cidr_blocks": [{"display_name": n.name, "cidr_block": str(n.cidr)} for n in access.authorized_networks],
        "gcp_public_cidrs_access_enabled": False,
    }


def _maintenance(maintenance: Maintenance) -> container.ClusterMaintenancePolicyArgsDict | None:
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
