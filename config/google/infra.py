"""What the `infra` block may say when the stack runs on Google Cloud.

Only what Google would refuse after minutes, or what would hurt later, is refused here; each refusal says what to write.
`GoogleSettings.warnings` says what works but is worth a second look.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from config.base import HOSTNAME, HOSTNAME_WORDS, Day, Range, Settings, form
from config.google import capacity, ip_plan, machine_types, name_limits, validation
from config.google.capacity import NAME, NAME_WORDS, PROJECT, PROJECT_WORDS, Capacity, PoolTerms, Sizing
from config.google.ip_plan import GivenRanges, NodeDemand, RegionRanges
from config.google.machine_types import MachineShape, MachineType
from infra.contract import Traffic
from versions import GKE_FLOOR

Found = tuple[tuple[str | int, ...], PydanticCustomError]
"""Where in the block, and what is refused there."""

ResourceName = Annotated[str, form(NAME, NAME_WORDS)]
ProjectId = Annotated[str, form(PROJECT, PROJECT_WORDS)]
KeyName = Annotated[
    str,
    form(
        r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+",
        "projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version",
    ),
]
Hostname = Annotated[str, form(HOSTNAME, HOSTNAME_WORDS)]

RAY_OPERATOR_FLOOR = "1.30.0-gke.1747000"
"""GKE's "Enable the Ray Operator add-on"."""
SYSTEM_POOL = "system"
"""Last part of the system pool's name."""
SYSTEM_PODS_PER_NODE = 110
NO_UPGRADES_DAYS = 90
PRIVATE_TOPS = ("internal", "local", "localhost", "lan", "home", "corp", "test", "invalid", "example")
"""Last parts of names that no public DNS has."""


M = TypeVar("M", bound=Settings)


def _all_or_itself(model: M, found: Iterator[Found]) -> M:
    """`model`, or every refusal at once, each at its place in the block."""
    errors = [InitErrorDetails(type=refusal, loc=loc, input=None) for loc, refusal in found]
    if errors:
        raise ValidationError.from_exception_data(type(model).__name__, errors)
    return model


class Project(Settings):
    """The Google Cloud project that everything is in. It exists, and has a billing account."""

    id: ProjectId
    """Its id."""
    number: int = Field(gt=0)
    """Its number, which service agents and principals are named by; written here, it is never asked for."""


class NewNetwork(Settings):
    """A VPC of its own, with subnetworks, Cloud NAT, firewall and proxy-only subnetworks."""

    kind: Literal["new"] = "new"
    """Make one."""
    base: Range = ip_plan.BASE
    """Range that every region's ranges are derived from (config/google/ip_plan.py)."""


class ExistingSubnetwork(Settings):
    """A region's subnetwork in an existing VPC."""

    name: ResourceName
    """The subnetwork that nodes are in."""
    pods_range: ResourceName
    """Name of its secondary range for pods."""
    services_range: ResourceName
    """Name of its secondary range for Services."""
    proxies: Range | None = None
    """Range of the active proxy-only subnetwork that a private entrance needs."""


class ExistingNetwork(Settings):
    """A VPC of the same project, used as it is: its subnetworks, Cloud NAT, firewall and proxy-only subnetworks are
    yours."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The VPC."""
    subnetworks: dict[str, ExistingSubnetwork]
    """One for each region, by the region's name."""


class SharedNetwork(Settings):
    """A Shared VPC: as an existing one, in the host project. GKE's grants in the host project are made here."""

    kind: Literal["shared"]
    """Use another project's."""
    host: Project
    """The host project; this stack's project is attached to it."""
    name: ResourceName
    """The VPC."""
    subnetworks: dict[str, ExistingSubnetwork]
    """One for each region, by the region's name."""
    redis_range: ResourceName | None = None
    """Name of the allocated range for private services access, where Memorystore puts its instances."""


Network = Annotated[NewNetwork | ExistingNetwork | SharedNetwork, Field(discriminator="kind")]


class NewCluster(Settings):
    """A cluster made here, as `infra.cluster` says."""

    kind: Literal["new"] = "new"
    """Make one."""


class ExistingCluster(Settings):
    """A cluster made elsewhere, which gets node pools from here. Workload Identity, the Gateway API and the Ray
    Operator add-on must be on."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The cluster; its location is the region."""
    dns_endpoint: Hostname
    """Host name of its DNS endpoint (`controlPlaneEndpointsConfig.dnsEndpointConfig.endpoint`)."""
    membership: (
        Annotated[
            str,
            form(r"projects/[^/]+/locations/[^/]+/memberships/[^/]+", "projects/P/locations/L/memberships/NAME, whole"),
        ]
        | None
    ) = None
    """Its fleet membership; a multi-cluster entrance needs it."""


Cluster = Annotated[NewCluster | ExistingCluster, Field(discriminator="kind")]


class Driver(StrEnum):
    """Which NVIDIA driver GKE installs."""

    DEFAULT = "DEFAULT"
    LATEST = "LATEST"


class GpuPool(Settings):
    """Nodes with GPUs, all alike. To change what replaces a pool while it serves, write a second pool, then take the
    first one out."""

    name: str
    """Last part of its name: environment-region-name."""
    machine_type: str
    """One of config/google/machine_types.py, such as a4-highgpu-8g. One with other GPUs replaces the pool."""
    zones: tuple[str, ...]
    """Where its nodes are."""
    capacity: Capacity
    """How its nodes are had. Another kind, reservation or lifetime replaces the pool."""
    nodes: Sizing | None = None
    """How many; null for all of a reservation."""
    compact_placement: bool = False
    """VMs close together, of use only to a replica that spans nodes. Changing it replaces the pool."""
    max_pods_per_node: int = Field(default=32, ge=16, le=256)
    """Addresses are set aside for twice as many; few pods run beside a GPU. Changing it replaces the pool."""
    boot_disk_gib: int = Field(default=200, ge=50, le=65_536)
    """Size of the boot disk, which holds the image where the machine has no local SSD."""
    driver: Driver = Driver.LATEST
    """NVIDIA driver; images built for CUDA 13 need the branch 580 or later. Changing it replaces the pool."""

    @field_validator("machine_type")
    @classmethod
    def _known(cls, name: str) -> str:
        return machine_types.machine_type(name).name

    @property
    def machine(self) -> MachineType:
        """Its machine type's row of the table."""
        return machine_types.machine_type(self.machine_type)

    @property
    def terms(self) -> PoolTerms:
        """What it says to GKE."""
        return capacity.pool_terms(
            self.capacity, self.machine, self.nodes, self.zones, compact_placement=self.compact_placement
        )


class Region(Settings):
    """One region: a cluster with its pools."""

    name: str
    """Such as us-central1."""
    index: int = Field(default=0, ge=0)
    """Its place in the address plan: each region's own, never changed and never used again."""
    pools: tuple[GpuPool, ...] = Field(min_length=1)
    """Its GPU pools."""
    traffic: Traffic = Traffic.ACTIVE
    """`active`, or `drained`: out of the entrance, and its streams have ended."""
    release: str = ""
    """Which release of `serving` runs here; raised region by region."""
    ranges: GivenRanges = GivenRanges()
    """Address ranges that are given instead of derived."""
    cluster: Cluster = NewCluster()
    """A new cluster or an existing one."""

    @field_validator("name")
    @classmethod
    def _known_form(cls, name: str) -> str:
        name_limits.region_code(name)
        return name

    @model_validator(mode="after")
    def _pools_fit(self) -> Region:
        return _all_or_itself(self, self._refusals())

    def _refusals(self) -> Iterator[Found]:
        for i, pool in enumerate(self.pools):
            yield from (
                (("pools", i), validation.ZONE_TWICE.refusal(zone=zone))
                for zone, times in Counter(pool.zones).items()
                if times > 1
            )
            for zone in dict.fromkeys(pool.zones):
                if not re.fullmatch(re.escape(self.name) + "-[a-z]", zone):
                    yield ("pools", i), validation.ZONE_ELSEWHERE.refusal(zone=zone, region=self.name)


class ReleaseChannel(StrEnum):
    """GKE's release channels."""

    RAPID = "RAPID"
    REGULAR = "REGULAR"
    STABLE = "STABLE"
    EXTENDED = "EXTENDED"


class Weekday(StrEnum):
    """As iCalendar writes them."""

    MONDAY = "MO"
    TUESDAY = "TU"
    WEDNESDAY = "WE"
    THURSDAY = "TH"
    FRIDAY = "FR"
    SATURDAY = "SA"
    SUNDAY = "SU"


class MaintenanceWindow(Settings):
    """When GKE may upgrade on its own, in UTC."""

    days: tuple[Weekday, ...] = Field(default=(Weekday.SATURDAY, Weekday.SUNDAY), min_length=1)
    """On these days."""
    start_hour: int = Field(default=2, ge=0, le=23)
    """From this hour on."""
    hours: int = Field(default=8, ge=4, le=24)
    """For so many hours."""

    @model_validator(mode="after")
    def _long_enough(self) -> MaintenanceWindow:
        open_hours = 4 * len(set(self.days)) * self.hours  # 32 days hold every weekday four times, at least
        if open_hours < 48:
            raise validation.WINDOW_TOO_SHORT.refusal(hours=open_hours)
        return self


class ExclusionScope(StrEnum):
    """What GKE leaves alone."""

    NO_UPGRADES = "NO_UPGRADES"
    NO_MINOR_UPGRADES = "NO_MINOR_UPGRADES"
    NO_MINOR_OR_NODE_UPGRADES = "NO_MINOR_OR_NODE_UPGRADES"


class MaintenanceExclusion(Settings):
    """When GKE may not upgrade on its own."""

    name: ResourceName
    """What it is called."""
    starts_at: Day
    """First day."""
    ends_at: Day | None = None
    """First day after it; null: until the version's end of support."""
    scope: ExclusionScope = ExclusionScope.NO_MINOR_OR_NODE_UPGRADES
    """What GKE leaves alone."""

    @model_validator(mode="after")
    def _ends(self) -> MaintenanceExclusion:
        if self.ends_at is None and self.scope is ExclusionScope.NO_UPGRADES:
            raise validation.EXCLUSION_WITHOUT_END.refusal(name=self.name)
        if self.ends_at is not None and self.scope is ExclusionScope.NO_UPGRADES:
            days, latest = (self.ends_at - self.starts_at).days, self.starts_at + timedelta(days=NO_UPGRADES_DAYS)
            if days > NO_UPGRADES_DAYS:
                raise validation.EXCLUSION_TOO_LONG.refusal(name=self.name, days=days, latest=latest)
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            raise validation.EXCLUSION_PERIOD.refusal(name=self.name, ends=self.ends_at, starts=self.starts_at)
        return self


class Maintenance(Settings):
    """When GKE may upgrade clusters and nodes on its own."""

    window: MaintenanceWindow | None = MaintenanceWindow()
    """When it may; null: at any time."""
    exclusions: tuple[MaintenanceExclusion, ...] = Field(default=(), max_length=20)
    """When it may not."""

    @model_validator(mode="after")
    def _exclusions_have_a_window(self) -> Maintenance:
        if self.exclusions and self.window is None:
            raise validation.EXCLUSION_WITHOUT_WINDOW.refusal()
        for name, times in Counter(each.name for each in self.exclusions).items():
            if times > 1:
                raise validation.EXCLUSION_TWICE.refusal(name=name)
        return self


class AuthorizedNetwork(Settings):
    """Addresses that may reach the Kubernetes API by IP."""

    name: str
    """Whose they are."""
    cidr: Range
    """The range."""

    @model_validator(mode="after")
    def _not_everybody(self) -> AuthorizedNetwork:
        if self.cidr.prefixlen < 8:
            raise validation.OPEN_TO_ALL.refusal(name=self.name, cidr=self.cidr)
        return self


class ApiAccess(Settings):
    """Who may reach the Kubernetes API. The DNS endpoint is always on, and IAM decides who may use it
    (container.clusters.connect)."""

    from_internet: bool = True
    """The DNS endpoint answers callers outside Google Cloud too; IAM still decides. False: Pulumi must run inside."""
    authorized_networks: tuple[AuthorizedNetwork, ...] = Field(default=(), max_length=100)
    """Turns the IP endpoint on, for these alone; without any it is off."""


class ClusterOptions(Settings):
    """What every new cluster is like."""

    release_channel: ReleaseChannel = ReleaseChannel.REGULAR
    """How soon GKE versions come."""
    min_version: Annotated[
        str, form(r"1\.[0-9]+(\.[0-9]+-gke\.[0-9]+)?", 'a GKE version such as "1.35" or "1.35.2-gke.1842000"')
    ] = GKE_FLOOR
    """Oldest GKE version of a new cluster, whole or in part (1.35); the channel takes it on from there."""
    maintenance: Maintenance = Maintenance()
    """When GKE may upgrade on its own."""
    api_access: ApiAccess = ApiAccess()
    """Who may reach the Kubernetes API."""
    gcs_fuse: bool = False
    """The Cloud Storage FUSE CSI driver; vLLM streams weights from the bucket without it."""


class SystemPool(Settings):
    """Nodes without GPUs, for Ray heads and controllers."""

    machine_type: str = "e2-standard-8"
    """One of config/google/machine_types.py; a head asks for 4 vCPUs and 16 GiB."""
    min_nodes: int = Field(default=1, ge=1)
    """Never fewer, over all zones."""
    max_nodes: int = Field(default=6, ge=1)
    """Never more, over all zones."""

    @field_validator("machine_type")
    @classmethod
    def _known(cls, name: str) -> str:
        return machine_types.system_machine_type(name).name

    @model_validator(mode="after")
    def _bounds(self) -> SystemPool:
        if self.min_nodes > self.max_nodes:
            raise capacity.BOUNDS.refusal(low=self.min_nodes, high=self.max_nodes)
        return self

    @property
    def machine(self) -> MachineShape:
        """Its machine type's row of the table."""
        return machine_types.system_machine_type(self.machine_type)

    @property
    def peak_nodes(self) -> int:
        """The most nodes, with one spare in each of three zones while they are upgraded."""
        return self.max_nodes + 3


class Exposure(StrEnum):
    """Who can reach the entrance."""

    PRIVATE = "private"
    PUBLIC = "public"


class GatewayClass(StrEnum):
    """The GKE GatewayClasses that this stack uses."""

    REGIONAL_INTERNAL = "gke-l7-rilb"
    CROSS_REGIONAL_INTERNAL = "gke-l7-cross-regional-internal-managed-mc"
    GLOBAL_EXTERNAL = "gke-l7-global-external-managed"
    GLOBAL_EXTERNAL_MULTI_CLUSTER = "gke-l7-global-external-managed-mc"


class CloudArmor(Settings):
    """The security policy in front of a public entrance; whatever it does not allow is answered with 403."""

    allowed_sources: tuple[Range, ...] = Field(min_length=1, max_length=10)
    """Who may call; 0.0.0.0/0 for everybody, at the rate below."""
    requests_per_minute: int = Field(default=600, ge=1)
    """Of one client address; beyond it, 429."""


class NewZone(Settings):
    """A Cloud DNS zone made here: private with exposure: private, else public (delegate it at your registrar)."""

    kind: Literal["new"]
    """Make one."""
    domain: Hostname
    """What it holds names of, without a dot at the end."""


class ExistingZone(Settings):
    """A Cloud DNS zone of the same project."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The managed zone's name. With exposure: private it must be a private zone of the VPC."""


DnsZone = Annotated[NewZone | ExistingZone, Field(discriminator="kind")]


class ManagedCertificate(Settings):
    """A certificate that Google issues and renews."""

    kind: Literal["managed"]
    """Let Google issue one."""
    authorization_zone: ResourceName
    """Public Cloud DNS zone of the same project that the hostname's domain is in: a record there proves that it is
    yours."""


class ExistingCertificate(Settings):
    """A certificate that is in Certificate Manager already (your own authority's, for instance)."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """Of the certificate; with exposure: public, of the certificate map."""


CertificateSource = Annotated[ManagedCertificate | ExistingCertificate, Field(discriminator="kind")]


class NetworkCallers(Settings):
    """Whoever reaches the address may call, and is asked for nothing: with exposure: private everything in the VPC and
    in networks connected to it, with exposure: public what Cloud Armor allows. The models behind it ask for no key."""

    kind: Literal["network"] = "network"
    """By where they are. Others are not offered yet: docs/decisions/0009-what-the-entrance-routes-by.md."""


class Gateway(Settings):
    """Where requests come in."""

    exposure: Exposure = Exposure.PRIVATE
    """`private`: only the VPC and what is connected to it. `public`: the internet, through Cloud Armor."""
    multi_cluster: bool | None = None
    """A class that reaches clusters of several regions; null: where there are several. True from the start lets a
    second region join without a new entrance."""
    config_region: str | None = None
    """Region of the config cluster; the first region by default."""
    hostname: Hostname | None = None
    """What clients call it."""
    dns_zone: DnsZone | None = None
    """Where the hostname's record goes."""
    certificate: CertificateSource | None = None
    """For HTTPS; null with exposure: private is plain HTTP inside the VPC."""
    cloud_armor: CloudArmor | None = None
    """Required with exposure: public, and only there."""
    callers: NetworkCallers = NetworkCallers()
    """What lets a caller in."""

    @model_validator(mode="after")
    def _fits(self) -> Gateway:
        return _all_or_itself(self, self._refusals())

    def _refusals(self) -> Iterator[Found]:
        public = self.exposure is Exposure.PUBLIC
        if public and self.cloud_armor is None:
            yield (), validation.PUBLIC_WITHOUT_ARMOR.refusal()
        if not public and self.cloud_armor is not None:
            yield (), validation.ARMOR_ON_PRIVATE.refusal()
        if public and self.certificate is None:
            yield (), validation.PUBLIC_WITHOUT_TLS.refusal()
        if isinstance(self.certificate, ManagedCertificate):
            if self.hostname is None:
                yield (), validation.CERTIFICATE_WITHOUT_HOSTNAME.refusal()
            elif (top := self.hostname.rpartition(".")[2]) in PRIVATE_TOPS:
                yield (), validation.CERTIFICATE_PRIVATE_NAME.refusal(hostname=self.hostname, top=top)
        for source in self.cloud_armor.allowed_sources if self.cloud_armor and public else ():
            if ip_plan.is_private(source):
                yield (), validation.ARMOR_PRIVATE.refusal(source=source)
        if self.dns_zone is not None and self.hostname is None:
            yield (), validation.ZONE_WITHOUT_HOSTNAME.refusal()
        if isinstance(self.dns_zone, NewZone) and self.hostname is not None:
            domain = self.dns_zone.domain
            if not self.hostname.endswith(f".{domain}"):
                yield (), validation.HOSTNAME_ELSEWHERE.refusal(hostname=self.hostname, domain=domain)


class NewBucket(Settings):
    """A bucket made here."""

    kind: Literal["new"] = "new"
    """Make one."""
    location: Annotated[
        str,
        form(
            r"US|EU|ASIA|ASIA1|EUR[4578]|NAM4|[A-Z]+-[A-Z]+[0-9]+",
            "a location in capitals: US, EU or ASIA, a dual-region such as NAM4, or a region such as US-CENTRAL1",
        ),
    ] = "US"
    """In capitals, as Cloud Storage writes it: a multi-region (US), a dual-region (NAM4) or a region (US-CENTRAL1).
    Changing it replaces the bucket."""


class ExistingBucket(Settings):
    """A bucket made elsewhere; the workers get the right to read it."""

    kind: Literal["existing"]
    """Use one."""
    name: Annotated[
        str, form(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", "the bucket's name alone, without gs:// and without a folder")
    ]
    """Its name, without gs://."""


ModelStore = Annotated[NewBucket | ExistingBucket, Field(discriminator="kind")]


class RedisTier(StrEnum):
    """Memorystore's tiers."""

    BASIC = "BASIC"
    STANDARD_HA = "STANDARD_HA"


class HeadState(Settings):
    """Redis in each region, which lets a Ray head come back as it was (GCS fault tolerance)."""

    tier: RedisTier = RedisTier.STANDARD_HA
    """BASIC has one node. Changing it replaces the instance."""
    memory_gib: int = Field(default=1, ge=1, le=300)
    """Size of the instance; a cluster's state takes megabytes."""


class MirroredImages(Settings):
    """An Artifact Registry repository in each region that fetches images from a registry and keeps them."""

    kind: Literal["mirror"] = "mirror"
    """Make one for each region."""
    upstream: Annotated[
        str, form(r"https://[a-z0-9][a-z0-9.-]*(:\d+)?", "a registry's address, such as https://registry-1.docker.io")
    ] = "https://registry-1.docker.io"
    """The registry that it fetches from."""
    streaming: bool = True
    """Image streaming: containers start before the whole image has come."""


class ExistingImages(Settings):
    """An Artifact Registry repository made elsewhere; nodes get the right to read it."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The repository, in this project."""
    location: Annotated[str, form(r"us|europe|asia|[a-z]+-[a-z]+\d+", "a region, or one of us, europe, asia")]
    """Where it is: a region or a multi-region."""
    streaming: bool = True
    """Image streaming: containers start before the whole image has come."""


class DirectImages(Settings):
    """Images come straight from where they are written; no image streaming, which needs Artifact Registry."""

    kind: Literal["direct"]
    """Make nothing."""


Images = Annotated[MirroredImages | ExistingImages | DirectImages, Field(discriminator="kind")]


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
        name_limits.labels("any", owner, "1")
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
            if region.name not in name_limits.REGIONS:
                close = difflib.get_close_matches(region.name, name_limits.REGIONS, n=1)
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
                remarks = capacity.remarks(pool.capacity, today)
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
                for refusal in capacity.refusals(
                    pool.capacity,
                    pool.machine,
                    pool.nodes,
                    pool.zones,
                    compact_placement=pool.compact_placement,
                ):
                    yield ("regions", i, "pools", j), refusal
        if needs := self._gke_needs():
            floor = max(needs, key=capacity.version_key)
            if capacity.version_key(self.cluster.min_version) < capacity.version_key(floor):
                yield (
                    ("cluster", "min_version"),
                    capacity.GKE_TOO_OLD.refusal(version=self.cluster.min_version, what=needs[floor], floor=floor),
                )

    def _gke_needs(self) -> dict[str, str]:
        """Oldest GKE versions that new clusters can be of, and what needs each."""
        new = [region for region in self.regions if isinstance(region.cluster, NewCluster)]
        needs = {RAY_OPERATOR_FLOOR: "the Ray Operator add-on"} if new else {}
        for pool in (pool for region in new for pool in region.pools):
            if floor := capacity.gke_floor(capacity.CapacityKind(pool.capacity.kind), pool.machine):
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
        capacity.refusals(pool.capacity, pool.machine, pool.nodes, pool.zones, compact_placement=pool.compact_placement)
    )
