"""The address plan: nothing overlaps, nothing moves, everything fits or is refused with a remedy."""

import re
from dataclasses import asdict
from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.google.ip_plan import (
    DEFAULT_BASE_CIDR,
    LAYOUT,
    RESERVED,
    CidrOverrides,
    PeakNodes,
    RegionCidrs,
    RegionIpRequest,
    find_issues,
    pod_cidr_prefix,
    region_cidrs,
)
from config.issues import ConfigError, Rule

Net = IPv4Network


def plan(regions: list[RegionIpRequest], base: IPv4Network = DEFAULT_BASE_CIDR) -> dict[str, RegionCidrs]:
    """The ranges of every region of a plan that can work."""
    if issues := list(find_issues(regions, base)):
        raise ConfigError(issues)
    return {region.name: region_cidrs(region, base) for region in regions}


def addresses(range_: IPv4Network) -> range:
    return range(int(range_.network_address), int(range_.broadcast_address) + 1)


def test_the_first_region_has_these_ranges_for_ever() -> None:
    assert asdict(plan([RegionIpRequest("us-central1")])["us-central1"]) == {
        "nodes": Net("10.0.0.0/20"),
        "services": Net("10.0.16.0/20"),
        "global_proxy_only": Net("10.0.32.0/23"),
        "regional_proxy_only": Net("10.0.34.0/23"),
        "redis": Net("10.0.36.0/28"),
        "pods": Net("10.2.0.0/15"),
    }


def test_another_index_is_another_fourteenth_part_of_the_base() -> None:
    made = plan([RegionIpRequest("europe-west4", 3)], Net("10.64.0.0/10"))["europe-west4"]
    assert (made.nodes, made.pods) == (Net("10.76.0.0/20"), Net("10.78.0.0/15"))


def test_given_ranges_stand_and_the_rest_is_derived() -> None:
    region = RegionIpRequest("us-central1", 1, CidrOverrides(pods=Net("192.168.0.0/16")))
    made = plan([region])["us-central1"]
    assert made.pods == Net("192.168.0.0/16")
    assert made.nodes == Net("10.4.0.0/20")


def test_a_region_whose_ranges_are_all_given_needs_neither_index_nor_base() -> None:
    given_ = CidrOverrides.model_validate(asdict(region_cidrs(RegionIpRequest("elsewhere", 1))))
    others = CidrOverrides.model_validate(asdict(region_cidrs(RegionIpRequest("elsewhere", 2))))
    made = plan(
        [RegionIpRequest("us-central1", 9, given_), RegionIpRequest("us-east1", 9, others)], Net("172.16.0.0/29")
    )
    assert made["us-east1"].nodes == Net("10.8.0.0/20")


@pytest.mark.parametrize(
    ("rule", "regions", "base", "says"),
    [
        ("network.range-not-private", [RegionIpRequest("r")], Net("8.0.0.0/8"), "network.base_cidr: 8.0.0.0/8"),
        (
            "network.range-not-private",
            [RegionIpRequest("r", overrides=CidrOverrides(pods=Net("34.118.0.0/15")))],
            DEFAULT_BASE_CIDR,
            r"regions\[0\].ranges.pods: 34.118.0.0/15",
        ),
        (
            "network.range-not-private",
            [RegionIpRequest("r", overrides=CidrOverrides(nodes=Net("169.254.0.0/20")))],
            DEFAULT_BASE_CIDR,
            "100.64.0.0/10",
        ),
        ("regions.ip-plan-index-outside-base", [RegionIpRequest("r", 1)], Net("10.0.0.0/14"), "room for 1"),
        ("regions.ip-plan-index-outside-base", [RegionIpRequest("r")], Net("10.0.0.0/16"), "a larger base_cidr"),
        ("regions.ip-plan-index-outside-base", [RegionIpRequest("r", 64)], DEFAULT_BASE_CIDR, "room for 64"),
        (
            "regions.ip-plan-index-taken",
            [RegionIpRequest("a"), RegionIpRequest("b", 1), RegionIpRequest("c")],
            DEFAULT_BASE_CIDR,
            r"regions\[2\].ip_plan_index: a and c .* Write `ip_plan_index: 2` for the newer",
        ),
        (
            "network.ranges-overlap",
            [RegionIpRequest("r", overrides=CidrOverrides(services=Net("10.0.0.0/21")))],
            DEFAULT_BASE_CIDR,
            r"ranges.nodes: 10.0.0.0/20",
        ),
        (
            "network.ranges-overlap",
            [RegionIpRequest("a"), RegionIpRequest("b", 1, CidrOverrides(redis=Net("10.2.7.0/28")))],
            DEFAULT_BASE_CIDR,
            r"\[0\].ranges.pods: 10.2.0.0/15 overlaps 10.2.7.0/28, the redis range of b",
        ),
        (
            "network.ranges-overlap",
            [RegionIpRequest("r", overrides=CidrOverrides(redis=Net("172.17.1.0/28")))],
            DEFAULT_BASE_CIDR,
            "the Docker bridge",
        ),
        (
            "network.range-too-small",
            [RegionIpRequest("r", overrides=CidrOverrides(services=Net("10.0.16.0/25")))],
            DEFAULT_BASE_CIDR,
            "Write a /24",
        ),
        (
            "network.range-too-small",
            [RegionIpRequest("r", overrides=CidrOverrides(global_proxy_only=Net("10.0.32.0/27")))],
            DEFAULT_BASE_CIDR,
            "Write a /26",
        ),
        (
            "network.range-too-small",
            [RegionIpRequest("r", overrides=CidrOverrides(regional_proxy_only=Net("10.0.34.0/27")))],
            DEFAULT_BASE_CIDR,
            "Write a /26",
        ),
        (
            "network.range-too-small",
            [RegionIpRequest("r", overrides=CidrOverrides(redis=Net("10.0.36.0/30")))],
            DEFAULT_BASE_CIDR,
            "Write a /29",
        ),
        (
            "network.range-too-small",
            [
                RegionIpRequest(
                    "r",
                    overrides=CidrOverrides(nodes=Net("10.0.0.0/28")),
                    peak_nodes=(PeakNodes(10, 32), PeakNodes(3, 32)),
                )
            ],
            DEFAULT_BASE_CIDR,
            "13 nodes .* Write a /27",
        ),
        (
            "network.range-too-small",
            [RegionIpRequest("r", peak_nodes=(PeakNodes(500, 110), PeakNodes(20, 110)))],
            DEFAULT_BASE_CIDR,
            "133120 addresses.* Write a /14 or larger, fewer nodes, or a lower max_pods_per_node",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_plan_that_cannot_work_is_refused_with_a_remedy(
    rule: str, regions: list[RegionIpRequest], base: IPv4Network, says: str
) -> None:
    (issue,) = find_issues(regions, base)
    assert issue.rule == f"infra.{rule}"
    assert re.search(says, issue.format())


def test_ranges_that_exist_beside_the_plan_are_kept_clear_of() -> None:
    (refusal,) = find_issues([RegionIpRequest("r")], others={"the office": Net("10.0.34.128/25")})
    assert "the office" in refusal.format()


def test_a_range_may_be_exactly_as_large_as_it_must() -> None:
    fits = RegionIpRequest("r", overrides=CidrOverrides(nodes=Net("10.0.0.0/28")), peak_nodes=(PeakNodes(12, 32),))
    assert list(find_issues([fits, RegionIpRequest("s", 1, peak_nodes=(PeakNodes(512, 110),))])) == []


@pytest.mark.parametrize(
    ("pods", "prefix"),
    [(8, 28), (9, 27), (16, 27), (17, 26), (32, 26), (33, 25), (64, 25), (65, 24), (110, 24), (128, 24), (256, 23)],
)
def test_gke_gives_a_node_a_block_of_at_least_twice_its_pods(pods: int, prefix: int) -> None:
    assert pod_cidr_prefix(pods) == prefix


bases = st.sampled_from([Net("10.0.0.0/8"), Net("10.128.0.0/9"), Net("172.16.0.0/12"), Net("100.64.0.0/10")])
indices = st.lists(st.integers(0, 63), min_size=1, max_size=20, unique=True)


@settings(deadline=None)
@given(indices, bases)
def test_a_plan_overlaps_nowhere_and_stays_within_its_base_or_is_refused(found: list[int], base: IPv4Network) -> None:
    regions = [RegionIpRequest(f"region{index}", index) for index in found]
    room = base.num_addresses // 2**18
    docker = addresses(Net("172.17.0.0/16"))
    if refused := list(find_issues(regions, base)):
        assert all(issue.rule in Rule.registry for issue in refused)
        by_docker = any(base == Net("172.16.0.0/12") and index == 0 for index in found)
        assert by_docker or any(index >= room for index in found)
        return
    every = [addresses(range_) for made in plan(regions, base).values() for range_ in asdict(made).values()]
    assert len(every) == len(found) * len(LAYOUT)
    for a, b in combinations([*every, docker], 2):
        assert a.stop <= b.start or b.stop <= a.start
    assert all(a.start in addresses(base) and a.stop - 1 in addresses(base) for a in every)


@settings(deadline=None)
@given(indices, bases, st.randoms())
def test_no_region_moves_when_others_come_go_or_change_places(
    found: list[int], base: IPv4Network, random: object
) -> None:
    regions = [RegionIpRequest(f"region{index}", index) for index in found]
    before = {region.name: region_cidrs(region, base) for region in regions if not list(find_issues([region], base))}
    shuffled = [region for region in regions if region.name in before]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    fewer = shuffled[: len(shuffled) // 2 + 1]
    for some in (shuffled, fewer):
        after = plan(some, base)
        assert {name: before[name] for name in after} == after


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 700), st.integers(8, 256)), max_size=4), st.integers(10, 24))
def test_a_plan_that_is_taken_has_an_address_for_every_node_and_twice_every_pod(
    pools: list[tuple[int, int]], prefix: int
) -> None:
    region = RegionIpRequest("r", 0, CidrOverrides(pods=Net((int(Net("100.64.0.0/10").network_address), prefix))))
    region = RegionIpRequest("r", 0, region.overrides, tuple(PeakNodes(nodes, pods) for nodes, pods in pools))
    nodes = sum(nodes for nodes, _ in pools)
    refused = [issue.rule for issue in find_issues([region])]
    if refused:
        assert set(refused) == {"infra.network.range-too-small"}
        # A block is the next power of two, so a refused plan would be more than half full.
        assert nodes + 4 > 4096 or sum(4 * n * p for n, p in pools) > 2 ** (32 - prefix)
        return
    made = plan([region])["r"]
    assert nodes + 4 <= made.nodes.num_addresses
    assert sum(2 * n * p for n, p in pools) <= made.pods.num_addresses


def test_what_is_reserved_is_private_as_otherwise_nobody_could_hit_it() -> None:
    assert all(range_.is_private for range_ in RESERVED.values())
