"""The platform that an `infra` block with `kind: google` describes, put together in the order in which it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

import pulumi
from pulumi import ResourceOptions

import versions
from config.google.cluster import ExistingCluster
from config.google.image_registry import DirectPull
from config.google.infra import GoogleInfra
from config.google.labels import labels as resource_labels
from config.google.model_bucket import NewBucket
from config.google.network import NewNetwork, SharedVpcNetwork
from config.google.regions import Region
from config.google.resource_names import ResourceNames
from config.google.warnings import find_warnings
from infra import contract
from infra.google import cluster as clusters
from infra.google import network
from infra.google.cluster import ClusterReference, GkeCluster, GkeClusterArgs
from infra.google.fleet import Fleet, FleetArgs
from infra.google.gateway_frontend import GatewayFrontendArgs, GatewayFrontendResources
from infra.google.image_registry import ImageRegistry, ImageRegistryArgs
from infra.google.kms_grants import KmsKeyGrants, KmsKeyGrantsArgs
from infra.google.model_bucket import ModelBucket, ModelBucketArgs
from infra.google.network import ClusterNetwork, Network, NetworkArgs
from infra.google.node_pools import NodePools, NodePoolsArgs
from infra.google.project_services import ProjectServices, ProjectServicesArgs, required_apis, service_agents
from infra.google.provider import google_provider
from infra.google.redis import MemorystoreInstance, MemorystoreInstanceArgs
from infra.google.service_accounts import SERVICE_ACCOUNTS, NodeServiceAccount, NodeServiceAccountArgs
from infra.google.shared_vpc import SharedVpcGrants, SharedVpcGrantsArgs


def provision(settings: GoogleInfra, environment: str) -> contract.GooglePlatform:
    """Declare everything. The names were checked on plain data before (`naming.refusals`)."""
    labels = resource_labels(environment, settings.owner, versions.STACK)
    for warning in find_warnings(settings):
        pulumi.log.warn(warning)
    ground = SharedResources(settings, environment, labels)
    sites = {region.name: RegionResources(ground, region) for region in settings.regions}
    made = [site.cluster.resource for site in sites.values() if site.cluster.resource is not None]
    weights = _model_store(ground, made)
    return contract.GooglePlatform(
        environment=environment,
        clusters=tuple(site.contract(weights) for site in sites.values()),
        gateway_frontend=_entrance(ground, sites[settings.config_cluster_region].cluster, made),
        labels=labels,
        protect=settings.protect,
    )


class SharedResources:
    """What all regions share and is made before any cluster: APIs, grants on keys, network, node identity, images."""

    def __init__(self, settings: GoogleInfra, environment: str, labels: Mapping[str, str]) -> None:
        self.settings = settings
        self.environment = environment
        self.labels = labels
        self.names = ResourceNames(environment, settings.project.id)
        self.opts = ResourceOptions(provider=google_provider(settings, labels))
        self.services = ProjectServices(
            environment,
            ProjectServicesArgs(settings.project, required_apis(settings), service_agents(settings)),
            self.opts,
        )
        self.key_grants = self._key_grants()
        self.networks = self._networks()
        self.network_grants = self._network_grants()
        self.nodes = NodeServiceAccount(
            environment,
            NodeServiceAccountArgs(
                self.names, settings.project, self.services.dependencies_of("cloudresourcemanager", "iam")
            ),
            self.opts,
        )
        self.images = self._images()

    def _key_grants(self) -> tuple[pulumi.Resource, ...]:
        if not self.settings.kms_keys:
            return ()
        uses = self.settings.kms_key_uses
        enabled = {service: self.services.dependencies_of(service) for _, service in uses}
        args = KmsKeyGrantsArgs(self.settings.project, self.settings.kms_keys, uses, enabled)
        return KmsKeyGrants(self.environment, args, self.opts).grants

    def _networks(self) -> Mapping[str, ClusterNetwork]:
        settings = self.settings
        if not isinstance(settings.network, NewNetwork):
            return network.existing_network(settings.network, settings.project)
        args = NetworkArgs(
            names=self.names,
            regions={region.name: settings.region_cidrs(region) for region in settings.regions},
            proxy_purpose=settings.proxy_purpose,
            api_dependencies=self.services.dependencies_of("compute"),
        )
        return Network(self.environment, args, self.opts).regions

    def _network_grants(self) -> tuple[pulumi.Resource, ...]:
        if not isinstance(self.settings.network, SharedVpcNetwork):
            return ()
        settings = self.settings
        discovery = ["multiclusterservicediscovery"] if settings.multi_cluster else []
        args = SharedVpcGrantsArgs(
            project=settings.project,
            host=self.settings.network.host_project,
            subnetworks=self.settings.network.subnetworks,
            multi_cluster=settings.multi_cluster,
            api_dependencies=self.services.dependencies_of("cloudresourcemanager", "compute", "container", *discovery),
        )
        return SharedVpcGrants(self.environment, args, self.opts).grants

    def _images(self) -> ImageRegistry | None:
        settings = self.settings
        if isinstance(settings.image_registry, DirectPull):
            return None
        args = ImageRegistryArgs(
            names=self.names,
            project=settings.project,
            images=settings.image_registry,
            regions=[region.name for region in settings.regions],
            kms_keys=settings.kms_keys,
            node_member=self.nodes.account.member,
            api_dependencies=[*self.services.dependencies_of("artifactregistry"), *self.key_grants],
        )
        return ImageRegistry(self.environment, args, self.opts)


class RegionResources:
    """One region: cluster, node pools, Redis."""

    def __init__(self, ground: SharedResources, region: Region) -> None:
        self.ground = ground
        self.region = region
        self.cluster = self._cluster()
        self.pools = self._pools()
        self.head_state = self._head_state()

    def contract(self, weights: ModelBucket | None) -> contract.ServingCluster:
        images, region = self.ground.images, self.region.name
        readers = [images.reader_grants[region]] if images else []
        return contract.ServingCluster(
            name=region,
            region=region,
            cluster_id=pulumi.Output.from_input(self.cluster.id),
            kubeconfig=self.cluster.kubeconfig,
            system_pool=self.pools.system_pool,
            gpu_pools=self.pools.gpu_pools,
            service_accounts=SERVICE_ACCOUNTS,
            model_bucket_url=weights.url if weights else None,
            redis=self.head_state,
            image_repository=images.repositories[region] if images else None,
            traffic=self.region.traffic,
            cluster=self.cluster.resource,
            depends_on=(*self.pools.pools, *readers, *([weights.reader_grant] if weights else [])),
        )

    def _cluster(self) -> ClusterReference:
        ground, settings = self.ground, self.ground.settings
        if isinstance(self.region.cluster, ExistingCluster):
            return clusters.existing_cluster(self.region.cluster, settings.project, self.region.name)
        apis_needed = ["container", "secretmanager", *(["gkehub"] if settings.multi_cluster else [])]
        args = GkeClusterArgs(
            project=settings.project,
            region=self.region.name,
            options=settings.cluster_defaults,
            network=ground.networks[self.region.name],
            in_fleet=settings.multi_cluster,
            node_account=ground.nodes.account.email,
            kms_key=settings.kms_key(self.region.name),
            protect=settings.protect,
            depends_on=[
                *ground.services.dependencies_of(*apis_needed),
                ground.nodes.grant,
                *ground.key_grants,
                *ground.network_grants,
            ],
        )
        return GkeCluster(ground.names.cluster(self.region.name), args, ground.opts).cluster

    def _pools(self) -> NodePools:
        ground, settings = self.ground, self.ground.settings
        reads = [ground.images.reader_grants[self.region.name]] if ground.images else []
        streams = ground.services.dependencies_of("containerfilesystem") if settings.image_streaming else []
        args = NodePoolsArgs(
            names=ground.names,
            region=self.region.name,
            cluster=self.cluster,
            system=settings.system_pool,
            pools=self.region.node_pools,
            node_account=ground.nodes.account.email,
            labels=ground.labels,
            image_streaming=settings.image_streaming,
            kms_key=settings.kms_key(self.region.name),
            depends_on=[ground.nodes.grant, *reads, *streams, *ground.networks[self.region.name].nat_gateways],
        )
        return NodePools(ground.names.cluster(self.region.name), args, ground.opts)

    def _head_state(self) -> contract.RedisEndpoint | None:
        ground, settings = self.ground, self.ground.settings
        if settings.redis is None:
            return None
        args = MemorystoreInstanceArgs(
            names=ground.names,
            region=self.region.name,
            settings=settings.redis,
            network=ground.networks[self.region.name].network,
            range_=_redis_range(settings, self.region),
            kms_key=settings.kms_key(self.region.name),
            protect=settings.protect,
            api_dependencies=[*ground.services.dependencies_of("redis"), *ground.key_grants],
        )
        return MemorystoreInstance(ground.names.redis(self.region.name), args, ground.opts).endpoint


def _redis_range(settings: GoogleInfra, region: Region) -> IPv4Network | str | None:
    match settings.network:
        case NewNetwork():
            return settings.region_cidrs(region).redis
        case SharedVpcNetwork() as shared:
            return shared.redis_range_name
        case _:
            return None


def _model_store(ground: SharedResources, made: Sequence[pulumi.Resource]) -> ModelBucket | None:
    settings = ground.settings
    if settings.model_bucket is None:
        return None
    new = isinstance(settings.model_bucket, NewBucket)
    args = ModelBucketArgs(
        names=ground.names,
        project=settings.project,
        bucket=settings.model_bucket,
        kms_key=settings.kms_key(settings.model_bucket.location)
        if isinstance(settings.model_bucket, NewBucket)
        else None,
        protect=settings.protect,
        api_dependencies=[*ground.services.dependencies_of("storage"), *ground.key_grants] if new else [],
        clusters=made,
    )
    return ModelBucket(ground.environment, args, ground.opts)


def _entrance(
    ground: SharedResources, config: ClusterReference, made: Sequence[pulumi.Resource]
) -> contract.GatewayFrontend:
    settings, services = ground.settings, ground.services
    proxies = [each for region in settings.regions for each in settings.proxy_ranges(region)]
    needed = {"compute", "dns", "certificatemanager"} & set(required_apis(settings))
    args = GatewayFrontendArgs(
        names=ground.names,
        gateway=settings.gateway,
        multi_cluster=settings.multi_cluster,
        networks={region.name: ground.networks[region.name] for region in settings.regions},
        protect=settings.protect,
        api_dependencies=services.dependencies_of(*sorted(needed)),
    )
    found = GatewayFrontendResources(ground.environment, args, ground.opts)
    proxy_subnetworks = [each for where in ground.networks.values() for each in where.proxy_only_subnets]
    return contract.GatewayFrontend(
        config_cluster=settings.config_cluster_region,
        gateway_class=settings.gateway_class,
        proxy_ranges=(*network.HEALTH_CHECKS, *proxies),
        addresses=found.addresses,
        hostname=settings.gateway.hostname,
        certificate=found.certificate,
        security_policy=found.security_policy,
        dns_zone=found.dns_zone,
        depends_on=(*found.reserved, *proxy_subnetworks, *_fleet(ground, config, made)),
    )


def _fleet(
    ground: SharedResources, config: ClusterReference, made: Sequence[pulumi.Resource]
) -> tuple[pulumi.Resource, ...]:
    if not ground.settings.multi_cluster:
        return ()
    assert config.membership is not None, "GoogleSettings refuses a multi-cluster entrance without a membership"
    args = FleetArgs(
        project=ground.settings.project,
        config_membership=config.membership,
        api_dependencies=ground.services.dependencies_of(
            "cloudresourcemanager", "gkehub", "multiclusteringress", "multiclusterservicediscovery", "trafficdirector"
        ),
        clusters=made,
    )
    return Fleet(ground.environment, args, ground.opts).ready
