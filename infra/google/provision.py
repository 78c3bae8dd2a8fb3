"""Provision the platform of an `infra` block with `kind: google`, in the order in which Pulumi creates it."""

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


def provision(infra: GoogleInfra, environment: str) -> contract.GooglePlatform:
    """Declare all Google resources of stack `environment` and return the contract for `workloads`.

    config/google/resource_names.py has checked every name before.
    """
    labels = resource_labels(environment, infra.owner, versions.STACK)
    for warning in find_warnings(infra):
        pulumi.log.warn(warning)
    shared = SharedResources(infra, environment, labels)
    regions = {region.name: RegionResources(shared, region) for region in infra.regions}
    new_clusters = [each.cluster.resource for each in regions.values() if each.cluster.resource is not None]
    model_bucket = _model_bucket(shared, new_clusters)
    return contract.GooglePlatform(
        environment=environment,
        clusters=tuple(each.contract(model_bucket) for each in regions.values()),
        gateway_frontend=_gateway_frontend(shared, regions[infra.config_cluster_region].cluster, new_clusters),
        labels=labels,
        protect=infra.protect,
    )


class SharedResources:
    """Resources that all regions share, created before any cluster: APIs, grants on keys, network, service account
    of the nodes, image repositories."""

    def __init__(self, infra: GoogleInfra, environment: str, labels: Mapping[str, str]) -> None:
        self.infra = infra
        self.environment = environment
        self.labels = labels
        self.names = ResourceNames(environment, infra.project.id)
        self.opts = ResourceOptions(provider=google_provider(infra, labels))
        self.services = ProjectServices(
            environment,
            ProjectServicesArgs(infra.project, required_apis(infra), service_agents(infra)),
            self.opts,
        )
        self.key_grants = self._key_grants()
        self.networks = self._networks()
        self.network_grants = self._network_grants()
        self.node_service_account = NodeServiceAccount(
            environment,
            NodeServiceAccountArgs(
                names=self.names,
                project=infra.project,
                image_streaming=infra.image_streaming,
                api_dependencies=self.services.dependencies_of("cloudresourcemanager", "iam"),
            ),
            self.opts,
        )
        self.image_registry = self._image_registry()

    def _key_grants(self) -> tuple[pulumi.Resource, ...]:
        if not self.infra.kms_keys:
            return ()
        uses = self.infra.kms_key_uses
        dependencies = {service: self.services.dependencies_of(service) for _, service in uses}
        args = KmsKeyGrantsArgs(self.infra.project, self.infra.kms_keys, uses, dependencies)
        return KmsKeyGrants(self.environment, args, self.opts).grants

    def _networks(self) -> Mapping[str, ClusterNetwork]:
        infra = self.infra
        if not isinstance(infra.network, NewNetwork):
            return network.existing_network(infra.network, infra.project)
        args = NetworkArgs(
            names=self.names,
            regions={region.name: infra.region_cidrs(region) for region in infra.regions},
            proxy_purpose=infra.proxy_purpose,
            api_dependencies=self.services.dependencies_of("compute"),
        )
        return Network(self.environment, args, self.opts).regions

    def _network_grants(self) -> tuple[pulumi.Resource, ...]:
        if not isinstance(self.infra.network, SharedVpcNetwork):
            return ()
        infra = self.infra
        discovery = ["multiclusterservicediscovery"] if infra.multi_cluster else []
        args = SharedVpcGrantsArgs(
            project=infra.project,
            host=self.infra.network.host_project,
            subnetworks=self.infra.network.subnetworks,
            multi_cluster=infra.multi_cluster,
            api_dependencies=self.services.dependencies_of("cloudresourcemanager", "compute", "container", *discovery),
        )
        return SharedVpcGrants(self.environment, args, self.opts).grants

    def _image_registry(self) -> ImageRegistry | None:
        infra = self.infra
        if isinstance(infra.image_registry, DirectPull):
            return None
        args = ImageRegistryArgs(
            names=self.names,
            project=infra.project,
            registry=infra.image_registry,
            regions=[region.name for region in infra.regions],
            kms_keys=infra.kms_keys,
            node_member=self.node_service_account.account.member,
            api_dependencies=[*self.services.dependencies_of("artifactregistry"), *self.key_grants],
        )
        return ImageRegistry(self.environment, args, self.opts)


class RegionResources:
    """Resources of one region: cluster, node pools, Redis."""

    def __init__(self, shared: SharedResources, region: Region) -> None:
        self.shared = shared
        self.region = region
        self.cluster = self._cluster()
        self.pools = self._pools()
        self.redis = self._redis()

    def contract(self, model_bucket: ModelBucket | None) -> contract.ServingCluster:
        """Return the contract of the region's cluster."""
        images, region = self.shared.image_registry, self.region.name
        reader_grants = [images.reader_grants[region]] if images else []
        return contract.ServingCluster(
            name=region,
            region=region,
            cluster_id=pulumi.Output.from_input(self.cluster.id),
            kubeconfig=self.cluster.kubeconfig,
            system_pool=self.pools.system_pool,
            gpu_pools=self.pools.gpu_pools,
            service_accounts=SERVICE_ACCOUNTS,
            model_bucket_url=model_bucket.url if model_bucket else None,
            redis=self.redis,
            image_repository=images.repositories[region] if images else None,
            traffic=self.region.traffic,
            cluster=self.cluster.resource,
            depends_on=(*self.pools.pools, *reader_grants, *([model_bucket.reader_grant] if model_bucket else [])),
        )

    def _cluster(self) -> ClusterReference:
        shared, infra = self.shared, self.shared.infra
        if isinstance(self.region.cluster, ExistingCluster):
            return clusters.existing_cluster(self.region.cluster, infra.project, self.region.name)
        apis = ["container", "secretmanager", *(["gkehub"] if infra.multi_cluster else [])]
        args = GkeClusterArgs(
            project=infra.project,
            region=self.region.name,
            defaults=infra.cluster_defaults,
            network=shared.networks[self.region.name],
            in_fleet=infra.multi_cluster,
            node_account=shared.node_service_account.account.email,
            kms_key=infra.kms_key(self.region.name),
            protect=infra.protect,
            depends_on=[
                *shared.services.dependencies_of(*apis),
                shared.node_service_account.grant,
                *shared.key_grants,
                *shared.network_grants,
            ],
        )
        return GkeCluster(shared.names.cluster(self.region.name), args, shared.opts).cluster

    def _pools(self) -> NodePools:
        shared, infra = self.shared, self.shared.infra
        reader_grants = [shared.image_registry.reader_grants[self.region.name]] if shared.image_registry else []
        image_streaming_apis = shared.services.dependencies_of("containerfilesystem") if infra.image_streaming else []
        args = NodePoolsArgs(
            names=shared.names,
            region=self.region.name,
            cluster=self.cluster,
            system=infra.system_pool,
            pools=self.region.node_pools,
            node_account=shared.node_service_account.account.email,
            labels=shared.labels,
            image_streaming=infra.image_streaming,
            kms_key=infra.kms_key(self.region.name),
            depends_on=[
                shared.node_service_account.grant,
                *shared.node_service_account.image_streaming_grants,
                *reader_grants,
                *image_streaming_apis,
                *shared.networks[self.region.name].nat_gateways,
            ],
        )
        return NodePools(shared.names.cluster(self.region.name), args, shared.opts)

    def _redis(self) -> contract.RedisEndpoint | None:
        shared, infra = self.shared, self.shared.infra
        if infra.redis is None:
            return None
        args = MemorystoreInstanceArgs(
            names=shared.names,
            region=self.region.name,
            settings=infra.redis,
            network=shared.networks[self.region.name].network,
            range_=_redis_range(infra, self.region),
            kms_key=infra.kms_key(self.region.name),
            protect=infra.protect,
            api_dependencies=[*shared.services.dependencies_of("redis"), *shared.key_grants],
        )
        return MemorystoreInstance(shared.names.redis(self.region.name), args, shared.opts).endpoint


def _redis_range(infra: GoogleInfra, region: Region) -> IPv4Network | str | None:
    match infra.network:
        case NewNetwork():
            return infra.region_cidrs(region).redis
        case SharedVpcNetwork() as shared:
            return shared.redis_range_name
        case _:
            return None


def _model_bucket(shared: SharedResources, new_clusters: Sequence[pulumi.Resource]) -> ModelBucket | None:
    infra = shared.infra
    if infra.model_bucket is None:
        return None
    new = isinstance(infra.model_bucket, NewBucket)
    args = ModelBucketArgs(
        names=shared.names,
        project=infra.project,
        bucket=infra.model_bucket,
        kms_key=infra.kms_key(infra.model_bucket.location) if isinstance(infra.model_bucket, NewBucket) else None,
        protect=infra.protect,
        api_dependencies=[*shared.services.dependencies_of("storage"), *shared.key_grants] if new else [],
        clusters=new_clusters,
    )
    return ModelBucket(shared.environment, args, shared.opts)


def _gateway_frontend(
    shared: SharedResources, config_cluster: ClusterReference, new_clusters: Sequence[pulumi.Resource]
) -> contract.GatewayFrontend:
    infra, services = shared.infra, shared.services
    proxy_ranges = [range_ for region in infra.regions for range_ in infra.proxy_ranges(region)]
    apis = {"compute", "dns", "certificatemanager"} & set(required_apis(infra))
    args = GatewayFrontendArgs(
        names=shared.names,
        gateway=infra.gateway,
        multi_cluster=infra.multi_cluster,
        networks={region.name: shared.networks[region.name] for region in infra.regions},
        protect=infra.protect,
        api_dependencies=services.dependencies_of(*sorted(apis)),
    )
    frontend = GatewayFrontendResources(shared.environment, args, shared.opts)
    proxy_subnetworks = [subnet for each in shared.networks.values() for subnet in each.proxy_only_subnets]
    return contract.GatewayFrontend(
        config_cluster=infra.config_cluster_region,
        gateway_class=infra.gateway_class,
        proxy_ranges=(*network.HEALTH_CHECK_RANGES, *proxy_ranges),
        addresses=frontend.addresses,
        hostname=infra.gateway.hostname,
        certificate=frontend.certificate,
        security_policy=frontend.security_policy,
        dns_zone=frontend.dns_zone,
        depends_on=(*frontend.reserved, *proxy_subnetworks, *_fleet(shared, config_cluster, new_clusters)),
    )


def _fleet(
    shared: SharedResources, config_cluster: ClusterReference, new_clusters: Sequence[pulumi.Resource]
) -> tuple[pulumi.Resource, ...]:
    if not shared.infra.multi_cluster:
        return ()
    assert config_cluster.membership is not None, "config/google/validation.py reports a missing membership"
    args = FleetArgs(
        project=shared.infra.project,
        config_membership=config_cluster.membership,
        api_dependencies=shared.services.dependencies_of(
            "cloudresourcemanager", "gkehub", "multiclusteringress", "multiclusterservicediscovery", "trafficdirector"
        ),
        clusters=new_clusters,
    )
    return Fleet(shared.environment, args, shared.opts).resources
