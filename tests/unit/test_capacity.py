"""Capacity: each way of having nodes says to GKE what Google asks for, and what cannot work is refused with a remedy.

The invariants are written here a second time, from cluster-toolkit's preconditions and Google's documents and not from
config/google/capacity.py, and every combination that hypothesis finds is held against them.
"""

import functools
import json
import re
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import googleapiclient
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.google.machine_types import GPU_MACHINE_TYPES, CapacityKind, GpuMachineType, gpu_machine_type
from config.google.node_pool_spec import NodePoolSpec, gke_version, min_gke_version
from config.google.node_pools import GpuNodePool
from config.issues import ConfigError, Rule
from config.parsing import parse

A4 = gpu_machine_type("a4-highgpu-8g")
L4 = gpu_machine_type("g2-standard-8")
ZONE = ("us-central1-b",)
UP_TO_4 = {"kind": "autoscaling", "total_max_nodes": 4}
RESERVED = {"kind": "reservation", "name": "b200", "count": 4}
CALENDAR = {"kind": "calendar_mode", "name": "b200", "count": 4, "start_date": "2026-12-01", "end_date": "2027-02-28"}
SPOT = {"kind": "spot"}
FLEX_START = {"kind": "flex_start"}
ON_DEMAND = {"kind": "on_demand"}


def parse_pool(
    capacity: dict[str, Any],
    nodes: dict[str, Any] | None = None,
    machine: GpuMachineType = A4,
    zones: tuple[str, ...] = ZONE,
    **options: Any,
) -> GpuNodePool:
    raw = {"name": "gpu", "machine_type": machine.name, "zones": zones, "capacity": capacity, "nodes": nodes}
    return parse(GpuNodePool, "pool", {**raw, **options})


def spec(*arguments: Any, **options: Any) -> NodePoolSpec:
    return parse_pool(*arguments, **options).spec


@functools.cache
def schemas() -> dict[str, Any]:
    """Google's own description of container.v1."""
    documents = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    return json.loads((documents / "container.v1.json").read_text())["schemas"]


# --- what a capacity cannot say by itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "capacity", "says"),
    [
        ("infra.node_pools.calendar-mode-count", {**CALENDAR, "count": 81}, "at most 80"),
        (
            "infra.node_pools.calendar-mode-duration",
            {**CALENDAR, "end_date": "2027-03-02"},
            "from 2026-12-02 to 2027-03-01",
        ),
        ("infra.node_pools.calendar-mode-duration", {**CALENDAR, "end_date": "2026-12-01"}, "lasts 0 days"),
        ("infra.node_pools.max-run-duration-too-long", {**FLEX_START, "max_run_duration_hours": 169}, "at most 168"),
        ("infra.node_pools.sub-block-without-block", {**RESERVED, "sub_block": "s1"}, "`block`"),
        (
            "infra.node_pools.reservation-name-is-path",
            {**RESERVED, "name": "projects/p1/zones/z/reservations/r1/reservationBlocks/b1"},
            "project: p1, name: r1, block: b1",
        ),
        (
            "infra.node_pools.reservation-name-is-path",
            {**CALENDAR, "name": "r1/reservationBlocks/b/reservationSubBlocks/s"},
            "sub_block: s",
        ),
    ],
)
def test_a_capacity_that_google_would_not_take_is_refused(rule: str, capacity: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        spec(capacity)
    assert refused.value.rules == (rule,)


def test_a_calendar_reservation_may_last_ninety_days_and_hold_eighty_vms() -> None:
    assert spec({**CALENDAR, "end_date": "2027-03-01", "count": 80}).max_nodes == 80


def test_bounds_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="total_min_nodes of at most 2") as refused:
        spec(RESERVED, {"kind": "autoscaling", "total_min_nodes": 3, "total_max_nodes": 2})
    assert refused.value.rules == ("infra.node-count-bounds",)


@pytest.mark.parametrize(
    ("capacity", "unknown"),
    [
        ({**SPOT, "name": "b200"}, "name"),
        ({**FLEX_START, "name": "b200"}, "name"),
        ({**SPOT, "max_run_duration_hours": 8}, "max_run_duration_hours"),
        ({**RESERVED, "spot": True}, "spot"),
        ({**CALENDAR, "block": "b1"}, "block"),
    ],
)
def test_no_kind_takes_the_settings_of_another(capacity: dict[str, Any], unknown: str) -> None:
    with pytest.raises(ConfigError, match=f"{unknown}: unknown setting"):
        spec(capacity)


def test_a_size_is_a_number_or_bounds_and_never_both() -> None:
    with pytest.raises(ConfigError, match="max_nodes: unknown setting"):
        spec(RESERVED, {"kind": "fixed", "count": 2, "total_max_nodes": 4})
    with pytest.raises(ConfigError, match="count: unknown setting"):
        spec(RESERVED, {"kind": "autoscaling", "total_max_nodes": 4, "count": 2})


# --- what cannot work together ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "arguments", "says"),
    [
        (
            "capacity-kind-unavailable",
            {"capacity": ON_DEMAND, "nodes": UP_TO_4},
            "calendar_mode, flex_start, reservation, spot",
        ),
        (
            "capacity-kind-unavailable",
            {"capacity": RESERVED, "machine": gpu_machine_type("a3-highgpu-4g")},
            "one of flex_start, spot",
        ),
        ("capacity-kind-unavailable", {"capacity": CALENDAR, "machine": L4}, "on_demand"),
        ("zones-missing", {"capacity": RESERVED, "zones": ()}, "asia-northeast1-b"),
        ("several-zones", {"capacity": RESERVED, "zones": ("us-east1-b", "us-east1-c")}, "a reservation is in one"),
        (
            "several-zones",
            {"capacity": SPOT, "nodes": UP_TO_4, "zones": ("us-east1-b", "us-east1-c"), "compact_placement": True},
            "a compact placement is in one",
        ),
        ("nodes-missing", {"capacity": SPOT}, "total_max_nodes"),
        ("min-nodes-without-reservation", {"capacity": SPOT, "nodes": {"kind": "fixed", "count": 2}}, "min_nodes: 0"),
        (
            "min-nodes-without-reservation",
            {"capacity": FLEX_START, "nodes": {"kind": "autoscaling", "total_min_nodes": 1, "total_max_nodes": 4}},
            "the autoscaler adds nodes when pods need them",
        ),
        (
            "min-nodes-without-reservation",
            {"capacity": ON_DEMAND, "machine": L4, "nodes": {"kind": "fixed", "count": 1}},
            "stockout",
        ),
        ("nodes-exceed-reservation", {"capacity": RESERVED, "nodes": {"kind": "fixed", "count": 5}}, "at most 4 nodes"),
        (
            "nodes-exceed-reservation",
            {"capacity": CALENDAR, "nodes": {"kind": "autoscaling", "total_max_nodes": 9}},
            "capacity.count 4",
        ),
        (
            "compact-placement-unavailable",
            {"capacity": SPOT, "machine": L4, "nodes": UP_TO_4, "compact_placement": True},
            "gain nothing",
        ),
        (
            "compact-placement-unavailable",
            {
                "capacity": FLEX_START,
                "machine": gpu_machine_type("a3-megagpu-8g"),
                "nodes": UP_TO_4,
                "compact_placement": True,
            },
            "a3-ultragpu-8g or a4-highgpu-8g",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_cannot_work_together_is_refused_with_a_remedy(rule: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        spec(**arguments)
    assert refused.value.rules == (f"infra.node_pools.{rule}",)


@pytest.mark.parametrize("version", ["1.32.2-gke.1652000", "1.32.10-gke.1", "1.35"])
def test_a_new_enough_gke_is_taken(version: str) -> None:
    needed = spec(FLEX_START, UP_TO_4).min_gke_version
    assert needed == "1.32.2-gke.1652000"
    assert gke_version(version) >= gke_version(needed)


def test_versions_are_ordered_by_number_and_not_by_letter() -> None:
    mixed = ["1.35", "1.32.2-gke.1652000", "1.9", "1.32.10-gke.1", "1.32", "1.32.2-gke.900"]
    assert sorted(mixed, key=gke_version) == [
        "1.9",
        "1.32",
        "1.32.2-gke.900",
        "1.32.2-gke.1652000",
        "1.32.10-gke.1",
        "1.35",
    ]


# --- what each kind says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capacity", "nodes", "machine", "said"),
    [
        (
            RESERVED,
            None,
            A4,
            {
                "node_count": 4,
                "initial_node_count": 4,
                "total_max_node_count": None,
                "location_policy": None,
                "max_nodes": 4,
                "spot": False,
                "flex_start": False,
                "auto_repair": True,
                "upgrade_settings": {"strategy": "SURGE", "max_surge": 0, "max_unavailable": 1},
                "max_run_duration": None,
                "reservation_bound": True,
                "waits_for_capacity": False,
                "end_date": None,
            },
        ),
        (
            {**RESERVED, "active": False, "end_date": date(2027, 6, 30)},
            {"kind": "autoscaling", "total_min_nodes": 1, "total_max_nodes": 3},
            A4,
            {
                "node_count": 0,
                "initial_node_count": 0,
                "total_min_node_count": None,
                "max_nodes": 3,
                "reservation_bound": True,
                "waits_for_capacity": True,
                "end_date": date(2027, 6, 30),
            },
        ),
        (
            {**CALENDAR, "active": True},
            {"kind": "autoscaling", "total_min_nodes": 1, "total_max_nodes": 3},
            A4,
            {
                "node_count": None,
                "initial_node_count": 1,
                "total_min_node_count": 1,
                "total_max_node_count": 3,
                "location_policy": "ANY",
                "max_nodes": 3,
                "reservation_bound": True,
                "waits_for_capacity": False,
                "end_date": date(2027, 2, 28),
            },
        ),
        (CALENDAR, None, A4, {"node_count": 0, "max_nodes": 4, "waits_for_capacity": True}),
        (
            SPOT,
            UP_TO_4,
            A4,
            {
                "spot": True,
                "flex_start": False,
                "node_count": None,
                "initial_node_count": 0,
                "total_min_node_count": 0,
                "total_max_node_count": 4,
                "location_policy": "ANY",
                "reservation_affinity": {"consume_reservation_type": "NO_RESERVATION", "key": None, "values": ()},
                "upgrade_settings": {"strategy": "SURGE", "max_surge": 0, "max_unavailable": 1},
                "auto_repair": True,
                "reservation_bound": False,
                "waits_for_capacity": False,
            },
        ),
        (
            {**FLEX_START, "max_run_duration_hours": 24},
            UP_TO_4,
            A4,
            {
                "spot": False,
                "flex_start": True,
                "auto_repair": False,
                "auto_upgrade": True,
                "upgrade_settings": None,
                "max_run_duration": "86400s",
                "reservation_affinity": {"consume_reservation_type": "NO_RESERVATION", "key": None, "values": ()},
                "initial_node_count": 0,
                "reservation_bound": False,
                "waits_for_capacity": True,
            },
        ),
        (
            ON_DEMAND,
            UP_TO_4,
            L4,
            {
                "spot": False,
                "upgrade_settings": {"strategy": "SURGE", "max_surge": 1, "max_unavailable": 0},
                "min_gke_version": None,
                "reservation_bound": False,
                "waits_for_capacity": False,
            },
        ),
    ],
    ids=["reservation", "reservation-later", "calendar_mode", "calendar-later", "spot", "flex-start", "on-demand"],
)
def test_a_pool_says_what_its_capacity_needs(
    capacity: dict[str, Any], nodes: dict[str, Any] | None, machine: GpuMachineType, said: dict[str, Any]
) -> None:
    made = asdict(spec(capacity, nodes, machine))
    assert {key: made[key] for key in said} == said


@pytest.mark.parametrize(
    ("capacity", "value"),
    [
        (RESERVED, "b200"),
        ({**RESERVED, "project": "capacity"}, "projects/capacity/reservations/b200"),
        ({**RESERVED, "block": "b1"}, "b200/reservationBlocks/b1"),
        (
            {**RESERVED, "project": "capacity", "block": "b1", "sub_block": "s1"},
            "projects/capacity/reservations/b200/reservationBlocks/b1/reservationSubBlocks/s1",
        ),
        ({**CALENDAR, "project": "capacity"}, "projects/capacity/reservations/b200"),
    ],
)
def test_a_reservation_is_named_as_google_names_it(capacity: dict[str, Any], value: str) -> None:
    affinity = spec(capacity).reservation_affinity
    assert affinity.consume_reservation_type == "SPECIFIC_RESERVATION"
    assert affinity.key == "compute.googleapis.com/reservation-name"
    assert affinity.values == (value,)


def test_zones_are_sorted_and_the_spare_nodes_of_an_upgrade_counted_in_each() -> None:
    made = spec(ON_DEMAND, UP_TO_4, L4, zones=("us-east1-d", "us-east1-b", "us-east1-c", "us-east1-b"))
    assert made.node_locations == ("us-east1-b", "us-east1-c", "us-east1-d")
    assert made.peak_nodes == 4 + 3
    assert spec(RESERVED).peak_nodes == spec(FLEX_START, UP_TO_4).peak_nodes == 4


@pytest.mark.parametrize("machine", GPU_MACHINE_TYPES.values(), ids=GPU_MACHINE_TYPES)
@pytest.mark.parametrize("capacity", [RESERVED, CALENDAR, SPOT, FLEX_START, ON_DEMAND], ids=lambda c: c["kind"])
def test_every_kind_that_a_machine_has_can_be_written_and_no_other(
    machine: GpuMachineType, capacity: dict[str, Any]
) -> None:
    try:
        found = parse_pool(capacity, UP_TO_4, machine).spec.capacity_kind
    except ConfigError as refused:
        found = refused.rules
    offered = CapacityKind(capacity["kind"]) in machine.capacity_kinds
    assert found == (capacity["kind"] if offered else ("infra.node_pools.capacity-kind-unavailable",))


def test_a_pool_needs_the_later_of_its_two_gke_floors() -> None:
    g4 = gpu_machine_type("g4-standard-48")
    assert min_gke_version(CapacityKind.FLEX_START, g4) == g4.min_gke_version
    assert min_gke_version(CapacityKind.FLEX_START, L4) == "1.32.2-gke.1652000"
    assert min_gke_version(CapacityKind.SPOT, A4) == A4.min_gke_version


# --- every combination ------------------------------------------------------------------------------------------------

days = st.dates(date(2026, 1, 1), date(2028, 1, 1))
projects = st.none() | st.just("capacity")
counts = st.integers(1, 100)
capacities = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("reservation"), "name": st.just("b200"), "count": counts},
        optional={
            "project": projects,
            "block": st.none() | st.just("b1"),
            "sub_block": st.none() | st.just("s1"),
            "end_date": st.none() | days,
            "active": st.booleans(),
        },
    ),
    st.builds(
        lambda start, length, **rest: {
            **rest,
            "kind": "calendar_mode",
            "start_date": start,
            "end_date": start + length,
        },
        days,
        st.integers(-1, 100).map(lambda length: timedelta(days=length)),
        name=st.just("b200"),
        count=counts,
        project=projects,
        active=st.booleans(),
    ),
    st.fixed_dictionaries({"kind": st.just("spot")}),
    st.fixed_dictionaries({"kind": st.just("flex_start")}, optional={"max_run_duration_hours": st.integers(1, 200)}),
    st.fixed_dictionaries({"kind": st.just("on_demand")}),
)
sizes = st.one_of(
    st.none(),
    st.fixed_dictionaries({"kind": st.just("fixed"), "count": st.integers(1, 20)}),
    st.fixed_dictionaries(
        {"kind": st.just("autoscaling"), "total_max_nodes": st.integers(1, 20)},
        optional={"total_min_nodes": st.integers(0, 3)},
    ),
)
one_zone = st.just(["us-central1-b"])
zone_lists = one_zone | st.lists(st.sampled_from(["us-central1-a", "us-central1-b", "us-central1-c"]), max_size=3)


@settings(max_examples=500, deadline=None)
@given(capacities, sizes, st.sampled_from(list(GPU_MACHINE_TYPES.values())), zone_lists, st.booleans())
def test_every_combination_is_refused_with_a_remedy_or_is_what_google_takes(
    capacity: dict[str, Any],
    nodes: dict[str, Any] | None,
    machine: GpuMachineType,
    zones: list[str],
    compact_placement: bool,
) -> None:
    try:
        made = spec(capacity, nodes, machine, tuple(zones), compact_placement=compact_placement)
    except ConfigError as refused:
        sentences, rules = refused.sentences, refused.rules
    else:
        assert_google_takes(made, capacity, nodes, machine)
        return
    for sentence, rule in zip(sentences, rules, strict=True):
        assert rule in Rule.registry
        assert re.fullmatch(r"pool\S*: .+, because .+\. .+\.", sentence, re.DOTALL)
        assert not re.search(r"\{\w+\}", sentence), "a fact was not filled in"


def assert_google_takes(
    made: NodePoolSpec, capacity: dict[str, Any], nodes: dict[str, Any] | None, machine: GpuMachineType
) -> None:
    """cluster-toolkit's preconditions, DESIGN's promise about waiting, and Google's words."""
    kind = capacity["kind"]
    reserved = kind in ("reservation", "calendar_mode")
    autoscaled = made.total_max_node_count is not None
    # one way of being had at a time
    assert [
        made.spot,
        made.flex_start,
        made.reservation_affinity.consume_reservation_type == "SPECIFIC_RESERVATION",
    ] == [
        kind == "spot",
        kind == "flex_start",
        reserved,
    ]
    if kind == "on_demand":
        assert machine.name.startswith(("g2-", "g4-", "a3-megagpu-", "a3-highgpu-8g"))
    if kind == "calendar_mode":
        assert machine.name in ("a3-highgpu-8g", "a3-megagpu-8g", "a3-ultragpu-8g", "a4-highgpu-8g")
    # a number or bounds
    assert autoscaled == (made.node_count is None) == (made.total_min_node_count is not None)
    assert (made.location_policy == "ANY") == autoscaled
    # nobody waits for what was not promised
    promised = capacity["count"] if reserved and capacity.get("active", kind == "reservation") else 0
    assert made.initial_node_count <= promised
    assert (made.node_count or 0) <= promised
    assert (made.total_min_node_count or 0) <= promised
    if reserved:
        assert made.max_nodes <= capacity["count"]
        assert len(made.node_locations) == 1
        assert made.reservation_bound
    if reserved and not promised:
        assert made.node_count == 0
        assert made.waits_for_capacity
    if made.total_min_node_count is not None and made.total_max_node_count is not None:
        assert made.total_min_node_count <= made.initial_node_count <= made.total_max_node_count == made.max_nodes
        assert nodes
        assert made.max_nodes == nodes["total_max_nodes"]
    else:
        assert made.initial_node_count == made.node_count
    # flex-start
    assert made.auto_repair == (kind != "flex_start")
    assert (made.max_run_duration is not None) == made.flex_start
    if made.max_run_duration:
        assert 3600 <= int(made.max_run_duration.removesuffix("s")) <= 604800
        assert made.waits_for_capacity
        assert autoscaled
    # upgrades: a channel upgrades every pool; without a spare there is none to surge into; flex-start has no setting
    assert made.auto_upgrade
    if made.flex_start:
        assert made.upgrade_settings is None
    else:
        assert made.upgrade_settings is not None
        assert made.upgrade_settings.max_surge + made.upgrade_settings.max_unavailable > 0
        if kind != "on_demand":
            assert made.upgrade_settings.max_surge == 0
    # placement
    if made.placement == "COMPACT":
        assert len(made.node_locations) == 1
        assert machine.gpus == 8
        assert not made.flex_start or machine.name.startswith(("a3-ultragpu-", "a4-"))
    assert made.node_locations
    assert list(made.node_locations) == sorted(set(made.node_locations))


@settings(deadline=None)
@given(capacities, sizes, st.sampled_from(list(GPU_MACHINE_TYPES.values())), zone_lists)
def test_every_word_that_a_pool_says_is_one_of_googles(
    capacity: dict[str, Any], nodes: dict[str, Any] | None, machine: GpuMachineType, zones: list[str]
) -> None:
    def words(schema: str, field: str) -> list[str]:
        return schemas()[schema]["properties"][field]["enum"]

    try:
        made = spec(capacity, nodes, machine, tuple(zones), compact_placement=machine.compact_placement)
    except ConfigError:
        return
    assert made.reservation_affinity.consume_reservation_type in words("ReservationAffinity", "consumeReservationType")
    assert made.location_policy in (None, *words("NodePoolAutoscaling", "locationPolicy"))
    assert made.placement in (None, *words("PlacementPolicy", "type"))
    if made.upgrade_settings:
        assert made.upgrade_settings.strategy in words("UpgradeSettings", "strategy")
        assert made.upgrade_settings.strategy in ("SURGE", "BLUE_GREEN")  # all that the provider's field takes
