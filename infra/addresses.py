"""The address plan: which ranges every region's subnets have.

A region's place in the plan is its `index`, written in the settings and never reused: adding or removing a region
moves no other. Each index is one /14 of the base:

    nodes              /20   4092 nodes
    services           /20   4096 Services
    global proxies     /23   purpose GLOBAL_MANAGED_PROXY
    regional proxies   /23   purpose REGIONAL_MANAGED_PROXY
    redis              /28
    pods               /15   512 nodes of 110 pods, or 2048 of 32
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import IPv4Network

from pydantic_core import PydanticCustomError

from schema import Rule, Settings

BASE = IPv4Network("10.0.0.0/8")
REGION_PREFIX = 14
DEFAULT_MAX_PODS_PER_NODE = 110


class GivenRanges(Settings):
    """Ranges of a region that are given instead of derived; any that is left out is derived."""

    nodes: IPv4Network | None = None
    """Primary range of the node subnet."""
    pods: IPv4Network | None = None
    """Secondary range for pods."""
    services: IPv4Network | None = None
    """Secondary range for Services."""
    global_proxies: IPv4Network | None = None
    """Proxy-only subnet of the cross-region load balancer (GLOBAL_MANAGED_PROXY)."""
    regional_proxies: IPv4Network | None = None
    """Proxy-only subnet of regional load balancers (REGIONAL_MANAGED_PROXY)."""
    redis: IPv4Network | None = None
    """Where Memorystore puts its instance."""


@dataclass(frozen=True)
class RegionRanges:
    """Every range of one region."""

    nodes: IPv4Network
    pods: IPv4Network
    services: IPv4Network
    global_proxies: IPv4Network
    regional_proxies: IPv4Network
    redis: IPv4Network


@dataclass(frozen=True)
class NodeDemand:
    """The most nodes that a pool can have, the spare ones of an upgrade included, and the most pods on each."""

    nodes: int
    max_pods_per_node: int = DEFAULT_MAX_PODS_PER_NODE


NOT_PRIVATE = Rule(
    "addresses.not-private",
    wrong="{what} is {given}",
    why="subnets of a VPC need private addresses",
    instead="write a range inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10",
)
NO_ROOM = Rule(
    "addresses.base-too-small",
    wrong="region {region} has index {index} and the base {base} has room for {places} regions",
    why="every region takes a /14",
    instead="write an index below {places}, a larger base, or give the region's ranges",
)
INDEX_TAKEN = Rule(
    "addresses.index-taken",
    wrong="regions {first} and {second} both have index {index}",
    why="the index is a region's place in the address plan",
    instead="write `index: {free}` for the newer of the two; the older must keep its own",
)
OVERLAP = Rule(
    "addresses.overlap",
    wrong="{first} is {first_range} and {second} is {second_range}",
    why="they overlap",
    instead="write another range for one of them",
)
TOO_FEW = Rule(
    "addresses.too-small",
    wrong="{what} is {given}, room for {room}",
    why="{need} are needed",
    instead="write a range of at least /{prefix}",
)
RESERVED: Mapping[str, IPv4Network] = {
    "Docker's bridge on every node": IPv4Network("172.17.0.0/16"),
}


def derived(index: int, base: IPv4Network = BASE, region: str = "") -> RegionRanges:
    """The ranges of the region at `index` of the plan."""
    places = 2 ** max(0, REGION_PREFIX - base.prefixlen) if base.prefixlen <= REGION_PREFIX else 0
    if index >= places:
        raise NO_ROOM.refusal(region=region, index=index, base=base, places=places)
    start = int(base.network_address) + index * 2 ** (32 - REGION_PREFIX)
    return RegionRanges(
        nodes=IPv4Network((start, 20)),
        services=IPv4Network((start + 2**12, 20)),
        global_proxies=IPv4Network((start + 2 * 2**12, 23)),
        regional_proxies=IPv4Network((start + 2 * 2**12 + 2**9, 23)),
        redis=IPv4Network((start + 2 * 2**12 + 2**10, 28)),
        pods=IPv4Network((start + 2**17, 15)),
    )


def ranges(index: int, base: IPv4Network = BASE, given: GivenRanges | None = None, region: str = "") -> RegionRanges:
    """The ranges of a region: those given, and the derived ones for the rest."""
    wanted = {} if given is None else {f.name: v for f in fields(RegionRanges) if (v := getattr(given, f.name))}
    if len(wanted) == len(fields(RegionRanges)):
        return RegionRanges(**wanted)
    plan = derived(index, base, region)
    return RegionRanges(**{f.name: wanted.get(f.name, getattr(plan, f.name)) for f in fields(RegionRanges)})


def refusals(
    plan: Mapping[str, RegionRanges], demand: Mapping[str, Sequence[NodeDemand]]
) -> Iterator[PydanticCustomError]:
    """What cannot work in a plan, region by region: overlaps, ranges that are not private, ranges too small."""
    every = [
        (f"{region}'s {f.name}", getattr(one, f.name)) for region, one in plan.items() for f in fields(RegionRanges)
    ]
    for (a, a_range), (b, b_range) in itertools.combinations([*every, *RESERVED.items()], 2):
        if a_range.overlaps(b_range):
            yield OVERLAP.refusal(first=a, first_range=a_range, second=b, second_range=b_range)


def pods_block(max_pods_per_node: int) -> int:
    """Prefix length of the block that GKE gives each node: twice as many addresses as pods, at least."""
    return 32 - (2 * max_pods_per_node - 1).bit_length()
