"""The address plan: nothing overlaps, nothing moves, everything fits or is refused with a remedy."""

from dataclasses import asdict
from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.google.ip_plan import (
    BASE,
    LAYOUT,
    RESERVED,
    GivenRanges,
    NodeDemand,
    Region,
    plan,
    pod_block,
    ranges,
    refusals,
)
from config.issues import Rule

Net = IPv4Network


def addresses(range_: IPv4Network) -> range:
    return range(int(range_.network_address), int(range_.broadcast_address) + 1)


def test_the_first_region_has_these_ranges_for_ever() -> None:
    assert asdict(plan([Region("us-central1")])["us-central1"]) == {
        "nodes": Net("10.0.0.0/20"),
        "services": Net("10.0.16.0/20"),
        "global_proxies": Net("10.0.32.0/23"),
        "regional_proxies": Net("10.0.34.0/23"),
        "redis": Net("10.0.36.0/28"),
        "pods": Net("10.2.0.0/15"),
    }


def test_another_index_is_another_fourteenth_part_of_the_base() -> None:
    made = plan([Region("europe-west4", 3)], Net("10.64.0.0/10"))["europe-west4"]
    assert (made.nodes, made.pods) == (Net("10.76.0.0/20"), Net("10.78.0.0/15"))


def test_given_ranges_stand_and_the_rest_is_derived() -> None:
    region = Region("us-central1", 1, GivenRanges(pods=Net("192.168.0.0/16")))
    made = plan([region])["us-central1"]
    assert made.pods == Net("192.168.0.0/16")
    assert made.nodes == Net("10.4.0.0/20")


def test_a_region_whose_ranges_are_all_given_needs_neither_index_nor_base() -> None:
    given_ = GivenRanges.model_validate(asdict(ranges(Region("elsewhere", 1))))
    others = GivenRanges.model_validate(asdict(ranges(Region("elsewhere", 2))))
    made = plan([Region("us-central1", 9, given_), Region("us-east1", 9, others)], Net("172.16.0.0/29"))
    assert made["us-east1"].nodes == Net("10.8.0.0/20")


@pytest.mark.parametrize(
    ("rule", "regions", "base", "says"),
    [
        ("not-private", [Region("r")], Net("8.0.0.0/8"), "the base is 8.0.0.0/8"),
        ("not-private", [Region("r", given=GivenRanges(pods=Net("34.118.0.0/15")))], BASE, "the pods range of r"),
        ("not-private", [Region("r", given=GivenRanges(nodes=Net("169.254.0.0/20")))], BASE, "100.64.0.0/10"),
        ("no-room", [Region("r", 1)], Net("10.0.0.0/14"), "room for 1"),
        ("no-room", [Region("r")], Net("10.0.0.0/16"), "a larger base"),
        ("no-room", [Region("r", 64)], BASE, "room for 64"),
        ("index-taken", [Region("a"), Region("b", 1), Region("c")], BASE, "a and c .* write index: 2 for the newer"),
        (
            "overlap",
            [Region("r", given=GivenRanges(services=Net("10.0.0.0/21")))],
            BASE,
            "nodes range of r is 10.0.0.0/20",
        ),
        (
            "overlap",
            [Region("a"), Region("b", 1, GivenRanges(redis=Net("10.2.7.0/28")))],
            BASE,
            "pods range of a is 10.2.0.0/15 and the redis range of b",
        ),
        ("overlap", [Region("r", given=GivenRanges(redis=Net("172.17.1.0/28")))], BASE, "Docker's bridge"),
        ("too-small", [Region("r", given=GivenRanges(services=Net("10.0.16.0/25")))], BASE, "write a /24"),
        ("too-small", [Region("r", given=GivenRanges(global_proxies=Net("10.0.32.0/27")))], BASE, "write a /26"),
        ("too-small", [Region("r", given=GivenRanges(regional_proxies=Net("10.0.34.0/27")))], BASE, "write a /26"),
        ("too-small", [Region("r", given=GivenRanges(redis=Net("10.0.36.0/30")))], BASE, "write a /29"),
        (
            "too-small",
            [Region("r", given=GivenRanges(nodes=Net("10.0.0.0/28")), demand=(NodeDemand(10, 32), NodeDemand(3, 32)))],
            BASE,
            "13 nodes .* write a /27",
        ),
        (
            "too-small",
            [Region("r", demand=(NodeDemand(500, 110), NodeDemand(20, 110)))],
            BASE,
            "133120 addresses.* write a /14 or larger, fewer nodes, or a lower max_pods_per_node",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_plan_that_cannot_work_is_refused_with_a_remedy(
    rule: str, regions: list[Region], base: IPv4Network, says: str
) -> None:
    (refusal,) = refusals(regions, base)
    assert refusal.type == f"addresses.{rule}"
    with pytest.raises(ValueError, match=says):
        plan(regions, base)


def test_ranges_that_exist_beside_the_plan_are_kept_clear_of() -> None:
    (refusal,) = refusals([Region("r")], others={"the office": Net("10.0.34.128/25")})
    assert "the office" in str(refusal)


def test_a_range_may_be_exactly_as_large_as_it_must() -> None:
    fits = Region("r", given=GivenRanges(nodes=Net("10.0.0.0/28")), demand=(NodeDemand(12, 32),))
    assert list(refusals([fits, Region("s", 1, demand=(NodeDemand(512, 110),))])) == []


@pytest.mark.parametrize(
    ("pods", "prefix"),
    [(8, 28), (9, 27), (16, 27), (17, 26), (32, 26), (33, 25), (64, 25), (65, 24), (110, 24), (128, 24), (256, 23)],
)
def test_gke_gives_a_node_a_block_of_at_least_twice_its_pods(pods: int, prefix: int) -> None:
    assert pod_block(pods) == prefix


bases = st.sampled_from([Net("10.0.0.0/8"), Net("10.128.0.0/9"), Net("172.16.0.0/12"), Net("100.64.0.0/10")])
indices = st.lists(st.integers(0, 63), min_size=1, max_size=20, unique=True)


@settings(deadline=None)
@given(indices, bases)
def test_a_plan_overlaps_nowhere_and_stays_within_its_base_or_is_refused(found: list[int], base: IPv4Network) -> None:
    regions = [Region(f"region{index}", index) for index in found]
    room = base.num_addresses // 2**18
    docker = addresses(Net("172.17.0.0/16"))
    if refused := list(refusals(regions, base)):
        assert all(refusal.type in Rule.registry for refusal in refused)
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
    regions = [Region(f"region{index}", index) for index in found]
    before = {region.name: ranges(region, base) for region in regions if not list(refusals([region], base))}
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
    region = Region("r", 0, GivenRanges(pods=Net((int(Net("100.64.0.0/10").network_address), prefix))))
    region = Region("r", 0, region.given, tuple(NodeDemand(nodes, pods) for nodes, pods in pools))
    nodes = sum(nodes for nodes, _ in pools)
    refused = [refusal.type for refusal in refusals([region])]
    if refused:
        assert set(refused) == {"addresses.too-small"}
        # A block is the next power of two, so a refused plan would be more than half full.
        assert nodes + 4 > 4096 or sum(4 * n * p for n, p in pools) > 2 ** (32 - prefix)
        return
    made = plan([region])["r"]
    assert nodes + 4 <= made.nodes.num_addresses
    assert sum(2 * n * p for n, p in pools) <= made.pods.num_addresses


def test_what_is_reserved_is_private_as_otherwise_nobody_could_hit_it() -> None:
    assert all(range_.is_private for range_ in RESERVED.values())
