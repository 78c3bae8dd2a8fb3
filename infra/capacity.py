"""How a node pool gets its GPUs, and what the pool must then say to GKE.

A capacity is one of five kinds; which exist is a fact of the machine type. Nobody waits for a GPU that was not
promised: a pool is born empty, or, on an active reservation, at the size it was promised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from infra.accelerators import CapacityKind, MachineType
from schema import Rule, Settings

CALENDAR_DAYS = 90
CALENDAR_NODES = 80
FLEX_START_HOURS = 7 * 24
FLEX_START_FLOOR = "1.32.2-gke.1652000"

NOT_OFFERED = Rule(
    "capacity.kind-not-offered",
    wrong="capacity.kind is {kind} for {machine}",
    why="Google does not offer that machine type this way",
    instead="write one of {offered}",
)
UNPROMISED = Rule(
    "capacity.unpromised-nodes",
    wrong="the pool asks for at least {nodes} nodes of kind {kind}",
    why="nobody promised them, so `pulumi up` would wait for them or fail on a stockout",
    instead="write `nodes: {{kind: autoscaling, min_nodes: 0, max_nodes: {nodes}}}`; pods bring the nodes",
)
SIZE_MISSING = Rule(
    "capacity.size-missing",
    wrong="the pool has no `nodes`",
    why="only a reservation says by itself how many there are",
    instead="write `nodes: {{kind: autoscaling, max_nodes: ...}}`",
)
BEYOND_RESERVATION = Rule(
    "capacity.beyond-reservation",
    wrong="the pool may have {nodes} nodes and its reservation has {count}",
    why="a node beyond the reservation never comes",
    instead="write at most {count} nodes, or the reservation's real `count`",
)
ONE_ZONE = Rule(
    "capacity.one-zone",
    wrong="the pool has zones {zones}",
    why="{reason}",
    instead="write the one zone",
)
NO_COMPACT = Rule(
    "capacity.compact-placement",
    wrong="compact_placement is on for {machine}",
    why="Google does not place this machine type compactly",
    instead="take compact_placement out",
)
SUB_BLOCK = Rule(
    "capacity.sub-block-without-block",
    wrong="sub_block is {sub_block} and there is no block",
    why="a sub-block is part of a block",
    instead="write `block` too",
)
CALENDAR_TOO_LONG = Rule(
    "capacity.calendar-too-long",
    wrong="the calendar reservation lasts {days} days",
    why="Google takes 1 to {most}",
    instead="write an ends_at of {latest} or earlier",
)
CALENDAR_TOO_MANY = Rule(
    "capacity.calendar-too-many",
    wrong="the calendar reservation has {count} VMs",
    why="Google takes at most {most}",
    instead="write a count of at most {most}, or a second pool",
)
FLEX_TOO_LONG = Rule(
    "capacity.flex-start-too-long",
    wrong="max_run_hours is {hours}",
    why="flex-start nodes live at most seven days",
    instead="write at most {most}",
)
BOUNDS = Rule(
    "capacity.bounds",
    wrong="min_nodes {low} is above max_nodes {high}",
    why="the autoscaler could satisfy neither",
    instead="write a min_nodes of at most {high}",
)
GKE_TOO_OLD = Rule(
    "capacity.gke-too-old",
    wrong="the cluster's GKE version is {version}",
    why="{machine} by {kind} needs {floor}",
    instead="write a version of at least {floor}",
)


class Reservation(Settings):
    """VMs that Compute Engine keeps for this project, or shares with it; specifically targeted."""

    kind: Literal["reservation"]
    name: str
    """The reservation's name."""
    project: str | None = None
    """The project that owns it, where it is shared from another."""
    block: str | None = None
    """One block of it."""
    sub_block: str | None = None
    """One sub-block of the block."""
    count: int = Field(ge=1)
    """VMs in it that this pool may use."""
    ends_at: date | None = None
    """Its last day, where it has one: VMs bound to a reservation go with it."""
    active: bool = True
    """False until it is delivered: the pool exists and has no node."""

    @model_validator(mode="after")
    def _sub_block(self) -> Reservation:
        if self.sub_block and not self.block:
            raise SUB_BLOCK.refusal(sub_block=self.sub_block)
        return self


class Calendar(Settings):
    """A reservation made for given days through calendar mode."""

    kind: Literal["calendar"]
    name: str
    """The reservation's name."""
    project: str | None = None
    """The project that owns it, where it is shared from another."""
    count: int = Field(ge=1)
    """VMs in it that this pool may use."""
    starts_at: date
    """Its first day."""
    ends_at: date
    """Its last day."""
    active: bool = False
    """True once it has begun; until then the pool exists and has no node."""

    @model_validator(mode="after")
    def _limits(self) -> Calendar:
        return self


class Spot(Settings):
    """Spare capacity that Google takes back at 30 seconds' notice."""

    kind: Literal["spot"]


class FlexStart(Settings):
    """Dynamic Workload Scheduler: nodes come when there are some, and go after a time that is fixed beforehand."""

    kind: Literal["flex_start"]
    max_run_hours: int = Field(default=FLEX_START_HOURS, ge=1)
    """How long a node lives at most; 168 (seven days) is also Google's limit."""

    @model_validator(mode="after")
    def _a_week(self) -> FlexStart:
        if self.max_run_hours > FLEX_START_HOURS:
            raise FLEX_TOO_LONG.refusal(hours=self.max_run_hours, most=FLEX_START_HOURS)
        return self


class OnDemand(Settings):
    """Taken when asked for, while there are some."""

    kind: Literal["on_demand"]


Capacity = Annotated[Reservation | Calendar | Spot | FlexStart | OnDemand, Field(discriminator="kind")]
"""How a pool gets its nodes."""


class StaticNodes(Settings):
    """Always the same number."""

    kind: Literal["static"]
    count: int = Field(ge=1)
    """Nodes of the pool."""


class AutoscaledNodes(Settings):
    """Nodes follow the pods, over all zones of the pool together."""

    kind: Literal["autoscaling"]
    min_nodes: int = Field(default=0, ge=0)
    """Never fewer."""
    max_nodes: int = Field(ge=1)
    """Never more."""

    @model_validator(mode="after")
    def _bounds(self) -> AutoscaledNodes:
        if self.min_nodes > self.max_nodes:
            raise BOUNDS.refusal(low=self.min_nodes, high=self.max_nodes)
        return self


Sizing = Annotated[StaticNodes | AutoscaledNodes, Field(discriminator="kind")]
"""How many nodes: one of two, never both."""


class UpgradeStrategy(StrEnum):
    SURGE = "SURGE"
    SHORT_LIVED = "SHORT_LIVED"


@dataclass(frozen=True)
class Upgrade:
    """The pool's upgradeSettings."""

    strategy: UpgradeStrategy
    max_surge: int | None = None
    max_unavailable: int | None = None


@dataclass(frozen=True)
class ReservationAffinity:
    """The pool's reservationAffinity."""

    consume_reservation_type: str
    key: str | None = None
    values: tuple[str, ...] = ()


NO_RESERVATION = ReservationAffinity("NO_RESERVATION")


@dataclass(frozen=True)
class PoolTerms:
    """What a node pool must say to GKE for its capacity. Field names are GKE's, in Python's spelling."""

    kind: CapacityKind
    spot: bool
    flex_start: bool
    reservation_affinity: ReservationAffinity
    auto_repair: bool
    auto_upgrade: bool
    node_count: int | None
    """Static size; None where the autoscaler decides."""
    total_min_node_count: int | None
    total_max_node_count: int | None
    initial_node_count: int
    """Size at birth."""
    location_policy: str | None
    placement: str | None
    """`COMPACT`, or None."""
    upgrade: Upgrade
    max_run_duration: str | None
    """Seconds, in Google's form: `604800s`."""
    gke_floor: str
    """Oldest GKE version that can do all of this."""
    fixed: bool
    """No node beyond the reservation can be had."""
    may_wait: bool
    """Nodes can take hours to days to come: nothing waits for them."""

    @property
    def most_nodes(self) -> int:
        """Nodes when the pool is at its largest."""
        return self.node_count if self.node_count is not None else self.total_max_node_count or 0


def refusals(
    capacity: Capacity,
    machine: MachineType,
    sizing: Sizing | None,
    zones: Sequence[str],
    *,
    compact: bool = False,
    gke_version: str | None = None,
) -> Iterator[PydanticCustomError]:
    """What cannot work together, each with its remedy."""
    kind = CapacityKind(capacity.kind)
    if kind not in machine.kinds:
        yield NOT_OFFERED.refusal(kind=kind, machine=machine.name, offered=", ".join(sorted(machine.kinds)))


def pool_terms(
    capacity: Capacity,
    machine: MachineType,
    sizing: Sizing | None,
    zones: Sequence[str],
    *,
    compact: bool = False,
    gke_version: str | None = None,
) -> PoolTerms:
    """What the pool must say. Raises the first of `refusals` when it cannot work.

    `sizing` None: a reservation's whole count, always. `zones`: where the pool's nodes are. `compact`: place the VMs
    close together. `gke_version`: the cluster's, where it is known.
    """
    for refusal in refusals(capacity, machine, sizing, zones, compact=compact, gke_version=gke_version):
        raise refusal
    raise NotImplementedError


def version_key(version: str) -> tuple[int, ...]:
    """Orders GKE versions: `1.32.2-gke.1652000`, or a prefix of one such as `1.35`."""
    return tuple(int(part) for part in re.findall(r"\d+", version))
