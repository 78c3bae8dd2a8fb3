"""VPC: subnetworks of nodes, pods and load balancer proxies, Cloud NAT and firewall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import Input, ResourceOptions
from pulumi_gcp import compute

from config.google.ip_plan import RegionCidrs
from config.google.network import ExistingNetwork, SharedVpcNetwork
from config.google.project import Project
from config.google.resource_names import ResourceNames
from config.kuberay import SERVE_PORT

HEALTH_CHECK_RANGES = ("35.191.0.0/16", "130.211.0.0/22")
"""Source ranges of Google's health checks and of the proxies of global external load balancers."""
MTU = 8896
"""Greatest MTU of a VPC. A later change requires a stop of every VM."""


@dataclass(frozen=True)
class ClusterNetwork:
    """Network of a region's cluster."""

    network: Input[str]
    subnetwork: Input[str]
    pods_range: str
    services_range: str
    nat_gateways: tuple[pulumi.Resource, ...] = ()
    """Nodes reach the internet after these exist."""
    proxy_only_subnets: tuple[pulumi.Resource, ...] = ()
    """The load balancer's proxies run after these exist."""


@dataclass(frozen=True)
class NetworkArgs:
    """Arguments of `Network`."""

    names: ResourceNames
    regions: Mapping[str, RegionCidrs]
    proxy_purpose: str | None
    """Purpose of the proxy-only subnetworks: GLOBAL_MANAGED_PROXY, REGIONAL_MANAGED_PROXY, or None for an external
    gateway, whose proxies are outside the VPC."""
    api_dependencies: Sequence[pulumi.Resource]


class Network(pulumi.ComponentResource):
    """A VPC; in each region a subnetwork with ranges for pods and Services, Cloud NAT, and the proxy-only subnetwork
    that the gateway needs; a firewall rule that lets health checks and proxies reach Ray Serve.

    Creates no peering and no other firewall rule; GKE creates the rules of its control plane. A smaller node range, or
    another range of pods or Services, replaces the subnetwork and the region's cluster. A new or removed region changes
    no other region.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:Network", name, {}, opts)
        self._child = ResourceOptions(parent=self)
        self._args = args
        vpc = args.names.vpc()
        self.vpc = compute.Network(
            vpc,
            name=vpc,
            auto_create_subnetworks=False,
            routing_mode="GLOBAL",  # clients in one region reach the gateway in another
            mtu=MTU,
            opts=ResourceOptions(parent=self, depends_on=list(args.api_dependencies)),
        )
        self.regions = {region: self._region(region, ranges) for region, ranges in args.regions.items()}
        firewall = args.names.firewall()
        proxies = (
            [str(_proxy_range(r, args.proxy_purpose)) for r in args.regions.values()] if args.proxy_purpose else []
        )
        self.firewall = compute.Firewall(
            firewall,
            name=firewall,
            network=self.vpc.id,
            direction="INGRESS",
            source_ranges=[*HEALTH_CHECK_RANGES, *proxies],
            target_tags=[args.names.node_tag()],
            allows=[{"protocol": "tcp", "ports": [str(SERVE_PORT)]}],
            opts=self._child,
        )
        self.register_outputs({})

    def _region(self, region: str, ranges: RegionCidrs) -> ClusterNetwork:
        names = self._args.names
        pods, services = names.pods_range(region), names.services_range(region)
        subnetwork = compute.Subnetwork(
            names.subnetwork(region),
            name=names.subnetwork(region),
            network=self.vpc.id,
            region=region,
            ip_cidr_range=str(ranges.nodes),
            secondary_ip_ranges=[
                {"range_name": pods, "ip_cidr_range": str(ranges.pods)},
                {"range_name": services, "ip_cidr_range": str(ranges.services)},
            ],
            private_ip_google_access=True,
            # Google changes no range that a cluster uses. With these options Pulumi deletes the cluster first.
            opts=ResourceOptions(parent=self, replace_on_changes=["secondaryIpRanges"], delete_before_replace=True),
        )
        router = compute.Router(
            names.router(region), name=names.router(region), network=self.vpc.id, region=region, opts=self._child
        )
        nat = compute.RouterNat(
            names.nat(region),
            name=names.nat(region),
            router=router.name,
            region=region,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
            enable_dynamic_port_allocation=True,
            enable_endpoint_independent_mapping=False,  # Google accepts no other value with dynamic ports
            log_config={"enable": True, "filter": "ERRORS_ONLY"},
            opts=self._child,
        )
        return ClusterNetwork(
            network=self.vpc.id,
            subnetwork=subnetwork.id,
            pods_range=pods,
            services_range=services,
            nat_gateways=(nat,),
            proxy_only_subnets=(self._proxy_subnetwork(region, ranges, self._args.proxy_purpose),)
            if self._args.proxy_purpose
            else (),
        )

    def _proxy_subnetwork(self, region: str, ranges: RegionCidrs, purpose: str) -> compute.Subnetwork:
        name = self._args.names.proxy_subnetwork(region, purpose)
        return compute.Subnetwork(
            name,
            name=name,
            network=self.vpc.id,
            region=region,
            ip_cidr_range=str(_proxy_range(ranges, purpose)),
            purpose=purpose,
            role="ACTIVE",  # a VPC has one active subnetwork of each purpose and region
            opts=self._child,
        )


def existing_network(network: ExistingNetwork | SharedVpcNetwork, project: Project) -> dict[str, ClusterNetwork]:
    """Return the network of each region of an existing VPC. Creates no resource."""
    project_id = network.host_project.id if isinstance(network, SharedVpcNetwork) else project.id
    return {
        region: ClusterNetwork(
            network=f"projects/{project_id}/global/networks/{network.name}",
            subnetwork=f"projects/{project_id}/regions/{region}/subnetworks/{subnetwork.name}",
            pods_range=subnetwork.pods_range_name,
            services_range=subnetwork.services_range_name,
        )
        for region, subnetwork in network.subnetworks.items()
    }


def _proxy_range(ranges: RegionCidrs, purpose: str) -> object:
    return ranges.global_proxy_only if purpose == "GLOBAL_MANAGED_PROXY" else ranges.regional_proxy_only
