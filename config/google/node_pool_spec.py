"""Derive what a GPU node pool must tell GKE from its settings. The settings are valid: node_pools.py checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from packaging.version import Version

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

FLEX_START_MIN_GKE_VERSION = "1.32.2-gke.1652000"
"""Oldest GKE version with flex-start for GPUs (GKE, About flex-start)."""

RESERVATION_KEY = "compute.googleapis.com/reservation-name"


class Strategy(StrEnum):
    """GKE's NodePoolUpdateStrategy; the values that this stack uses."""

    SURGE = "SURGE"


@dataclass(frozen=True)
class UpgradeSettings:
    """`upgradeSettings` of a node pool. Both numbers count nodes in each zone."""

    strategy: Strategy
    max_surge: int
    max_unavailable: int


SURGE_ONE = UpgradeSettings(Strategy.SURGE, max_surge=1, max_unavailable=0)
DRAIN_ONE = UpgradeSettings(Strategy.SURGE, max_surge=0, max_unavailable=1)


@dataclass(frozen=True)
class ReservationAffinity:
    """`reservationAffinity` of a node pool."""

    consume_reservation_type: Literal["NO_RESERVATION", "SPECIFIC_RESERVATION"] = "NO_RESERVATION"
    key: str | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodePoolSpec:
    """What a node pool tells GKE, and what follows from its capacity. Fields of GKE have GKE's names in snake case."""

    capacity_kind: CapacityKind
    node_locations: tuple[str, ...]
    """Zones, sorted: the API returns them sorted, and another order would show as a change
    (pulumi/pulumi-gcp#1117)."""
    spot: bool
    flex_start: bool
    reservation_affinity: ReservationAffinity
    auto_repair: bool
    auto_upgrade: bool
    """Always true: a release channel requires it. Maintenance windows and exclusions decide when GKE upgrades."""
    node_count: int | None
    """Fixed size in each zone (a fixed pool has one zone); 0 before a reservation is active; None with autoscaling."""
    total_min_node_count: int | None
    """Fewest nodes over all zones; None for a fixed pool."""
    total_max_node_count: int | None
    """Most nodes over all zones; None for a fixed pool."""
    initial_node_count: int
    """Size at creation in each zone. A change replaces the pool, so a fixed pool uses node_count instead, and an
    autoscaled pool ignores changes of it."""
    location_policy: Literal["ANY"] | None
    """ANY: GKE takes nodes from any zone that has some, unused reservations first."""
    placement: Literal["COMPACT"] | None
    upgrade_settings: UpgradeSettings | None
    """None: do not set upgradeSettings. GKE sets SHORT_LIVED on flex-start pools itself; the provider rejects this
    value, and any other value would show as a change in every preview (crossplane-contrib/provider-upjet-gcp#1028)."""
    max_run_duration: str | None
    """Duration in Google's form, such as `604800s`."""
    min_gke_version: str | None
    """Oldest GKE version with this machine type and capacity kind; None if every supported version has them."""
    max_nodes: int
    """Nodes at the largest size of the pool; for an inactive reservation, once it is active."""
    reservation_bound: bool
    """True if a reservation limits the pool: no node beyond it is available."""
    waits_for_capacity: bool
    """True if nodes can take hours to days to arrive: no resource waits for them."""
    end_date: date | None
    """Day on which a reservation ends and Google removes its nodes."""

    @property
    def peak_nodes(self) -> int:
        """`max_nodes` plus the surge nodes of an upgrade: the IP ranges must have addresses for all of them."""
        surge = self.upgrade_settings.max_surge if self.upgrade_settings else 0
        return self.max_nodes + surge * len(self.node_locations)


def derive_node_pool_spec(
    capacity: Capacity,
    machine: GpuMachineType,
    sizing: Sizing | None,
    zones: Sequence[str],
    *,
    compact_placement: bool = False,
) -> NodePoolSpec:
    """Return the spec of a node pool. `sizing` None: all VMs of the reservation."""
    kind = CapacityKind(capacity.kind)
    active = capacity.active if isinstance(capacity, Reservation | CalendarMode) else True
    low, high = node_bounds(capacity, sizing)
    fixed = not isinstance(sizing, AutoscaledNodes) or not active
    if not active:
        low = 0
    return NodePoolSpec(
        capacity_kind=kind,
        node_locations=tuple(sorted(set(zones))),
        spot=kind is CapacityKind.SPOT,
        flex_start=kind is CapacityKind.FLEX_START,
        reservation_affinity=_reservation_affinity(capacity),
        # GKE requires auto-repair off for flex-start: it may have no node to replace a broken one with.
        auto_repair=kind is not CapacityKind.FLEX_START,
        auto_upgrade=True,
        node_count=low if fixed else None,
        total_min_node_count=None if fixed else low,
        total_max_node_count=None if fixed else high,
        initial_node_count=low,
        location_policy=None if fixed else "ANY",
        placement="COMPACT" if compact_placement else None,
        upgrade_settings=_upgrade_settings(kind),
        max_run_duration=f"{capacity.max_run_duration_hours * 3600}s" if isinstance(capacity, FlexStart) else None,
        min_gke_version=min_gke_version(kind, machine),
        max_nodes=high,
        reservation_bound=isinstance(capacity, ReservedCapacity),
        waits_for_capacity=kind is CapacityKind.FLEX_START or not active,
        end_date=capacity.end_date if isinstance(capacity, Reservation | CalendarMode) else None,
    )


def node_bounds(capacity: Capacity, sizing: Sizing | None) -> tuple[int, int]:
    """Return the fewest and the most nodes of a pool over all zones."""
    match sizing:
        case AutoscaledNodes():
            return sizing.total_min_nodes, sizing.total_max_nodes
        case FixedNodes():
            return sizing.count, sizing.count
        case None:
            count = capacity.count if isinstance(capacity, ReservedCapacity) else 0
            return count, count


def min_gke_version(kind: CapacityKind, machine: GpuMachineType) -> str | None:
    """Return the oldest GKE version with both machine type and capacity kind; None if every supported one has them."""
    flex_start = FLEX_START_MIN_GKE_VERSION if kind is CapacityKind.FLEX_START else None
    return max(filter(None, (machine.min_gke_version, flex_start)), key=gke_version, default=None)


def gke_version(version: str) -> Version:
    """Return a GKE version, in full (1.32.2-gke.1652000) or in part (1.35), for comparison. 1.35 is before all 1.35.*
    versions."""
    return Version(version.replace("-gke.", "."))


def _reservation_affinity(capacity: Capacity) -> ReservationAffinity:
    """Return the affinity. Kinds without a reservation use none, not even an open one: only pools that name a
    reservation consume it."""
    if not isinstance(capacity, ReservedCapacity):
        return ReservationAffinity()
    path = f"projects/{capacity.project}/reservations/{capacity.name}" if capacity.project else capacity.name
    if isinstance(capacity, Reservation) and capacity.block:
        path += f"/reservationBlocks/{capacity.block}"
        path += f"/reservationSubBlocks/{capacity.sub_block}" if capacity.sub_block else ""
    return ReservationAffinity("SPECIFIC_RESERVATION", RESERVATION_KEY, (path,))


def _upgrade_settings(kind: CapacityKind) -> UpgradeSettings | None:
    match kind:
        case CapacityKind.FLEX_START:
            return None
        case CapacityKind.ON_DEMAND:
            return SURGE_ONE
        case _:
            return DRAIN_ONE
