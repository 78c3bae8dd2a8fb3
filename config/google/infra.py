"""What the `infra` block may say when the stack runs on Google Cloud.

Only what Google would refuse after minutes, or what would hurt later, is refused here; each refusal says what to write.
`GoogleSettings.warnings` says what works but is worth a second look.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import date
from ipaddress import IPv4Network
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from config.base import Settings
from config.google import ip_plan, validation, warnings
from config.google.base import KmsKeyName, LocatedError, raise_all
from config.google.cluster import RAY_OPERATOR_MIN_GKE_VERSION, ClusterDefaults, ExistingCluster, NewCluster
from config.google.gateway import Exposure, GatewayClass, GatewaySettings
from config.google.image_registry import DirectPull, ImageRegistrySettings, RemoteRepository
from config.google.ip_plan import CidrOverrides, PeakNodes, RegionCidrs
from config.google.labels import labels
from config.google.machine_types import CapacityKind
from config.google.model_bucket import ModelBucketSettings, NewBucket
from config.google.network import ExistingNetwork, NetworkSettings, NewNetwork, SharedVpcNetwork
from config.google.node_pool_spec import GKE_TOO_OLD, find_issues, min_gke_version, version_key
from config.google.node_pools import SYSTEM_PODS_PER_NODE, GpuNodePool, SystemPool
from config.google.project import Project
from config.google.redis import RedisSettings, RedisTier
from config.google.region_names import REGIONS
from config.google.regions import Region, Traffic


class GoogleInfra(Settings):
    """The `infra` block with `kind: google`: GKE clusters with GPU pools behind one entrance."""

    kind: Literal["google"]
    """Google Cloud."""
    project: Project
    """Where everything is. One environment a project: fleet features exist once in each."""
    owner: str
    """Who answers for it: a label on everything."""
    protect: bool = True
    """Clusters, buckets, Redis, addresses and zones refuse to be deleted or replaced, in Pulumi's engine and in its
    Google provider. False is for environments that come and go."""
    regions: tuple[Region, ...] = Field(min_length=1, max_length=20)
    """Where it serves."""
    network: NetworkSettings = NewNetwork()
    """A new VPC or an existing one."""
    cluster_defaults: ClusterDefaults = ClusterDefaults()
    """What every new cluster is like."""
    system_pool: SystemPool = SystemPool()
    """Nodes for Ray heads and controllers, in each cluster."""
    gateway: GatewaySettings = GatewaySettings()
    """Where requests come in."""
    model_bucket: ModelBucketSettings | None = NewBucket()
    """The bucket that holds model weights; null for none."""
    redis: RedisSettings | None = RedisSettings()
    """Redis for Ray heads; null for none."""
    image_registry: ImageRegistrySettings = RemoteRepository()
    """Where nodes get container images from."""
    kms_keys: dict[str, KmsKeyName] = Field(default_factory=dict)
    """Your own Cloud KMS keys by their location (a region, or a bucket's location in small letters); none: Google's
    keys. Changing one replaces node pools, Redis and image repositories."""

    @field_validator("owner")
    @classmethod
    def _is_a_label(cls, owner: str) -> str:
        labels("any", owner, "1")
        return owner

    @model_validator(mode="after")
    def _fits_together(self) -> GoogleInfra:
        return raise_all(self, self._refusals())

    @property
    def multi_cluster(self) -> bool:
        """Whether the entrance reaches clusters of several regions."""
        return len(self.regions) > 1 if self.gateway.multi_cluster is None else self.gateway.multi_cluster

    @property
    def gateway_class(self) -> GatewayClass:
        """The GatewayClass that `gateway` and the number of regions come to."""
        if self.gateway.exposure is Exposure.EXTERNAL:
            return GatewayClass.GLOBAL_EXTERNAL_MULTI_CLUSTER if self.multi_cluster else GatewayClass.GLOBAL_EXTERNAL
        return GatewayClass.CROSS_REGIONAL_INTERNAL if self.multi_cluster else GatewayClass.REGIONAL_INTERNAL

    @property
    def proxy_purpose(self) -> Literal["GLOBAL_MANAGED_PROXY", "REGIONAL_MANAGED_PROXY"] | None:
        """Of the proxy-only subnetworks that a private entrance runs on; a public one runs at Google's edge."""
        if self.gateway.exposure is Exposure.EXTERNAL:
            return None
        return "GLOBAL_MANAGED_PROXY" if self.multi_cluster else "REGIONAL_MANAGED_PROXY"

    @property
    def config_cluster_region(self) -> str:
        """Region of the cluster that holds Gateway and HTTPRoute."""
        return self.gateway.config_cluster_region or self.regions[0].name

    @property
    def image_streaming(self) -> bool:
        """Whether nodes stream images."""
        return False if isinstance(self.image_registry, DirectPull) else self.image_registry.image_streaming

    @property
    def kms_key_uses(self) -> list[tuple[str, str]]:
        """Location and service of everything that is encrypted with a key of `kms_keys`."""
        services = ["compute", "container"]  # boot disks, and what is in etcd
        if self.redis is not None:
            services.append("redis")
        if isinstance(self.image_registry, RemoteRepository):
            services.append("artifactregistry")
        uses = [(region.name, service) for region in self.regions for service in services]
        if isinstance(self.model_bucket, NewBucket):
            uses.append((self.model_bucket.location.lower(), "storage"))
        return uses

    def kms_key(self, location: str) -> str | None:
        """The Cloud KMS key for what is in `location` (any case), where keys are given."""
        return self.kms_keys.get(location.lower())

    def region_cidrs(self, region: Region) -> RegionCidrs:
        """The address ranges of a region of a new VPC."""
        base = self.network.base_cidr if isinstance(self.network, NewNetwork) else ip_plan.DEFAULT_BASE_CIDR
        return ip_plan.region_cidrs(self._place(region), base)

    def proxy_ranges(self, region: Region) -> tuple[str, ...]:
        """Ranges that the load balancer's proxies dial from in a region; none for a public entrance, whose proxies are
        Google's."""
        if self.proxy_purpose is None:
            return ()
        if not isinstance(self.network, NewNetwork):
            return (str(self.network.subnetworks[region.name].proxy_only_range),)
        plan = self.region_cidrs(region)
        return (str(plan.global_proxy_only if self.multi_cluster else plan.regional_proxy_only),)

    def warnings(self, today: date | None = None) -> Iterator[str]:
        """What works, but is worth a second look. `today` is asked of the computer where it is not given."""
        today = today or date.today()
        yield from self._ends(today)
        if self.gateway.cloud_armor and any(not each.prefixlen for each in self.gateway.cloud_armor.allowed_ip_ranges):
            yield (
                "infra.gateway.cloud_armor lets everybody in, and the models ask for no key: write the addresses of "
                "your callers, or be sure that each may spend "
                f"{self.gateway.cloud_armor.rate_limit_per_minute} requests a minute of your GPUs."
            )
        for region in self.regions:
            if region.name not in REGIONS:
                close = difflib.get_close_matches(region.name, REGIONS, n=1)
                yield (
                    f"{region.name} was no region of Google's when config/google/name_limits.py was written"
                    + (f"; did you mean {close[0]}?" if close else ".")
                )
            for pool in region.node_pools:
                known = pool.machine.zones
                for zone in pool.zones:
                    if known and zone not in known:
                        yield (
                            f"{pool.machine_type} was not seen in {zone} when machine_types.py was written; "
                            f"known zones: {', '.join(known)}."
                        )

    def _ends(self, today: date) -> Iterator[str]:
        """Reservations that are not what they were, and those that end together."""
        weeks: dict[str, set[tuple[int, int]]] = {}
        for i, region in enumerate(self.regions):
            for j, pool in enumerate(region.node_pools):
                remarks = warnings.reservation_warnings(pool.capacity, today)
                yield from (f"infra.regions[{i}].node_pools[{j}]: {remark}" for remark in remarks)
                if pool.spec.end_date is not None:
                    weeks.setdefault(region.name, set()).add(pool.spec.end_date.isocalendar()[:2])
        if len(weeks) == len(self.regions) > 1 and (together := set.intersection(*weeks.values())):
            year, week = min(together)
            yield (
                f"reservations of every region end in week {week} of {year}: all GPUs would go at once; have one "
                f"prolonged, or write a further pool."
            )

    def _refusals(self) -> Iterator[LocatedError]:
        yield from self._region_refusals()
        yield from self._pool_refusals()
        yield from self._network_refusals()
        yield from self._gateway_refusals()
        yield from self._key_refusals()
        if self.protect and self.redis is not None and self.redis.tier is RedisTier.BASIC:
            yield ("redis",), validation.STATE_LOST.error()

    def _region_refusals(self) -> Iterator[LocatedError]:
        seen: set[str] = set()
        for i, region in enumerate(self.regions):
            if region.name in seen:
                yield ("regions", i), validation.REGION_TWICE.error(region=region.name)
            seen.add(region.name)
        if all(region.traffic is Traffic.DRAINED for region in self.regions):
            yield ("regions",), validation.ALL_DRAINED.error()

    def _pool_refusals(self) -> Iterator[LocatedError]:
        for i, region in enumerate(self.regions):
            for j, pool in enumerate(region.node_pools):
                for refusal in find_issues(
                    pool.capacity,
                    pool.machine,
                    pool.nodes,
                    pool.zones,
                    compact_placement=pool.compact_placement,
                ):
                    yield ("regions", i, "node_pools", j), refusal
        if needs := self._gke_needs():
            floor = max(needs, key=version_key)
            if version_key(self.cluster_defaults.min_version) < version_key(floor):
                yield (
                    ("cluster_defaults", "min_version"),
                    GKE_TOO_OLD.error(version=self.cluster_defaults.min_version, what=needs[floor], floor=floor),
                )

    def _gke_needs(self) -> dict[str, str]:
        """Oldest GKE versions that new clusters can be of, and what needs each."""
        new = [region for region in self.regions if isinstance(region.cluster, NewCluster)]
        needs = {RAY_OPERATOR_MIN_GKE_VERSION: "the Ray Operator add-on"} if new else {}
        for pool in (pool for region in new for pool in region.node_pools):
            if floor := min_gke_version(CapacityKind(pool.capacity.kind), pool.machine):
                needs[floor] = f"{pool.machine_type} by {pool.capacity.kind}"
        return needs

    def _network_refusals(self) -> Iterator[LocatedError]:
        if isinstance(self.network, NewNetwork):
            for refusal in ip_plan.find_issues(
                [self._place(region) for region in self.regions], self.network.base_cidr
            ):
                yield ("regions",), refusal
            return
        yield from ((("network",), refusal) for refusal in self._given_network(self.network))
        if isinstance(self.network, SharedVpcNetwork) and self.redis is not None and not self.network.redis_range_name:
            yield ("network",), validation.REDIS_RANGE_MISSING.error()
        for i, region in enumerate(self.regions):
            if region.ranges != CidrOverrides():
                yield ("regions", i), validation.RANGES_OF_EXISTING.error(kind=self.network.kind)
            subnetwork = self.network.subnetworks.get(region.name)
            if subnetwork is None:
                yield ("network",), validation.SUBNETWORK_MISSING.error(region=region.name)
            elif subnetwork.proxy_only_range is None and self.proxy_purpose:
                yield ("network",), validation.PROXIES_MISSING.error(region=region.name, purpose=self.proxy_purpose)

    def _given_network(self, network: ExistingNetwork | SharedVpcNetwork) -> Iterator[PydanticCustomError]:
        if isinstance(network, SharedVpcNetwork) and network.host_project.id == self.project.id:
            yield validation.HOST_IS_SERVICE.error(project=self.project.id)
        regions = [region.name for region in self.regions]
        proxies: dict[str, IPv4Network] = {}
        for region, subnetwork in network.subnetworks.items():
            if region not in regions:
                yield validation.SUBNETWORK_UNKNOWN.error(region=region, regions=", ".join(regions))
            if subnetwork.pods_range_name == subnetwork.services_range_name:
                yield validation.ONE_RANGE.error(region=region, name=subnetwork.pods_range_name)
            if (given := subnetwork.proxy_only_range) is None:
                continue
            smallest, need = ip_plan.MIN_RANGE_SIZES["global_proxy_only"]
            why = ""
            if not ip_plan.is_private(given):
                why = "a load balancer inside a VPC has private addresses"
            elif given.prefixlen > smallest:
                why = need
            elif other := next((name for name, range_ in proxies.items() if range_.overlaps(given)), None):
                why = f"it overlaps with that of {other}, and ranges of one VPC do not"
            if why:
                yield validation.PROXIES.error(region=region, given=given, why=why)
            proxies[region] = given

    def _place(self, region: Region) -> ip_plan.RegionIpRequest:
        pools = (PeakNodes(pool.spec.peak_nodes, pool.max_pods_per_node) for pool in region.node_pools if _sound(pool))
        demand = (PeakNodes(self.system_pool.peak_nodes, SYSTEM_PODS_PER_NODE), *pools)
        return ip_plan.RegionIpRequest(region.name, region.ip_plan_index, region.ranges, demand)

    def _gateway_refusals(self) -> Iterator[LocatedError]:
        regions = [region.name for region in self.regions]
        if self.config_cluster_region not in regions:
            yield (
                ("gateway",),
                validation.CONFIG_REGION.error(region=self.config_cluster_region, regions=", ".join(regions)),
            )
        if len(regions) > 1 and not self.multi_cluster:
            yield ("gateway",), validation.ONE_CLUSTER_CLASS.error(count=len(regions))
        for i, region in enumerate(self.regions):
            if not isinstance(region.cluster, ExistingCluster):
                continue
            if isinstance(self.network, NewNetwork):
                yield ("regions", i), validation.CLUSTER_OUTSIDE_VPC.error()
            if self.multi_cluster and region.cluster.membership is None:
                yield ("regions", i), validation.CLUSTER_OUTSIDE_FLEET.error(cluster=region.cluster.name)

    def _key_refusals(self) -> Iterator[LocatedError]:
        if not self.kms_keys:
            return
        for location in dict.fromkeys(location for location, _ in self.kms_key_uses):
            if location not in self.kms_keys:
                what = "a cluster" if location in {r.name for r in self.regions} else "the bucket of the model store"
                yield ("kms_keys",), validation.KEY_MISSING.error(location=location, what=what)
        for location, key in self.kms_keys.items():
            if (actual := key.split("/")[3]) != location:
                yield ("kms_keys",), validation.KEY_ELSEWHERE.error(location=location, actual=actual)


def _sound(pool: GpuNodePool) -> bool:
    return not any(
        find_issues(pool.capacity, pool.machine, pool.nodes, pool.zones, compact_placement=pool.compact_placement)
    )
