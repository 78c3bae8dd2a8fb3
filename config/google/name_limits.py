"""Names of Google resources: `environment-region-role`, checked against Google's limits and never shortened.

Two different (environment, region, role) never have the same name: an environment has no hyphen, a region has Google's
form, and a role never begins like a region. A resource that belongs to no region has no region in its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from config.google.region_names import REGION_CODE_PATTERN, REGION_PATTERN, region_code
from config.issues import ConfigError, ConfigIssue, Rule


class ResourceKind(StrEnum):
    """Kind of a resource with a name, in the words of an issue."""

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
    """Longest name of a kind. Characters need no column: `resource_name` returns lowercase letters, digits and inner
    hyphens, beginning with a letter, and every kind accepts these."""

    max_length: int
    source: str
    short_region: bool = False
    """True: the name has the region's code, because little room is left or the project is in the name."""


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

STACK = "the name of the stack"
"""Path of an issue with the Pulumi stack's name, which is not in the file."""

TOO_LONG = Rule(
    "infra.name-too-long",
    problem="the {kind} would have the name {name} with {length} characters",
    reason="Google accepts at most {longest}, and shortened names could collide",
    fix="Make {parts} shorter by {over} characters",
)
STACK_NAME_INVALID = Rule(
    "infra.stack-name-invalid",
    problem="{environment} is not valid",
    reason="resource names begin with it and a hyphen, so it has lowercase letters and digits only and begins with a "
    "letter",
    fix="Rename the stack to {better} and its file to Pulumi.{better}.yaml",
)
ROLE_INVALID = Rule(
    "infra.node_pools.name-invalid",
    problem="`{role}` cannot be the last part of a name",
    reason="that part has lowercase letters, digits and single hyphens, begins with a letter, and does not begin "
    "like a region",
    fix="Write a name such as {better}",
)
COLLISION = Rule(
    "infra.name-collision",
    problem="{first} and {second} would both be a {kind} with the name {name}",
    reason="each {kind} needs a unique name",
    fix="Write another name for one of them",
)
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]*")
_ROLE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def resource_name(
    kind: ResourceKind,
    environment: str,
    role: str,
    region: str | None = None,
    project: str | None = None,
    setting: str = STACK,
) -> str:
    """Return `environment-region-role`, the name of a resource of `kind`.

    `region` None: the resource belongs to no region. `project` is for buckets only: bucket names are unique in the
    world, so they begin with the project and two hyphens, which no other part has. `setting` is the path of the setting
    that `role` comes from, for the issue. Raises `ConfigError` for a name that Google does not accept.
    """
    limit = NAME_LIMITS[kind]
    if not _ENVIRONMENT.fullmatch(environment):
        better = _plain(environment, "") or "dev"
        raise ConfigError([STACK_NAME_INVALID.issue(STACK, environment=environment, better=better)])
    if not _ROLE.fullmatch(role) or REGION_PATTERN.match(role) or REGION_CODE_PATTERN.fullmatch(role.partition("-")[0]):
        raise ConfigError([ROLE_INVALID.issue(setting, role=role, better=f"pool-{_plain(role, '-')}".rstrip("-"))])
    code = None if region is None else region_code(region)
    place = [] if region is None or code is None else [code if limit.short_region else region]
    name = "-".join([environment, *place, role])
    if kind is ResourceKind.BUCKET:
        if project is None:
            raise ValueError("a bucket's name begins with its project")
        name = f"{project}--{name}"
    if (over := len(name) - limit.max_length) > 0:
        parts = STACK if setting == STACK else f"{STACK} or of the {kind}"
        parts += " or the project id" if kind is ResourceKind.BUCKET else ""
        facts = {"name": name, "length": len(name), "longest": limit.max_length, "parts": parts, "over": over}
        raise ConfigError([TOO_LONG.issue(setting, kind=kind, **facts)])
    if kind is ResourceKind.SERVICE_ACCOUNT and len(name) < MIN_SERVICE_ACCOUNT_LENGTH:
        raise ValueError(f"a service account's name has {MIN_SERVICE_ACCOUNT_LENGTH} characters or more, not {name}")
    return name


@dataclass(frozen=True)
class PlannedName:
    """A name, and the setting that it comes from."""

    kind: ResourceKind
    name: str
    setting: str
    """Settings path, such as `infra.regions[0].node_pools[1]`."""
    scope: str = ""
    """Where the name is unique: the cluster of a node pool; empty for the whole project."""


def collisions(planned: Iterable[PlannedName]) -> Iterator[ConfigIssue]:
    """Yield an issue for each name that a second setting needs."""
    first: dict[tuple[ResourceKind, str, str], PlannedName] = {}
    for each in planned:
        holder = first.setdefault((each.kind, each.scope, each.name), each)
        if holder is not each:
            yield COLLISION.issue(
                each.setting, kind=each.kind, name=each.name, first=holder.setting, second=each.setting
            )


def _plain(text: str, gap: str) -> str:
    """Return `text` in lowercase letters and digits, beginning with a letter, with `gap` in place of anything else."""
    return re.sub(r"[^a-z0-9]+", gap, re.sub(r"^[^a-z]+", "", text.lower())).strip("-")
