"""The `infra` block with `kind: google`: GKE clusters in one or more regions.

It rejects what Google would reject after minutes, and what would cause an outage later.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from config.base import Settings, raise_issues
from config.google import ip_plan, validation
from config.google.base import KmsKeyName
from config.google.cluster import ClusterDefaults
from config.google.gateway import Exposure, GatewayClass, GatewaySettings
from config.google.image_registry import DirectPull, ImageRegistrySettings, RemoteRepository
from config.google.ip_plan import PeakNodes, RegionCidrs
from config.google.labels import owner_issue
from config.google.model_bucket import ModelBucketSettings, NewBucket
from config.google.network import NetworkSettings, NewNetwork
from config.google.node_pools import SYSTEM_PODS_PER_NODE, SystemPool
from config.google.project import Project
from config.google.redis import RedisSettings
from config.google.regions import Region
from config.issues import issue_error


class GoogleInfra(Settings):
    """The `infra` block with `kind: google`: GKE clusters with GPU node pools behind one gateway."""

    kind: Literal["google"]
    """Google Cloud."""
    project: Project
    """Project of all resources. Use one project for each stack: a project has one of each fleet feature."""
    owner: str
    """Team that owns the stack: a label of every resource."""
    protect: bool = True
    """True: Pulumi's engine and its Google provider refuse to delete or replace clusters, buckets, Redis, addresses and
    zones. False is for short-lived stacks."""
    regions: tuple[Region, ...] = Field(min_length=1, max_length=20)
    """Regions that serve."""
    network: NetworkSettings = NewNetwork()
    """A new VPC, an existing VPC or a Shared VPC."""
    cluster_defaults: ClusterDefaults = ClusterDefaults()
    """Configuration of every new cluster."""
    system_pool: SystemPool = SystemPool()
    """Node pool without GPUs of each cluster, for Ray heads and controllers."""
    gateway: GatewaySettings = GatewaySettings()
    """Where requests arrive."""
    model_bucket: ModelBucketSettings | None = NewBucket()
    """Bucket with the model weights; null for none."""
    redis: RedisSettings | None = RedisSettings()
    """Redis that keeps the state of the Ray heads; null for none."""
    image_registry: ImageRegistrySettings = RemoteRepository()
    """Where nodes pull container images from."""
    kms_keys: dict[str, KmsKeyName] = Field(default_factory=dict)
    """Location (a region, or the bucket's location in lowercase letters) -> your own Cloud KMS key; without any,
    Google's keys encrypt. A change replaces node pools, Redis and image repositories."""

    @field_validator("owner")
    @classmethod
    def _check_owner(cls, owner: str) -> str:
        if issue := owner_issue(owner):
            raise issue_error(issue)
        return owner

    @model_validator(mode="after")
    def _check(self) -> GoogleInfra:
        return raise_issues(self, validation.find_issues(self))

    @property
    def multi_cluster(self) -> bool:
        """True if the gateway reaches the clusters of several regions."""
        return len(self.regions) > 1 if self.gateway.multi_cluster is None else self.gateway.multi_cluster

    @property
    def gateway_class(self) -> GatewayClass:
        """GatewayClass for the exposure and the number of regions."""
        if self.gateway.exposure is Exposure.EXTERNAL:
            return GatewayClass.GLOBAL_EXTERNAL_MULTI_CLUSTER if self.multi_cluster else GatewayClass.GLOBAL_EXTERNAL
        return GatewayClass.CROSS_REGIONAL_INTERNAL if self.multi_cluster else GatewayClass.REGIONAL_INTERNAL

    @property
    def proxy_purpose(self) -> Literal["GLOBAL_MANAGED_PROXY", "REGIONAL_MANAGED_PROXY"] | None:
        """Purpose of the proxy-only subnetworks of an internal gateway; None for an external one, which runs at
        Google's edge."""
        if self.gateway.exposure is Exposure.EXTERNAL:
            return None
        return "GLOBAL_MANAGED_PROXY" if self.multi_cluster else "REGIONAL_MANAGED_PROXY"

    @property
    def config_cluster_region(self) -> str:
        """Region of the cluster that holds Gateway and HTTPRoute."""
        return self.gateway.config_cluster_region or self.regions[0].name

    @property
    def image_streaming(self) -> bool:
        """True if nodes use image streaming."""
        return False if isinstance(self.image_registry, DirectPull) else self.image_registry.image_streaming

    @property
    def kms_key_uses(self) -> list[tuple[str, str]]:
        """Location and service of every resource that a key of `kms_keys` encrypts."""
        services = ["compute", "container"]  # boot disks, and etcd
        if self.redis is not None:
            services.append("redis")
        if isinstance(self.image_registry, RemoteRepository):
            services.append("artifactregistry")
        uses = [(region.name, service) for region in self.regions for service in services]
        if isinstance(self.model_bucket, NewBucket):
            uses.append((self.model_bucket.location.lower(), "storage"))
        return uses

    def kms_key(self, location: str) -> str | None:
        """Return the Cloud KMS key of `location` (in any case), or None."""
        return self.kms_keys.get(location.lower())

    def region_cidrs(self, region: Region) -> RegionCidrs:
        """Return the IP ranges of a region of a new VPC."""
        base = self.network.base_cidr if isinstance(self.network, NewNetwork) else ip_plan.DEFAULT_BASE_CIDR
        return ip_plan.region_cidrs(self.ip_request(region), base)

    def proxy_ranges(self, region: Region) -> tuple[str, ...]:
        """Return the ranges of the load balancer's proxies in a region; none for an external gateway, whose proxies are
        Google's."""
        if self.proxy_purpose is None:
            return ()
        if not isinstance(self.network, NewNetwork):
            return (str(self.network.subnetworks[region.name].proxy_only_range),)
        plan = self.region_cidrs(region)
        return (str(plan.global_proxy_only if self.multi_cluster else plan.regional_proxy_only),)

    def ip_request(self, region: Region) -> ip_plan.RegionIpRequest:
        """Return what the IP plan must know about a region."""
        pools = (PeakNodes(pool.spec.peak_nodes, pool.max_pods_per_node) for pool in region.node_pools)
        peak_nodes = (PeakNodes(self.system_pool.peak_nodes, SYSTEM_PODS_PER_NODE), *pools)
        return ip_plan.RegionIpRequest(region.name, region.ip_plan_index, region.ranges, peak_nodes)
