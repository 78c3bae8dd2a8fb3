"""Names and labels of cloud resources: `environment-region-role`, checked against what Google takes, never cut.

Two different (environment, region, role) never give one name: an environment has no hyphen, a region has Google's form,
and a role never begins like one. A resource that is not of a region has no region in its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pydantic_core import PydanticCustomError

from config.google.region_names import _CODE, _REGION, _region, region_code
from config.issues import Rule


class ResourceKind(StrEnum):
    """What carries a name, in the words of a refusal."""

    ADDRESS = "address"
    BUCKET = "bucket"
    CERTIFICATE = "certificate"
    CLUSTER = "cluster"
    CRYPTO_KEY = "key"
    DNS_AUTHORIZATION = "DNS authorization"
    DNS_ZONE = "DNS zone"
    FIREWALL = "firewall rule"
    HEALTH_CHECK = "health check"
    KEY_RING = "key ring"
    MEMBERSHIP = "fleet membership"
    NAT = "Cloud NAT"
    NETWORK = "network"
    NODE_POOL = "node pool"
    RAY_SERVICE = "RayService"
    REDIS = "Redis instance"
    REPOSITORY = "repository"
    RESOURCE_POLICY = "resource policy"
    ROUTER = "router"
    SECONDARY_RANGE = "secondary range"
    SECRET = "secret"
    SECURITY_POLICY = "security policy"
    SERVICE_ACCOUNT = "service account"
    SUBNETWORK = "subnetwork"


@dataclass(frozen=True)
class NameLimit:
    """How long a name may be. The characters need no column: what `name` makes is lowercase letters, digits and inner
    hyphens, a letter first, and every kind takes that."""

    max_length: int
    source: str
    short_region: bool = False
    """The region is written as `region_code` writes it, where little room is left or the project is in the name."""


COMPUTE = NameLimit(63, "compute.v1: RFC 1035 label")

NAME_LIMITS: Mapping[ResourceKind, NameLimit] = MappingProxyType(
    {
        ResourceKind.ADDRESS: COMPUTE,
        ResourceKind.BUCKET: NameLimit(63, "Cloud Storage, Bucket names", short_region=True),
        ResourceKind.CERTIFICATE: NameLimit(64, "hashicorp/google, certificate_manager_certificate"),
        ResourceKind.CLUSTER: NameLimit(40, "container.v1, Cluster.name"),
        ResourceKind.CRYPTO_KEY: NameLimit(63, "cloudkms.v1, cryptoKeyId"),
        ResourceKind.DNS_AUTHORIZATION: NameLimit(64, "hashicorp/google, certificate_manager_dns_authorization"),
        ResourceKind.DNS_ZONE: NameLimit(63, "dns.v1, ManagedZone.name"),
        ResourceKind.FIREWALL: COMPUTE,
        ResourceKind.HEALTH_CHECK: COMPUTE,
        ResourceKind.KEY_RING: NameLimit(63, "cloudkms.v1, keyRingId"),
        ResourceKind.MEMBERSHIP: NameLimit(63, "gkehub.v1, membershipId"),
        ResourceKind.NAT: COMPUTE,
        ResourceKind.NETWORK: COMPUTE,
        ResourceKind.NODE_POOL: NameLimit(40, "hashicorp/google, container_node_pool: name_prefix of 31 and 9 more"),
        # 63 less "-serve-svc", less the six characters of a RayCluster's suffix.
        ResourceKind.RAY_SERVICE: NameLimit(47, "ray-project/kuberay, MaxRayServiceNameLength"),
        ResourceKind.REDIS: NameLimit(40, "redis.v1, instanceId"),
        ResourceKind.REPOSITORY: NameLimit(63, "assumed: artifactregistry.v1 gives no length"),
        ResourceKind.RESOURCE_POLICY: COMPUTE,
        ResourceKind.ROUTER: COMPUTE,
        ResourceKind.SECONDARY_RANGE: COMPUTE,
        ResourceKind.SECRET: NameLimit(255, "secretmanager.v1, secretId"),
        ResourceKind.SECURITY_POLICY: COMPUTE,
        ResourceKind.SERVICE_ACCOUNT: NameLimit(30, "iam.v1, CreateServiceAccountRequest.accountId", short_region=True),
        ResourceKind.SUBNETWORK: COMPUTE,
    }
)

MIN_SERVICE_ACCOUNT_LENGTH = 6

TOO_LONG = Rule(
    "names.too-long",
    problem="the {kind} would be called {name}, {length} characters",
    reason="at most {longest} are taken, and names are never cut because two could become one",
    fix="make {parts} shorter by {over}",
)
ENVIRONMENT = Rule(
    "names.environment",
    problem="the environment (the stack) is called {environment}",
    reason="names begin with it and a hyphen ends it, so it must be lowercase letters and digits, a letter first",
    fix="call it {better}, and its file Pulumi.{better}.yaml",
)
ROLE = Rule(
    "names.role",
    problem="`{role}` is to be the last part of a name",
    reason="that must be lowercase letters, digits and single hyphens, a letter first, and not begin like a region",
    fix="write one such as {better}",
)
COLLISION = Rule(
    "names.collision",
    problem="{first} and {second} would both be a {kind} called {name}",
    reason="only one of them can have it",
    fix="give one of them another name",
)
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]*")
_ROLE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def resource_name(
    kind: ResourceKind, environment: str, role: str, region: str | None = None, project: str | None = None
) -> str:
    """`environment-region-role` for a resource of `kind`; refuses what cannot be a name.

    `region` None: the resource is not of a region. A bucket's name is the whole world's, so it alone begins with its
    `project`, set off by two hyphens, which no other part has.
    """
    limit = NAME_LIMITS[kind]
    if not _ENVIRONMENT.fullmatch(environment):
        raise ENVIRONMENT.error(environment=environment, better=_plain(environment, "") or "dev")
    if not _ROLE.fullmatch(role) or _REGION.match(role) or _CODE.fullmatch(role.partition("-")[0]):
        raise ROLE.error(role=role, better=f"pool-{_plain(role, '-')}".rstrip("-"))
    place = [] if region is None else [region_code(region) if limit.short_region else _region(region)]
    made = "-".join([environment, *place, role])
    if kind is ResourceKind.BUCKET:
        if project is None:
            raise ValueError("a bucket's name begins with its project")
        made = f"{project}--{made}"
    if len(made) > limit.max_length:
        parts = (
            "the environment's name" if region is None else "the environment's or, where you gave one, the pool's name"
        )
        parts += " or the project's id" if kind is ResourceKind.BUCKET else ""
        raise TOO_LONG.error(
            kind=kind,
            name=made,
            length=len(made),
            longest=limit.max_length,
            parts=parts,
            over=len(made) - limit.max_length,
        )
    if kind is ResourceKind.SERVICE_ACCOUNT and len(made) < MIN_SERVICE_ACCOUNT_LENGTH:
        raise ValueError(f"a service account's name has {MIN_SERVICE_ACCOUNT_LENGTH} characters or more, not {made}")
    return made


@dataclass(frozen=True)
class PlannedName:
    """A name, and what asks for it in words a person has written (`infra.regions[0].node_pools[1]`)."""

    kind: ResourceKind
    name: str
    setting: str
    scope: str = ""
    """Where it must be the only one: a cluster for a node pool, a region for a router; empty for the whole project."""


def collisions(named: Iterable[PlannedName]) -> Iterator[PydanticCustomError]:
    """A refusal for each name that a second thing asks for."""
    first: dict[tuple[ResourceKind, str, str], PlannedName] = {}
    for one in named:
        holder = first.setdefault((one.kind, one.scope, one.name), one)
        if holder is not one:
            yield COLLISION.error(kind=one.kind, name=one.name, first=holder.setting, second=one.setting)


def _plain(text: str, gap: str) -> str:
    """`text` in lowercase letters and digits, a letter first, with `gap` for what lies between."""
    return re.sub(r"[^a-z0-9]+", gap, re.sub(r"^[^a-z]+", "", text.lower())).strip("-")
