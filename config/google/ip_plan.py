"""IP plan: derive the IPv4 ranges of every region's subnetworks.

`ip_plan_index` is a region's position in the plan. The region owns one /14 of the base CIDR, divided as follows:

    offset      0   nodes                 /20  4092 nodes
           0.16.0   services              /20  4096 Services
           0.32.0   global_proxy_only     /23  purpose GLOBAL_MANAGED_PROXY
           0.34.0   regional_proxy_only   /23  purpose REGIONAL_MANAGED_PROXY
           0.36.0   redis                 /28
            2.0.0   pods                  /15  512 nodes of 110 pods, or 2048 of 32

The ranges of a region depend on no other region: adding or removing one moves no other. For this reason the index is a
setting and not a position in the list, and another region must not use it again while its ranges exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

from config.base import Cidr, Settings
from config.issues import ConfigIssue, Rule

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
"""Offset and prefix length of each range within a region's /14. A change of a row replaces every subnetwork."""

PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
RESERVED: Mapping[str, IPv4Network] = MappingProxyType(
    {"the Docker bridge of every node": IPv4Network("172.17.0.0/16")}
)
"""Private ranges that must stay free. Ranges that Google prohibits in subnetworks are not private."""

GOOGLE_RESERVED_ADDRESSES = 4
"""Addresses that Google reserves in a subnetwork's primary range."""
MIN_RANGE_SIZES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "services": (24, "a cluster of this stack needs up to 256 Services"),
        "global_proxy_only": (26, "a proxy-only subnet has 64 addresses or more, and Google recommends a /23"),
        "regional_proxy_only": (26, "a proxy-only subnet has 64 addresses or more, and Google recommends a /23"),
        "redis": (29, "Memorystore takes a /29"),
    }
)
"""Longest prefix of each range, and why. The sizes of `nodes` and `pods` depend on the node pools."""

NOT_PRIVATE = Rule(
    "infra.network.range-not-private",
    problem="{range_} is not private",
    reason="subnetworks need private addresses",
    fix="Write a range within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10",
)
OUTSIDE_BASE_CIDR = Rule(
    "infra.regions.ip-plan-index-outside-base",
    problem="{index} is outside of infra.network.base_cidr {base}",
    reason="each region takes a /14 of the base, which has room for {room}",
    fix="Write a larger base_cidr (a /8 has room for 64), a lower ip_plan_index, or all ranges of the region",
)
INDEX_TAKEN = Rule(
    "infra.regions.ip-plan-index-taken",
    problem="{first} and {second} both have {index}",
    reason="the index is a region's own position in the IP plan",
    fix="Write `ip_plan_index: {free}` for the newer region, because the older one must keep its ranges",
)
OVERLAP = Rule(
    "infra.network.ranges-overlap",
    problem="{range_} overlaps {other_range}, {other}",
    reason="ranges that reach each other must not overlap",
    fix="Write another range for one of them",
)
TOO_SMALL = Rule(
    "infra.network.range-too-small",
    problem="{range_} is too small",
    reason="{need}",
    fix="Write a /{prefix} or larger{alternative}",
)


class CidrOverrides(Settings):
    """IP ranges of a region to use instead of derived ones. The IP plan derives a range that is null from
    `ip_plan_index`."""

    nodes: Cidr | None = None
    """Primary range of the nodes' subnetwork."""
    pods: Cidr | None = None
    """Secondary range for pods."""
    services: Cidr | None = None
    """Secondary range for Services."""
    global_proxy_only: Cidr | None = None
    """Range of the proxy-only subnetwork of cross-region load balancers."""
    regional_proxy_only: Cidr | None = None
    """Range of the proxy-only subnetwork of regional load balancers."""
    redis: Cidr | None = None
    """Range of the Memorystore instance."""


@dataclass(frozen=True)
class RegionCidrs:
    """All ranges of one region: a field for each row of LAYOUT."""

    nodes: IPv4Network
    pods: IPv4Network
    services: IPv4Network
    global_proxy_only: IPv4Network
    regional_proxy_only: IPv4Network
    redis: IPv4Network


@dataclass(frozen=True)
class PeakNodes:
    """Most nodes of a node pool, surge nodes of an upgrade included, and most pods on each node."""

    nodes: int
    max_pods_per_node: int


@dataclass(frozen=True)
class RegionIpRequest:
    """What the IP plan must know about a region."""

    name: str
    ip_plan_index: int = 0
    overrides: CidrOverrides = field(default_factory=CidrOverrides)
    peak_nodes: tuple[PeakNodes, ...] = ()
    """One entry for each node pool, the system pool included."""

    @property
    def is_derived(self) -> bool:
        """True if the index decides at least one range."""
        return None in self.overrides.model_dump().values()


def region_cidrs(region: RegionIpRequest, base: IPv4Network = DEFAULT_BASE_CIDR) -> RegionCidrs:
    """Return the ranges of a region: the overrides, and the rest derived from its index. Does not validate them."""
    start = int(base.network_address) + region.ip_plan_index * 2 ** (32 - REGION_PREFIX)

    def derived(name: str) -> IPv4Network:
        offset, prefix = LAYOUT[name]
        return IPv4Network((start + int(IPv4Address(offset)), prefix))

    return RegionCidrs(**{name: getattr(region.overrides, name) or derived(name) for name in LAYOUT})


def find_issues(
    regions: Sequence[RegionIpRequest],
    base: IPv4Network = DEFAULT_BASE_CIDR,
    others: Mapping[str, IPv4Network] = RESERVED,
) -> Iterator[ConfigIssue]:
    """Yield every issue of a plan. Paths are relative to the `infra` block; `regions` are all its regions, in order.

    `others`: description -> range that exists beside the plan.
    """
    if not is_private(base):
        yield NOT_PRIVATE.issue("network.base_cidr", range_=base)
        return
    if index_issues := list(_index_issues(regions, base)):
        yield from index_issues
        return
    ranges: list[tuple[str, str, IPv4Network]] = []
    for i, region in enumerate(regions):
        cidrs, path = region_cidrs(region, base), f"regions[{i}].ranges"
        for name in LAYOUT:
            range_ = getattr(cidrs, name)
            ranges.append((f"{path}.{name}", f"the {name} range of {region.name}", range_))
            if not is_private(range_):
                yield NOT_PRIVATE.issue(f"{path}.{name}", range_=range_)
        yield from _size_issues(region, cidrs, path)
    fixed = [("", what, range_) for what, range_ in others.items()]
    for i, (path, _, range_) in enumerate(ranges):
        for _, other, other_range in ranges[i + 1 :] + fixed:
            if range_.overlaps(other_range):
                yield OVERLAP.issue(path, range_=range_, other=other, other_range=other_range)


def pod_cidr_prefix(max_pods_per_node: int) -> int:
    """Return the prefix length of a node's pod range: GKE takes the smallest with twice as many addresses as pods."""
    return 32 - (2 * max_pods_per_node - 1).bit_length()


def is_private(range_: IPv4Network) -> bool:
    """Return True if the range lies in one of PRIVATE."""
    return any(range_.subnet_of(private) for private in PRIVATE)


def _index_issues(regions: Sequence[RegionIpRequest], base: IPv4Network) -> Iterator[ConfigIssue]:
    room = 2 ** (REGION_PREFIX - base.prefixlen) if base.prefixlen <= REGION_PREFIX else 0
    taken = {region.ip_plan_index for region in regions}
    holder: dict[int, RegionIpRequest] = {}
    for i, region in enumerate(regions):
        if not region.is_derived:
            continue
        path, index = f"regions[{i}].ip_plan_index", region.ip_plan_index
        if index >= room:
            yield OUTSIDE_BASE_CIDR.issue(path, index=index, base=base, room=room)
        if (first := holder.setdefault(index, region)) is not region:
            free = next(candidate for candidate in range(len(regions) + 1) if candidate not in taken)
            yield INDEX_TAKEN.issue(path, first=first.name, second=region.name, index=index, free=free)


def _size_issues(region: RegionIpRequest, cidrs: RegionCidrs, path: str) -> Iterator[ConfigIssue]:
    for name, (prefix, need) in MIN_RANGE_SIZES.items():
        if (range_ := getattr(cidrs, name)).prefixlen > prefix:
            yield TOO_SMALL.issue(f"{path}.{name}", range_=range_, need=need, prefix=prefix, alternative="")
    nodes = sum(pool.nodes for pool in region.peak_nodes)
    pods = sum(pool.nodes * 2 ** (32 - pod_cidr_prefix(pool.max_pods_per_node)) for pool in region.peak_nodes)
    if cidrs.nodes.num_addresses < nodes + GOOGLE_RESERVED_ADDRESSES:
        need = f"the node pools can reach {nodes} nodes and Google reserves {GOOGLE_RESERVED_ADDRESSES} addresses"
        prefix = 32 - (nodes + GOOGLE_RESERVED_ADDRESSES - 1).bit_length()
        yield TOO_SMALL.issue(
            f"{path}.nodes", range_=cidrs.nodes, need=need, prefix=prefix, alternative=", or fewer nodes"
        )
    if cidrs.pods.num_addresses < pods:
        need = f"{nodes} nodes take {pods} addresses, each at least twice as many as its pods"
        prefix = 32 - (pods - 1).bit_length()
        alternative = ", fewer nodes, or a lower max_pods_per_node"
        yield TOO_SMALL.issue(f"{path}.pods", range_=cidrs.pods, need=need, prefix=prefix, alternative=alternative)
