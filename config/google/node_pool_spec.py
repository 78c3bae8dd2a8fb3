"""Derive what a GPU node pool must say to GKE from its settings, once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic_core import PydanticCustomError

from config.google.capacity import (
    AutoscaledNodes,
    CalendarMode,
    Capacity,
    FixedNodes,
    FlexStart,
    Reservation,
    ReservedCapacity,
    Sizing,
)
from config.google.machine_types import CapacityKind, GpuMachineType
from config.issues import Rule

FLEX_START_MIN_GKE_VERSION = "1.32.2-gke.1652000"
"""GKE's "About flex-start": the oldest version that has it for GPUs."""

RESERVATION_KEY = "compute.googleapis.com/reservation-name"

NOT_OFFERED = Rule(
    "capacity.kind-not-offered",
    problem="capacity.kind is {kind} with {machine}",
    reason="Google does not offer that machine type this way",
    fix="write one of {offered}",
    source="Compute Engine, Accelerator-optimized machine family",
)
NO_ZONES = Rule(
    "capacity.zones-missing",
    problem="the pool has no zones",
    reason="{machine} is in some zones only, and GKE would pick a region's usual ones",
    fix="write `zones`, such as [{example}]",
)
ONE_ZONE = Rule(
    "capacity.one-zone",
    problem="the pool is in {count} zones ({zones})",
    reason="{reason} is in one zone",
    fix="write that zone alone; give another zone a pool of its own",
)
NO_SIZE = Rule(
    "capacity.size-missing",
    problem="the pool has capacity.kind {kind} and no `nodes`",
    reason="only a reservation says by itself how many nodes there are",
    fix="write `nodes: {{kind: autoscaling, total_max_nodes: N}}`",
)
UNPROMISED = Rule(
    "capacity.unpromised-nodes",
    problem="the pool is never to have fewer than {nodes} nodes, by {kind}",
    reason="nobody promised them, so `pulumi up` would wait for them or fail on a stockout",
    fix="write `nodes: {{kind: autoscaling, total_min_nodes: 0, total_max_nodes: N}}`, and let the pods "
    "bring the nodes",
)
BEYOND_RESERVATION = Rule(
    "capacity.beyond-reservation",
    problem="the pool may have {nodes} nodes and capacity.count is {count}",
    reason="a node beyond the reservation never comes",
    fix="write at most {count} nodes, or the count that is really reserved",
)
COMPACT = Rule(
    "capacity.compact-placement",
    problem="compact_placement is true for {machine} by {kind}",
    reason="{reason}",
    fix="write compact_placement: false, or machine_type {able}",
    source="GoogleCloudPlatform/cluster-toolkit, gke-node-pool",
)
GKE_TOO_OLD = Rule(
    "capacity.gke-too-old",
    problem="GKE {version} is asked for",
    reason="{what} needs {floor}",
    fix="write {floor} or a later one",
)


class Strategy(StrEnum):
    """GKE's NodePoolUpdateStrategy, as far as this stack writes it."""

    SURGE = "SURGE"


@dataclass(frozen=True)
class UpgradeSettings:
    """A pool's upgradeSettings. Both numbers are nodes in each zone."""

    strategy: Strategy
    max_surge: int
    max_unavailable: int


SURGE_ONE = UpgradeSettings(Strategy.SURGE, max_surge=1, max_unavailable=0)
DRAIN_ONE = UpgradeSettings(Strategy.SURGE, max_surge=0, max_unavailable=1)


@dataclass(frozen=True)
class ReservationAffinity:
    """A pool's reservationAffinity."""

    consume_reservation_type: Literal["NO_RESERVATION", "SPECIFIC_RESERVATION"] = "NO_RESERVATION"
    key: str | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodePoolSpec:
    """What a node pool must say to GKE. Fields that GKE has bear GKE's names, in Python's spelling."""

    capacity_kind: CapacityKind
    node_locations: tuple[str, ...]
    """Zones, sorted: the API gives them back sorted, and another order shows as a change (pulumi/pulumi-gcp#1117)."""
    spot: bool
    flex_start: bool
    reservation_affinity: ReservationAffinity
    auto_repair: bool
    auto_upgrade: bool
    """Always: a release channel demands it. When is the business of maintenance windows and exclusions."""
    node_count: int | None
    """Static size in each zone, of which there is then one; 0 before a reservation is active; None where the autoscaler
    decides."""
    total_min_node_count: int | None
    """With `total_max_node_count`, over all zones; both None for a static pool."""
    total_max_node_count: int | None
    initial_node_count: int
    """Size at birth in each zone. Changing it replaces the pool, so a static pool leaves it out for node_count, and an
    autoscaled one ignores its changes."""
    location_policy: Literal["ANY"] | None
    """ANY takes nodes where there are some, unused reservations first."""
    placement: Literal["COMPACT"] | None
    upgrade_settings: UpgradeSettings | None
    """None: leave upgradeSettings out. GKE sets SHORT_LIVED on flex-start nodes by itself, a value that the provider's
    field refuses, and anything else there is a change without end (crossplane-contrib/provider-upjet-gcp#1028)."""
    max_run_duration: str | None
    """In Google's form, `604800s`."""
    min_gke_version: str | None
    """Oldest GKE version that has machine type and capacity kind; None where any that is still offered does."""
    max_nodes: int
    """Nodes at the pool's largest; of an inactive reservation, once it is active."""
    reservation_bound: bool
    """No node beyond a reservation can be had: two RayClusters never fit side by side."""
    waits_for_capacity: bool
    """Nodes can take hours to days to come: nothing should wait for them."""
    end_date: date | None
    """When a reservation takes its nodes away."""

    @property
    def peak_nodes(self) -> int:
        """`most_nodes` and the spare ones of an upgrade: addresses must suffice for them."""
        spare = self.upgrade_settings.max_surge if self.upgrade_settings else 0
        return self.max_nodes + spare * len(self.node_locations)


def derive_node_pool_spec(
    capacity: Capacity,
    machine: GpuMachineType,
    sizing: Sizing | None,
    zones: Sequence[str],
    *,
    compact_placement: bool = False,
    gke_version: str | None = None,
) -> NodePoolSpec:
    """What a pool must say to GKE. Raises the first of `refusals` (the same arguments) where there is one.

    `sizing` None: all of a reservation, at all times. `gke_version`: what the cluster asks for, whole (1.35.2-gke.1) or
    in part (1.35); None where the release channel decides.
    """
    for refusal in find_issues(
        capacity, machine, sizing, zones, compact_placement=compact_placement, gke_version=gke_version
    ):
        raise refusal
    kind = CapacityKind(capacity.kind)
    active = capacity.active if isinstance(capacity, Reservation | CalendarMode) else True
    low, high, static = _size(capacity, sizing)
    if not active:
        low, static = 0, True
    return NodePoolSpec(
        capacity_kind=kind,
        node_locations=tuple(sorted(set(zones))),
        spot=kind is CapacityKind.SPOT,
        flex_start=kind is CapacityKind.FLEX_START,
        reservation_affinity=_affinity(capacity),
        # GKE makes flex-start pools only with it off: there may be no node to replace a broken one with.
        auto_repair=kind is not CapacityKind.FLEX_START,
        auto_upgrade=True,
        node_count=low if static else None,
        total_min_node_count=None if static else low,
        total_max_node_count=None if static else high,
        initial_node_count=low,
        location_policy=None if static else "ANY",
        placement="COMPACT" if compact_placement else None,
        upgrade_settings=_upgrade(kind),
        max_run_duration=f"{capacity.max_run_duration_hours * 3600}s" if isinstance(capacity, FlexStart) else None,
        min_gke_version=min_gke_version(kind, machine),
        max_nodes=high,
        reservation_bound=isinstance(capacity, ReservedCapacity),
        waits_for_capacity=kind is CapacityKind.FLEX_START or not active,
        end_date=capacity.end_date if isinstance(capacity, Reservation | CalendarMode) else None,
    )


def find_issues(
    capacity: Capacity,
    machine: GpuMachineType,
    sizing: Sizing | None,
    zones: Sequence[str],
    *,
    compact_placement: bool = False,
    gke_version: str | None = None,
) -> Iterator[PydanticCustomError]:
    """What cannot work together in a pool; each says what to write instead."""
    kind = CapacityKind(capacity.kind)
    if kind not in machine.capacity_kinds:
        yield NOT_OFFERED.error(kind=kind, machine=machine.name, offered=", ".join(sorted(machine.capacity_kinds)))
    yield from _zone_refusals(capacity, machine, zones, compact_placement)
    yield from _size_refusals(capacity, sizing)
    if compact_placement:
        yield from _compact_refusals(kind, machine)
    floor = min_gke_version(kind, machine)
    if gke_version and floor and version_key(gke_version) < version_key(floor):
        yield GKE_TOO_OLD.error(version=gke_version, what=f"{machine.name} by {kind}", floor=floor)


def min_gke_version(kind: CapacityKind, machine: GpuMachineType) -> str | None:
    """Oldest GKE version that has both the machine type and the capacity kind; None where any offered one does."""
    floors = [machine.min_gke_version or "", FLEX_START_MIN_GKE_VERSION if kind is CapacityKind.FLEX_START else ""]
    return max(floors, key=version_key) or None


def version_key(version: str) -> tuple[int, ...]:
    """Orders GKE versions, whole (1.32.2-gke.1652000) or in part (1.35, which comes before all of 1.35)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _zone_refusals(
    capacity: Capacity, machine: GpuMachineType, zones: Sequence[str], compact_placement: bool
) -> Iterator[PydanticCustomError]:
    if not zones:
        yield NO_ZONES.error(machine=machine.name, example=next(iter(machine.zones), "us-central1-b"))
    if len(set(zones)) > 1 and (isinstance(capacity, ReservedCapacity) or compact_placement):
        reason = "a reservation" if isinstance(capacity, ReservedCapacity) else "a compact placement"
        yield ONE_ZONE.error(count=len(zones), zones=", ".join(zones), reason=reason)


def _size(capacity: Capacity, sizing: Sizing | None) -> tuple[int, int, bool]:
    """Fewest nodes, most nodes, and whether the number is static."""
    match sizing:
        case AutoscaledNodes():
            return sizing.total_min_nodes, sizing.total_max_nodes, False
        case FixedNodes():
            return sizing.count, sizing.count, True
        case None:
            count = capacity.count if isinstance(capacity, ReservedCapacity) else 0
            return count, count, True


def _size_refusals(capacity: Capacity, sizing: Sizing | None) -> Iterator[PydanticCustomError]:
    low, high, _ = _size(capacity, sizing)
    if isinstance(capacity, ReservedCapacity):
        if high > capacity.count:
            yield BEYOND_RESERVATION.error(nodes=high, count=capacity.count)
    elif sizing is None:
        yield NO_SIZE.error(kind=capacity.kind)
    elif low:
        yield UNPROMISED.error(nodes=low, kind=capacity.kind)


def _compact_refusals(kind: CapacityKind, machine: GpuMachineType) -> Iterator[PydanticCustomError]:
    if not machine.compact_placement:
        reason = "its VMs gain nothing from being close together"
        yield COMPACT.error(
            machine=machine.name,
            kind=kind,
            reason=reason,
            able="a3-highgpu-8g, a3-megagpu-8g, a3-ultragpu-8g or a4-highgpu-8g",
        )
    elif kind is CapacityKind.FLEX_START and not machine.rdma:
        reason = "GKE places flex-start VMs close together only where they have RDMA"
        yield COMPACT.error(machine=machine.name, kind=kind, reason=reason, able="a3-ultragpu-8g or a4-highgpu-8g")


def _affinity(capacity: Capacity) -> ReservationAffinity:
    """Other kinds leave every reservation alone, open ones too: what is reserved is used by pools that say so."""
    if not isinstance(capacity, ReservedCapacity):
        return ReservationAffinity()
    path = f"projects/{capacity.project}/reservations/{capacity.name}" if capacity.project else capacity.name
    if isinstance(capacity, Reservation) and capacity.block:
        path += f"/reservationBlocks/{capacity.block}"
        path += f"/reservationSubBlocks/{capacity.sub_block}" if capacity.sub_block else ""
    return ReservationAffinity("SPECIFIC_RESERVATION", RESERVATION_KEY, (path,))


def _upgrade(kind: CapacityKind) -> UpgradeSettings | None:
    match kind:
        case CapacityKind.FLEX_START:
            return None
        case CapacityKind.ON_DEMAND:
            return SURGE_ONE
        case _:
            return DRAIN_ONE
