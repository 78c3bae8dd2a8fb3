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
from config.google.base import Found, KeyName, _all_or_itself
from config.google.cluster import RAY_OPERATOR_FLOOR, ClusterOptions, ExistingCluster, NewCluster
from config.google.gateway import Exposure, Gateway, GatewayClass
from config.google.image_registry import DirectImages, Images, MirroredImages
from config.google.ip_plan import GivenRanges, NodeDemand, RegionRanges
from config.google.labels import labels
from config.google.machine_types import CapacityKind
from config.google.model_bucket import ModelStore, NewBucket
from config.google.network import ExistingNetwork, Network, NewNetwork, SharedNetwork
from config.google.node_pool_spec import GKE_TOO_OLD, gke_floor, refusals, version_key
from config.google.node_pools import SYSTEM_PODS_PER_NODE, GpuPool, SystemPool
from config.google.project import Project
from config.google.redis import HeadState, RedisTier
from config.google.region_names import REGIONS
from config.google.regions import Region, Traffic


class GoogleSettings(Settings):
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
    network: Network = NewNetwork()
    """A new VPC or an existing one."""
    cluster: ClusterOptions = ClusterOptions()
    """What every new cluster is like."""
    system_pool: SystemPool = SystemPool()
    """Nodes for Ray heads and controllers, in each cluster."""
    gateway: Gateway = Gateway()
    """Where requests come in."""
    model_store: ModelStore | None = NewBucket()
    """The bucket that holds model weights; null for none."""
    head_state: HeadState | None = HeadState()
    """Redis for Ray heads; null for none."""
    images: Images = MirroredImages()
    """Where nodes get container images from."""
    encryption_keys: dict[str, KeyName] = Field(default_factory=dict)
    """Your own Cloud KMS keys by their location (a region, or a bucket's location in small letters); none: Google's
    keys. Changing one replaces node pools, Redis and image repositories."""

    @field_validator("owner")
    @classmethod
    def _is_a_label(cls, owner: str) -> str:
        labels("any", owner, "1")
        return owner

    @model_validator(mode="after")
    def _fits_together(self) -> GoogleSettings:
        return _all_or_itself(self, self._refusals())

    @property
    def multi_cluster(self) -> bool:
        """Whether the entrance reaches clusters of several regions."""
        return len(self.regions) > 1 if self.gateway.multi_cluster is None else self.gateway.multi_cluster

    @property
    def gateway_class(self) -> GatewayClass:
        """The GatewayClass that `gateway` and the number of regions come to."""
        if self.gateway.exposure is Exposure.PUBLIC:
            return GatewayClass.GLOBAL_EXTERNAL_MULTI_CLUSTER if self.multi_cluster else GatewayClass.GLOBAL_EXTERNAL
        return GatewayClass.CROSS_REGIONAL_INTERNAL if self.multi_cluster else GatewayClass.REGIONAL_INTERNAL

    @property
    def proxy_purpose(self) -> Literal["GLOBAL_MANAGED_PROXY", "REGIONAL_MANAGED_PROXY"] | None:
        """Of the proxy-only subnetworks that a private entrance runs on; a public one runs at Google's edge."""
        if self.gateway.exposure is Exposure.PUBLIC:
            return None
        return "GLOBAL_MANAGED_PROXY" if self.multi_cluster else "REGIONAL_MANAGED_PROXY"

    @property
    def config_region(self) -> str:
        """Region of the cluster that holds Gateway and HTTPRoute."""
        return self.gateway.config_region or self.regions[0].name

    @property
    def image_streaming(self) -> bool:
        """Whether nodes stream images."""
        return False if isinstance(self.images, DirectImages) else self.images.streaming

    @property
    def key_uses(self) -> list[tuple[str, str]]:
        """Location and service of everything that is encrypted with a key of `encryption_keys`."""
        services = ["compute", "container"]  # boot disks, and what is in etcd
        if self.head_state is not None:
            services.append("redis")
        if isinstance(self.images, MirroredImages):
            services.append("artifactregistry")
        uses = [(region.name, service) for region in self.regions for service in services]
        if isinstance(self.model_store, NewBucket):
            uses.append((self.model_store.location.lower(), "storage"))
        return uses

    def key(self, location: str) -> str | None:
        """The Cloud KMS key for what is in `location` (any case), where keys are given."""
        return self.encryption_keys.get(location.lower())

    def ranges(self, region: Region) -> RegionRanges:
        """The address ranges of a region of a new VPC."""
        base = self.network.base if isinstance(self.network, NewNetwork) else ip_plan.BASE
        return ip_plan.ranges(self._place(region), base)

    def proxy_ranges(self, region: Region) -> tuple[str, ...]:
        """Ranges that the load balancer's proxies dial from in a region; none for a public entrance, whose proxies are
        Google's."""
        if self.proxy_purpose is None:
            return ()
        if not isinstance(self.network, NewNetwork):
            return (str(self.network.subnetworks[region.name].proxies),)
        plan = self.ranges(region)
        return (str(plan.global_proxies if self.multi_cluster else plan.regional_proxies),)

    def warnings(self, today: date | None = None) -> Iterator[str]:
        """What works, but is worth a second look. `today` is asked of the computer where it is not given."""
        today = today or date.today()
        yield from self._ends(today)
        if self.gateway.cloud_armor and any(not each.prefixlen for each in self.gateway.cloud_armor.allowed_sources):
            yield (
                "infra.gateway.cloud_armor lets everybody in, and the models ask for no key: write the addresses of "
                "your callers, or be sure that each may spend "
                f"{self.gateway.cloud_armor.requests_per_minute} requests a minute of your GPUs."
            )
        for region in self.regions:
            if region.name not in REGIONS:
                close = difflib.get_close_matches(region.name, REGIONS, n=1)
                yield (
                    f"{region.name} was no region of Google's when config/google/name_limits.py was written"
                    + (f"; did you mean {close[0]}?" if close else ".")
                )
            for pool in region.pools:
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
            for j, pool in enumerate(region.pools):
                remarks = warnings.remarks(pool.capacity, today)
                yield from (f"infra.regions[{i}].pools[{j}]: {remark}" for remark in remarks)
                if pool.terms.ends_at is not None:
                    weeks.setdefault(region.name, set()).add(pool.terms.ends_at.isocalendar()[:2])
        if len(weeks) == len(self.regions) > 1 and (together := set.intersection(*weeks.values())):
            year, week = min(together)
            yield (
                f"reservations of every region end in week {week} of {year}: all GPUs would go at once; have one "
                f"prolonged, or write a further pool."
            )

    def _refusals(self) -> Iterator[Found]:
        yield from self._region_refusals()
        yield from self._pool_refusals()
        yield from self._network_refusals()
        yield from self._gateway_refusals()
        yield from self._key_refusals()
        if self.protect and self.head_state is not None and self.head_state.tier is RedisTier.BASIC:
            yield ("head_state",), validation.STATE_LOST.refusal()

    def _region_refusals(self) -> Iterator[Found]:
        seen: set[str] = set()
        for i, region in enumerate(self.regions):
            if region.name in seen:
                yield ("regions", i), validation.REGION_TWICE.refusal(region=region.name)
            seen.add(region.name)
        if all(region.traffic is Traffic.DRAINED for region in self.regions):
            yield ("regions",), validation.ALL_DRAINED.refusal()

    def _pool_refusals(self) -> Iterator[Found]:
        for i, region in enumerate(self.regions):
            for j, pool in enumerate(region.pools):
                for refusal in refusals(
                    pool.capacity,
                    pool.machine,
                    pool.nodes,
                    pool.zones,
                    compact_placement=pool.compact_placement,
                ):
                    yield ("regions", i, "pools", j), refusal
        if needs := self._gke_needs():
            floor = max(needs, key=version_key)
            if version_key(self.cluster.min_version) < version_key(floor):
                yield (
                    ("cluster", "min_version"),
                    GKE_TOO_OLD.refusal(version=self.cluster.min_version, what=needs[floor], floor=floor),
                )

    def _gke_needs(self) -> dict[str, str]:
        """Oldest GKE versions that new clusters can be of, and what needs each."""
        new = [region for region in self.regions if isinstance(region.cluster, NewCluster)]
        needs = {RAY_OPERATOR_FLOOR: "the Ray Operator add-on"} if new else {}
        for pool in (pool for region in new for pool in region.pools):
            if floor := gke_floor(CapacityKind(pool.capacity.kind), pool.machine):
                needs[floor] = f"{pool.machine_type} by {pool.capacity.kind}"
        return needs

    def _network_refusals(self) -> Iterator[Found]:
        if isinstance(self.network, NewNetwork):
            for refusal in ip_plan.refusals([self._place(region) for region in self.regions], self.network.base):
                yield ("regions",), refusal
            return
        yield from ((("network",), refusal) for refusal in self._given_network(self.network))
        if isinstance(self.network, SharedNetwork) and self.head_state is not None and not self.network.redis_range:
            yield ("network",), validation.REDIS_RANGE_MISSING.refusal()
        for i, region in enumerate(self.regions):
            if region.ranges != GivenRanges():
                yield ("regions", i), validation.RANGES_OF_EXISTING.refusal(kind=self.network.kind)
            subnetwork = self.network.subnetworks.get(region.name)
            if subnetwork is None:
                yield ("network",), validation.SUBNETWORK_MISSING.refusal(region=region.name)
            elif subnetwork.proxies is None and self.proxy_purpose:
                yield ("network",), validation.PROXIES_MISSING.refusal(region=region.name, purpose=self.proxy_purpose)

    def _given_network(self, network: ExistingNetwork | SharedNetwork) -> Iterator[PydanticCustomError]:
        if isinstance(network, SharedNetwork) and network.host.id == self.project.id:
            yield validation.HOST_IS_SERVICE.refusal(project=self.project.id)
        regions = [region.name for region in self.regions]
        proxies: dict[str, IPv4Network] = {}
        for region, subnetwork in network.subnetworks.items():
            if region not in regions:
                yield validation.SUBNETWORK_UNKNOWN.refusal(region=region, regions=", ".join(regions))
            if subnetwork.pods_range == subnetwork.services_range:
                yield validation.ONE_RANGE.refusal(region=region, name=subnetwork.pods_range)
            if (given := subnetwork.proxies) is None:
                continue
            smallest, need = ip_plan.SMALLEST["global_proxies"]
            why = ""
            if not ip_plan.is_private(given):
                why = "a load balancer inside a VPC has private addresses"
            elif given.prefixlen > smallest:
                why = need
            elif other := next((name for name, range_ in proxies.items() if range_.overlaps(given)), None):
                why = f"it overlaps with that of {other}, and ranges of one VPC do not"
            if why:
                yield validation.PROXIES.refusal(region=region, given=given, why=why)
            proxies[region] = given

    def _place(self, region: Region) -> ip_plan.Region:
        pools = (NodeDemand(pool.terms.peak_nodes, pool.max_pods_per_node) for pool in region.pools if _sound(pool))
        demand = (NodeDemand(self.system_pool.peak_nodes, SYSTEM_PODS_PER_NODE), *pools)
        return ip_plan.Region(region.name, region.index, region.ranges, demand)

    def _gateway_refusals(self) -> Iterator[Found]:
        regions = [region.name for region in self.regions]
        if self.config_region not in regions:
            yield ("gateway",), validation.CONFIG_REGION.refusal(region=self.config_region, regions=", ".join(regions))
        if len(regions) > 1 and not self.multi_cluster:
            yield ("gateway",), validation.ONE_CLUSTER_CLASS.refusal(count=len(regions))
        for i, region in enumerate(self.regions):
            if not isinstance(region.cluster, ExistingCluster):
                continue
            if isinstance(self.network, NewNetwork):
                yield ("regions", i), validation.CLUSTER_OUTSIDE_VPC.refusal()
            if self.multi_cluster and region.cluster.membership is None:
                yield ("regions", i), validation.CLUSTER_OUTSIDE_FLEET.refusal(cluster=region.cluster.name)

    def _key_refusals(self) -> Iterator[Found]:
        if not self.encryption_keys:
            return
        for location in dict.fromkeys(location for location, _ in self.key_uses):
            if location not in self.encryption_keys:
                what = "a cluster" if location in {r.name for r in self.regions} else "the bucket of the model store"
                yield ("encryption_keys",), validation.KEY_MISSING.refusal(location=location, what=what)
        for location, key in self.encryption_keys.items():
            if (actual := key.split("/")[3]) != location:
                yield ("encryption_keys",), validation.KEY_ELSEWHERE.refusal(location=location, actual=actual)


def _sound(pool: GpuPool) -> bool:
    return not any(
        refusals(pool.capacity, pool.machine, pool.nodes, pool.zones, compact_placement=pool.compact_placement)
    )
