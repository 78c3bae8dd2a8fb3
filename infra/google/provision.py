"""The platform that an `infra` block with `kind: google` describes, put together in the order in which it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

import pulumi
from pulumi import ResourceOptions

import versions
from config.google.cluster import ExistingCluster
from config.google.image_registry import DirectImages
from config.google.infra import GoogleSettings
from config.google.labels import labels as resource_labels
from config.google.model_bucket import NewBucket
from config.google.network import NewNetwork, SharedNetwork
from config.google.regions import Region
from config.google.resource_names import Names
from infra import contract
from infra.google import cluster as clusters
from infra.google import network
from infra.google.cluster import Cluster, GkeCluster, GkeClusterArgs
from infra.google.fleet import Fleet, FleetArgs
from infra.google.gateway_frontend import GatewayGround, GatewayGroundArgs
from infra.google.image_registry import Images, ImagesArgs
from infra.google.kms_grants import KeyGrants, KeyGrantsArgs
from infra.google.model_bucket import ModelStore, ModelStoreArgs
from infra.google.network import Network, NetworkArgs, NodeNetwork
from infra.google.node_pools import NodePools, NodePoolsArgs
from infra.google.project_services import ProjectServices, ProjectServicesArgs, agents, apis
from infra.google.provider import google_provider
from infra.google.redis import Redis, RedisArgs
from infra.google.service_accounts import SERVICE_ACCOUNTS, NodeIdentity, NodeIdentityArgs
from infra.google.shared_vpc import SharedVpc, SharedVpcArgs


def provision(settings: GoogleSettings, environment: str) -> contract.Platform:
    """Declare everything. The names were checked on plain data before (`naming.refusals`)."""
    labels = resource_labels(environment, settings.owner, versions.STACK)
    for warning in settings.warnings():
        pulumi.log.warn(warning)
    ground = _Ground(settings, environment, labels)
    sites = {region.name: _Site(ground, region) for region in settings.regions}
    made = [site.cluster.resource for site in sites.values() if site.cluster.resource is not None]
    weights = _model_store(ground, made)
    return contract.Platform(
        environment=environment,
        sites=tuple(site.contract(weights) for site in sites.values()),
        entrance=_entrance(ground, sites[settings.config_region].cluster, made),
        labels=labels,
        protect=settings.protect,
    )


class _Ground:
    """What all regions share and is made before any cluster: APIs, grants on keys, network, node identity, images."""

    def __init__(self, settings: GoogleSettings, environment: str, labels: Mapping[str, str]) -> None:
        self.settings = settings
        self.environment = environment
        self.labels = labels
        self.names = Names(environment, settings.project.id)
        self.opts = ResourceOptions(provider=google_provider(settings, labels))
        self.services = ProjectServices(
            environment, ProjectServicesArgs(settings.project, apis(settings), agents(settings)), self.opts
        )
        self.key_grants = self._key_grants()
        self.networks = self._networks()
        self.network_grants = self._network_grants()
        self.nodes = NodeIdentity(
            environment,
            NodeIdentityArgs(self.names, settings.project, self.services.enabled("cloudresourcemanager", "iam")),
            self.opts,
        )
        self.images = self._images()

    def _key_grants(self) -> tuple[pulumi.Resource, ...]:
        if not self.settings.encryption_keys:
            return ()
        uses = self.settings.key_uses
        enabled = {service: self.services.enabled(service) for _, service in uses}
        args = KeyGrantsArgs(self.settings.project, self.settings.encryption_keys, uses, enabled)
        return KeyGrants(self.environment, args, self.opts).grants

    def _networks(self) -> Mapping[str, NodeNetwork]:
        settings = self.settings
        if not isinstance(settings.network, NewNetwork):
            return network.existing(settings.network, settings.project)
        args = NetworkArgs(
            names=self.names,
            regions={region.name: settings.ranges(region) for region in settings.regions},
            proxy_purpose=settings.proxy_purpose,
            enabled=self.services.enabled("compute"),
        )
        return Network(self.environment, args, self.opts).regions

    def _network_grants(self) -> tuple[pulumi.Resource, ...]:
        if not isinstance(self.settings.network, SharedNetwork):
            return ()
        settings = self.settings
        discovery = ["multiclusterservicediscovery"] if settings.multi_cluster else []
        args = SharedVpcArgs(
            project=settings.project,
            host=self.settings.network.host,
            subnetworks=self.settings.network.subnetworks,
            multi_cluster=settings.multi_cluster,
            enabled=self.services.enabled("cloudresourcemanager", "compute", "container", *discovery),
        )
        return SharedVpc(self.environment, args, self.opts).grants

    def _images(self) -> Images | None:
        settings = self.settings
        if isinstance(settings.images, DirectImages):
            return None
        args = ImagesArgs(
            names=self.names,
            project=settings.project,
            images=settings.images,
            regions=[region.name for region in settings.regions],
            keys=settings.encryption_keys,
            node_member=self.nodes.account.member,
            enabled=[*self.services.enabled("artifactregistry"), *self.key_grants],
        )
        return Images(self.environment, args, self.opts)


class _Site:
    """One region: cluster, node pools, Redis."""

    def __init__(self, ground: _Ground, region: Region) -> None:
        self.ground = ground
        self.region = region
        self.cluster = self._cluster()
        self.pools = self._pools()
        self.head_state = self._head_state()

    def contract(self, weights: ModelStore | None) -> contract.ClusterSite:
        images, region = self.ground.images, self.region.name
        readers = [images.readers[region]] if images else []
        return contract.ClusterSite(
            name=region,
            region=region,
            cluster_id=pulumi.Output.from_input(self.cluster.id),
            kubeconfig=self.cluster.kubeconfig,
            head_nodes=self.pools.head_nodes,
            gpu_nodes=self.pools.gpu_nodes,
            service_accounts=SERVICE_ACCOUNTS,
            weights_bucket=weights.url if weights else None,
            head_state=self.head_state,
            image_repository=images.repositories[region] if images else None,
            traffic=self.region.traffic,
            release=self.region.release,
            cluster=self.cluster.resource,
            ready=(*self.pools.pools, *readers, *([weights.reader] if weights else [])),
        )

    def _cluster(self) -> Cluster:
        ground, settings = self.ground, self.ground.settings
        if isinstance(self.region.cluster, ExistingCluster):
            return clusters.existing(self.region.cluster, settings.project, self.region.name)
        apis_needed = ["container", "secretmanager", *(["gkehub"] if settings.multi_cluster else [])]
        args = GkeClusterArgs(
            project=settings.project,
            region=self.region.name,
            options=settings.cluster,
            network=ground.networks[self.region.name],
            in_fleet=settings.multi_cluster,
            node_account=ground.nodes.account.email,
            key=settings.key(self.region.name),
            protect=settings.protect,
            after=[
                *ground.services.enabled(*apis_needed),
                ground.nodes.grant,
                *ground.key_grants,
                *ground.network_grants,
            ],
        )
        return GkeCluster(ground.names.cluster(self.region.name), args, ground.opts).cluster

    def _pools(self) -> NodePools:
        ground, settings = self.ground, self.ground.settings
        reads = [ground.images.readers[self.region.name]] if ground.images else []
        streams = ground.services.enabled("containerfilesystem") if settings.image_streaming else []
        args = NodePoolsArgs(
            names=ground.names,
            region=self.region.name,
            cluster=self.cluster,
            system=settings.system_pool,
            pools=self.region.pools,
            node_account=ground.nodes.account.email,
            labels=ground.labels,
            image_streaming=settings.image_streaming,
            key=settings.key(self.region.name),
            after=[ground.nodes.grant, *reads, *streams, *ground.networks[self.region.name].egress],
        )
        return NodePools(ground.names.cluster(self.region.name), args, ground.opts)

    def _head_state(self) -> contract.HeadState | None:
        ground, settings = self.ground, self.ground.settings
        if settings.head_state is None:
            return None
        args = RedisArgs(
            names=ground.names,
            region=self.region.name,
            state=settings.head_state,
            network=ground.networks[self.region.name].network,
            range_=_redis_range(settings, self.region),
            key=settings.key(self.region.name),
            protect=settings.protect,
            enabled=[*ground.services.enabled("redis"), *ground.key_grants],
        )
        return Redis(ground.names.redis(self.region.name), args, ground.opts).state


def _redis_range(settings: GoogleSettings, region: Region) -> IPv4Network | str | None:
    match settings.network:
        case NewNetwork():
            return settings.ranges(region).redis
        case SharedNetwork() as shared:
            return shared.redis_range
        case _:
            return None


def _model_store(ground: _Ground, made: Sequence[pulumi.Resource]) -> ModelStore | None:
    settings = ground.settings
    if settings.model_store is None:
        return None
    new = isinstance(settings.model_store, NewBucket)
    args = ModelStoreArgs(
        names=ground.names,
        project=settings.project,
        store=settings.model_store,
        key=settings.key(settings.model_store.location) if isinstance(settings.model_store, NewBucket) else None,
        protect=settings.protect,
        enabled=[*ground.services.enabled("storage"), *ground.key_grants] if new else [],
        clusters=made,
    )
    return ModelStore(ground.environment, args, ground.opts)


def _entrance(ground: _Ground, config: Cluster, made: Sequence[pulumi.Resource]) -> contract.Entrance:
    settings, services = ground.settings, ground.services
    proxies = [each for region in settings.regions for each in settings.proxy_ranges(region)]
    needed = {"compute", "dns", "certificatemanager"} & set(apis(settings))
    args = GatewayGroundArgs(
        names=ground.names,
        gateway=settings.gateway,
        multi_cluster=settings.multi_cluster,
        networks={region.name: ground.networks[region.name] for region in settings.regions},
        protect=settings.protect,
        enabled=services.enabled(*sorted(needed)),
    )
    found = GatewayGround(ground.environment, args, ground.opts)
    proxy_subnetworks = [each for where in ground.networks.values() for each in where.entrance]
    return contract.Entrance(
        config_site=settings.config_region,
        gateway_class=settings.gateway_class,
        proxy_ranges=(*network.HEALTH_CHECKS, *proxies),
        addresses=found.addresses,
        hostname=settings.gateway.hostname,
        certificate=found.certificate,
        security_policy=found.security_policy,
        dns_zone=found.dns_zone,
        ready=(*found.reserved, *proxy_subnetworks, *_fleet(ground, config, made)),
    )


def _fleet(ground: _Ground, config: Cluster, made: Sequence[pulumi.Resource]) -> tuple[pulumi.Resource, ...]:
    if not ground.settings.multi_cluster:
        return ()
    assert config.membership is not None, "GoogleSettings refuses a multi-cluster entrance without a membership"
    args = FleetArgs(
        project=ground.settings.project,
        config_membership=config.membership,
        enabled=ground.services.enabled(
            "cloudresourcemanager", "gkehub", "multiclusteringress", "multiclusterservicediscovery", "trafficdirector"
        ),
        clusters=made,
    )
    return Fleet(ground.environment, args, ground.opts).ready
