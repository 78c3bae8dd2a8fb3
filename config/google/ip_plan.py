"""The address plan: which IPv4 ranges every region's subnets have.

A region's place in the plan is its `index`, written in the settings; one /14 of the base is its own, cut like this:

    offset      0   nodes             /20   4092 nodes
           0.16.0   services          /20   4096 Services
           0.32.0   global_proxy_only    /23   purpose GLOBAL_MANAGED_PROXY
           0.34.0   regional_proxy_only  /23   purpose REGIONAL_MANAGED_PROXY
           0.36.0   redis             /28
            2.0.0   pods              /15   512 nodes of 110 pods, or 2048 of 32

Nothing depends on the order of the regions or on how many there are: one added or removed moves no other. That is why
the index is written and not counted, and why it is never used again for another region while its ranges live on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

from pydantic_core import PydanticCustomError

from config.base import Cidr, Settings
from config.issues import Rule

DEFAULT_BASE_CIDR = IPv4Network("10.0.0.0/8")
"""Room for 64 regions."""
REGION_PREFIX = 14
LAYOUT: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "nodes": ("0.0.0.0", 20),
        "services": ("0.0.16.0", 20),
        "global_proxy_only": ("0.0.32.0", 23),
        "regional_proxy_only": ("0.0.34.0", 23),
        "redis": ("0.0.36.0", 28),
        "pods": ("0.2.0.0", 15),
    }
)
"""Offset and prefix length of each range within a region's own. Changing a row replaces every subnet there is."""

PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
RESERVED: Mapping[str, IPv4Network] = MappingProxyType({"Docker's bridge on every node": IPv4Network("172.17.0.0/16")})
"""Private, and not ours to use. What Google prohibits in subnets is not private and so refused anyway."""

GOOGLE_RESERVED_ADDRESSES = 4
"""Addresses that Google keeps in a subnet's primary range."""
MIN_RANGE_SIZES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "services": (24, "a cluster of this stack needs up to 256 Services"),
        "global_proxy_only": (26, "a proxy-only subnet has 64 addresses or more, and Google recommends a /23"),
        "regional_proxy_only": (26, "a proxy-only subnet has 64 addresses or more, and Google recommends a /23"),
        "redis": (29, "Memorystore takes a /29"),
    }
)
"""The smallest range of each kind, and why. Nodes and pods are measured against the pools."""

NOT_PRIVATE = Rule(
    "addresses.not-private",
    problem="{what} is {given}",
    reason="subnets need private addresses",
    fix="write a range within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10",
)
NO_ROOM = Rule(
    "addresses.no-room",
    problem="{region} has index {index} and the base is {base}",
    reason="each region takes a /14 of the base, which has room for {places}",
    fix="write a larger base (a /8 has room for 64), a lower index where there is one, or all the region's ranges",
)
INDEX_TAKEN = Rule(
    "addresses.index-taken",
    problem="{first} and {second} both have index {index}",
    reason="the index is a region's place in the address plan",
    fix="write index: {free} for the newer of the two, as the older must keep its ranges",
)
OVERLAP = Rule(
    "addresses.overlap",
    problem="{first} is {first_range} and {second} is {second_range}",
    reason="they overlap",
    fix="write another range for one of them",
)
TOO_SMALL = Rule(
    "addresses.too-small",
    problem="{what} is {given}",
    reason="{need}",
    fix="write a /{prefix} or larger{else_}",
)


class CidrOverrides(Settings):
    """Ranges of a region that are given; those left out are derived from its index."""

    nodes: Cidr | None = None
    """Primary range of the node subnet."""
    pods: Cidr | None = None
    """Secondary range for pods."""
    services: Cidr | None = None
    """Secondary range for Services."""
    global_proxy_only: Cidr | None = None
    """Proxy-only subnet of the load balancer across regions."""
    regional_proxy_only: Cidr | None = None
    """Proxy-only subnet of the region's own load balancers."""
    redis: Cidr | None = None
    """Where Memorystore puts its instance."""


@dataclass(frozen=True)
class RegionCidrs:
    """Every range of one region; a field for each row of LAYOUT."""

    nodes: IPv4Network
    pods: IPv4Network
    services: IPv4Network
    global_proxy_only: IPv4Network
    regional_proxy_only: IPv4Network
    redis: IPv4Network


@dataclass(frozen=True)
class PeakNodes:
    """The most nodes that a pool can have, those of an upgrade included, and the most pods on each."""

    nodes: int
    max_pods_per_node: int


@dataclass(frozen=True)
class RegionIpRequest:
    """What the plan needs to know of a region."""

    name: str
    ip_plan_index: int = 0
    overrides: CidrOverrides = field(default_factory=CidrOverrides)
    peak_nodes: tuple[PeakNodes, ...] = ()
    """One for each of its node pools, the system pool too."""

    @property
    def is_derived(self) -> bool:
        """Whether any of its ranges comes from the index."""
        return None in self.overrides.model_dump().values()


def plan(
    regions: Sequence[RegionIpRequest],
    base: IPv4Network = DEFAULT_BASE_CIDR,
    others: Mapping[str, IPv4Network] = RESERVED,
) -> dict[str, RegionCidrs]:
    """The ranges of every region, by name. Raises the first of `refusals` (the same arguments) where there is one."""
    for refusal in find_issues(regions, base, others):
        raise refusal
    return {region.name: region_cidrs(region, base) for region in regions}


def region_cidrs(region: RegionIpRequest, base: IPv4Network = DEFAULT_BASE_CIDR) -> RegionCidrs:
    """A region's ranges: those given, the rest from its index; checked against nothing."""
    start = int(base.network_address) + region.ip_plan_index * 2 ** (32 - REGION_PREFIX)

    def derived(name: str) -> IPv4Network:
        offset, prefix = LAYOUT[name]
        return IPv4Network((start + int(IPv4Address(offset)), prefix))

    return RegionCidrs(**{name: getattr(region.overrides, name) or derived(name) for name in LAYOUT})


def find_issues(
    regions: Sequence[RegionIpRequest],
    base: IPv4Network = DEFAULT_BASE_CIDR,
    others: Mapping[str, IPv4Network] = RESERVED,
) -> Iterator[PydanticCustomError]:
    """What cannot work in a plan. `others`: ranges that exist beside it, by what they are."""
    if not is_private(base):
        yield NOT_PRIVATE.error(what="the base", given=base)
        return
    if unplaced := list(_unplaced(regions, base)):
        yield from unplaced
        return
    mine: list[tuple[str, IPv4Network]] = []
    for region in regions:
        found = region_cidrs(region, base)
        named = {_what(region, name): getattr(found, name) for name in LAYOUT}
        for what, range_ in named.items():
            if not is_private(range_):
                yield NOT_PRIVATE.error(what=what, given=range_)
        yield from _too_small(region, found)
        mine += named.items()
    fixed = list(others.items())
    for i, (first, first_range) in enumerate(mine):
        for second, second_range in mine[i + 1 :] + fixed:
            if first_range.overlaps(second_range):
                yield OVERLAP.error(first=first, first_range=first_range, second=second, second_range=second_range)


def pod_cidr_prefix(max_pods_per_node: int) -> int:
    """Prefix length of the pod range that GKE gives a node: the smallest with twice as many addresses as pods."""
    return 32 - (2 * max_pods_per_node - 1).bit_length()


def _what(region: RegionIpRequest, name: str) -> str:
    return f"the {name} range of {region.name}"


def is_private(range_: IPv4Network) -> bool:
    """Whether it lies in one of PRIVATE."""
    return any(range_.subnet_of(private) for private in PRIVATE)


def _unplaced(regions: Sequence[RegionIpRequest], base: IPv4Network) -> Iterator[PydanticCustomError]:
    places = 2 ** (REGION_PREFIX - base.prefixlen) if base.prefixlen <= REGION_PREFIX else 0
    taken = {region.ip_plan_index for region in regions}
    holder: dict[int, RegionIpRequest] = {}
    for region in regions:
        if not region.is_derived:
            continue
        if region.ip_plan_index >= places:
            yield NO_ROOM.error(region=region.name, index=region.ip_plan_index, base=base, places=places)
        if (first := holder.setdefault(region.ip_plan_index, region)) is not region:
            free = next(index for index in range(len(regions) + 1) if index not in taken)
            yield INDEX_TAKEN.error(first=first.name, second=region.name, index=region.ip_plan_index, free=free)


def _too_small(region: RegionIpRequest, found: RegionCidrs) -> Iterator[PydanticCustomError]:
    for name, (prefix, why) in MIN_RANGE_SIZES.items():
        if (range_ := getattr(found, name)).prefixlen > prefix:
            yield TOO_SMALL.error(what=_what(region, name), given=range_, need=why, prefix=prefix, else_="")
    nodes = sum(pool.nodes for pool in region.peak_nodes)
    pods = sum(pool.nodes * 2 ** (32 - pod_cidr_prefix(pool.max_pods_per_node)) for pool in region.peak_nodes)
    if found.nodes.num_addresses < nodes + GOOGLE_RESERVED_ADDRESSES:
        need = f"its pools can reach {nodes} nodes and Google keeps {GOOGLE_RESERVED_ADDRESSES} addresses"
        prefix = 32 - (nodes + GOOGLE_RESERVED_ADDRESSES - 1).bit_length()
        what = _what(region, "nodes")
        yield TOO_SMALL.error(what=what, given=found.nodes, need=need, prefix=prefix, else_=", or fewer nodes")
    if found.pods.num_addresses < pods:
        need = f"its {nodes} nodes take {pods} addresses, each at least twice as many as it may run pods"
        prefix = 32 - (pods - 1).bit_length()
        what, else_ = _what(region, "pods"), ", fewer nodes, or a lower max_pods_per_node"
        yield TOO_SMALL.error(what=what, given=found.pods, need=need, prefix=prefix, else_=else_)
