"""Names and labels of cloud resources: `environment-region-role`, each checked against Google's limit, never cut.

Two different (environment, region, role) never give one name of a kind: an environment has no hyphen, a region has
Google's form, and a role never begins like a region.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pydantic_core import PydanticCustomError

from schema import Rule


class Kind(StrEnum):
    """What carries a name."""

    CLUSTER = "cluster"
    NODE_POOL = "node pool"
    SERVICE_ACCOUNT = "service account"
    BUCKET = "bucket"
    NETWORK = "network"
    SUBNETWORK = "subnetwork"
    SECONDARY_RANGE = "secondary range"
    ROUTER = "router"
    NAT = "NAT gateway"
    FIREWALL = "firewall rule"
    ADDRESS = "address"
    SECURITY_POLICY = "security policy"
    RESOURCE_POLICY = "resource policy"
    MEMBERSHIP = "fleet membership"
    REDIS = "Redis instance"
    DNS_ZONE = "DNS zone"
    CERTIFICATE = "certificate"
    DNS_AUTHORIZATION = "DNS authorization"
    REPOSITORY = "Artifact Registry repository"
    SECRET = "secret"
    KEY_RING = "key ring"
    RAY_SERVICE = "RayService"


@dataclass(frozen=True)
class Limit:
    """What Google (or Kubernetes) accepts as a name. `short`: regions are written as `region_code` writes them."""

    longest: int
    source: str
    shortest: int = 1
    short: bool = False


LIMITS: Mapping[Kind, Limit] = MappingProxyType(
    {
        **{kind: Limit(63, "compute: RFC 1035") for kind in Kind},
        Kind.CLUSTER: Limit(40, "container v1"),
        Kind.NODE_POOL: Limit(40, "container v1"),
        Kind.SERVICE_ACCOUNT: Limit(30, "iam v1", shortest=6, short=True),
        Kind.REDIS: Limit(40, "redis v1"),
        Kind.RAY_SERVICE: Limit(47, "kuberay", short=True),
    }
)

TOO_LONG = Rule(
    "names.too-long",
    wrong="the {kind} would be called `{name}`, {length} characters",
    why="Google takes at most {longest} and names are never cut, because a cut name can collide",
    instead="shorten the environment or `{role}` by {over}",
)
TOO_SHORT = Rule(
    "names.too-short",
    wrong="the {kind} would be called `{name}`, {length} characters",
    why="Google takes no fewer than {shortest}",
    instead="write a longer environment or role",
)
BAD_ENVIRONMENT = Rule(
    "names.environment",
    wrong="the environment is called `{environment}`",
    why="names are environment-region-role, so it must be lowercase letters and digits, a letter first, no hyphen",
    instead="write a stack name such as `{better}`",
)
BAD_REGION = Rule(
    "names.region",
    wrong="`{region}` does not look like a Google region",
    why="regions are a continent, a direction and a number",
    instead="write one such as us-central1",
)
BAD_ROLE = Rule(
    "names.role",
    wrong="`{role}` cannot be the last part of a name",
    why="it must be lowercase letters, digits and single hyphens, a letter first, and not begin like a region",
    instead="write one such as `{better}`",
)
COLLISION = Rule(
    "names.collision",
    wrong="two {kind}s would be called `{name}`",
    why="{first} and {second} both ask for it",
    instead="rename one of them",
)
BAD_LABEL = Rule(
    "names.label",
    wrong="label {key} is `{value}`",
    why="Google's labels are at most 63 lowercase letters, digits, hyphens and underscores",
    instead="write `{better}`",
)

CONTINENTS: Mapping[str, str] = MappingProxyType(
    {
        "africa": "af",
        "asia": "as",
        "australia": "au",
        "europe": "eu",
        "me": "me",
        "northamerica": "na",
        "southamerica": "sa",
        "us": "us",
    }
)
DIRECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "central": "c",
        "east": "e",
        "north": "n",
        "northeast": "ne",
        "northwest": "nw",
        "south": "s",
        "southeast": "se",
        "southwest": "sw",
        "west": "w",
    }
)
_REGION = re.compile(rf"({'|'.join(CONTINENTS)})-({'|'.join(DIRECTIONS)})([1-9][0-9]?)")
_CODE = re.compile(rf"({'|'.join(CONTINENTS.values())})({'|'.join(DIRECTIONS.values())})([1-9][0-9]?)")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]*")
_ROLE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")


def region_code(region: str) -> str:
    """A region in 4 to 6 characters: `us-central1` is `usc1`, `northamerica-northeast1` is `nane1`."""
    found = _REGION.fullmatch(region)
    if found is None:
        raise BAD_REGION.refusal(region=region)
    return CONTINENTS[found[1]] + DIRECTIONS[found[2]] + found[3]


def name(kind: Kind, environment: str, role: str, region: str | None = None, project: str | None = None) -> str:
    """`environment-region-role`, without the region where the resource has none. Raises a refusal when it cannot be.

    A bucket's name is global, so it begins with the project: `project--environment-region-role`.
    """
    limit = LIMITS[kind]
    if not _ENVIRONMENT.fullmatch(environment):
        raise BAD_ENVIRONMENT.refusal(environment=environment, better=_letters(environment) or "dev")
    if not _ROLE.fullmatch(role) or _REGION.match(role) or _CODE.fullmatch(role.split("-")[0]):
        raise BAD_ROLE.refusal(role=role, better="gpu-" + (_letters(role) or "pool"))
    parts = [environment, role]
    if region is not None:
        code = region_code(region)
        parts.insert(1, code if limit.short else region)
    whole = "-".join(parts)
    if kind is Kind.BUCKET:
        if project is None:
            raise ValueError("a bucket's name needs its project")
        whole = f"{project}--{whole}"
    if len(whole) > limit.longest:
        raise TOO_LONG.refusal(
            kind=kind, name=whole, length=len(whole), longest=limit.longest, role=role, over=len(whole) - limit.longest
        )
    if len(whole) < limit.shortest:
        raise TOO_SHORT.refusal(kind=kind, name=whole, length=len(whole), shortest=limit.shortest)
    return whole


@dataclass(frozen=True)
class Named:
    """A name and what asks for it, in words a person knows (`infra.regions[0].pools[1]`)."""

    kind: Kind
    name: str
    asked_by: str
    scope: str = ""
    """What the name must be unique in: a cluster for a node pool, a region for a router, nothing for the project."""


def collisions(named: Iterable[Named]) -> Iterator[PydanticCustomError]:
    """One refusal for each name that two things ask for in one scope."""
    seen: dict[tuple[Kind, str, str], Named] = {}
    for one in named:
        other = seen.setdefault((one.kind, one.scope, one.name), one)
        if other is not one:
            yield COLLISION.refusal(kind=one.kind, name=one.name, first=other.asked_by, second=one.asked_by)


def labels(environment: str, owner: str, version: str) -> dict[str, str]:
    """What everything carries. Dots in the stack's version become underscores, as Google's syntax has none."""
    wanted = {"environment": environment, "owner": owner, "stack-version": version.replace(".", "_")}
    for key, value in wanted.items():
        if not _LABEL.fullmatch(value):
            raise BAD_LABEL.refusal(key=key, value=value, better=re.sub(r"[^a-z0-9_-]+", "-", value.lower())[:63])
    return wanted


def _letters(text: str) -> str:
    return re.sub(r"^[0-9]+|[^a-z0-9]", "", text.lower())
