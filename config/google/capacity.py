"""How a node pool gets its GPUs, and what the pool must then say to GKE.

Five kinds; which of them exist is a fact of the machine type. `pulumi up` never waits for a GPU that was not promised:
a pool is born empty, or, on an active reservation, at the size it was promised. The invariants are those that
GoogleCloudPlatform/cluster-toolkit (modules/compute/gke-node-pool) checks, refused here before anything is asked of
Google. Left out on purpose: queued provisioning, which hands out nodes to batch jobs and not to a service.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from config.base import Day, Settings, matches
from config.google.base import PROJECT_ID_FORMAT, PROJECT_ID_PATTERN, ResourceName
from config.issues import Rule

MAX_NODES_PER_POOL = 1000
"""GKE's limit of a node pool, in each zone; here in all of them."""
MAX_CALENDAR_DAYS = 90
MAX_CALENDAR_VMS = 80
MAX_FLEX_START_HOURS = 7 * 24
BOUNDS = Rule(
    "capacity.bounds",
    problem="total_min_nodes {low} is above total_max_nodes {high}",
    reason="the autoscaler could keep neither",
    fix="write a total_min_nodes of at most {high}",
)
NAME_IS_PATH = Rule(
    "capacity.reservation-name",
    problem="capacity.name is the path {path}",
    reason="project, block and sub_block are settings of their own",
    fix="write {parts}",
)
SUB_BLOCK = Rule(
    "capacity.sub-block-without-block",
    problem="sub_block is {sub_block} and there is no block",
    reason="a sub-block is a part of a block",
    fix="write the `block` that it is in",
)
CALENDAR_PERIOD = Rule(
    "capacity.calendar-period",
    problem="the calendar reservation lasts {days} days",
    reason="Google takes 1 to {most}",
    fix="write an end_date from {earliest} to {latest}, or kind: reservation for one that your account team made",
    source="Compute Engine, Create a future reservation request in calendar mode",
)
CALENDAR_COUNT = Rule(
    "capacity.calendar-count",
    problem="the calendar reservation has {count} VMs",
    reason="Google takes at most {most}",
    fix="write a count of at most {most}; further VMs are another reservation and another pool",
    source="Compute Engine, Create a future reservation request in calendar mode",
)
FLEX_START_TIME = Rule(
    "capacity.flex-start-time",
    problem="max_run_duration_hours is {hours}",
    reason="a flex-start node lives seven days at most",
    fix="write at most {most}",
    source="GKE, About flex-start",
)

RESERVATION_PATH = re.compile(
    r"(?:projects/(?P<project>[^/]+)/)?(?:zones/[^/]+/)?(?:reservations/)?(?P<name>[^/]+)"
    r"(?:/reservationBlocks/(?P<block>[^/]+))?(?:/reservationSubBlocks/(?P<sub_block>[^/]+))?"
)
"""What people have at hand: the reservation as other tools write it."""


class ReservedCapacity(Settings):
    """What both kinds of reservation say. Either must be one that VMs consume by its name (specificReservation)."""

    name: ResourceName
    """The reservation's name."""
    project: Annotated[str, matches(PROJECT_ID_PATTERN, PROJECT_ID_FORMAT)] | None = None
    """The project that owns it, where another project shares it with this one."""
    count: int = Field(ge=1, le=MAX_NODES_PER_POOL)
    """VMs in it that this pool may use."""

    @field_validator("name", mode="before")
    @classmethod
    def _no_path(cls, name: object) -> object:
        if isinstance(name, str) and "/" in name:
            parts = found.groupdict() if (found := RESERVATION_PATH.fullmatch(name)) else {"name": "the-reservation"}
            raise NAME_IS_PATH.error(path=name, parts=", ".join(f"{k}: {v}" for k, v in parts.items() if v))
        return name


class Reservation(ReservedCapacity):
    """VMs that Compute Engine keeps for this project, or that another project shares."""

    kind: Literal["reservation"]
    block: ResourceName | None = None
    """One block of it, for VMs close together."""
    sub_block: ResourceName | None = None
    """One sub-block of that block."""
    end_date: Day | None = None
    """Its last day, if it has one: VMs that are bound to a reservation are stopped or deleted with it."""
    active: bool = True
    """False until Google has delivered it: the pool then exists and has no node."""

    @model_validator(mode="after")
    def _part_of_a_block(self) -> Reservation:
        if self.sub_block and not self.block:
            raise SUB_BLOCK.error(sub_block=self.sub_block)
        return self


class CalendarMode(ReservedCapacity):
    """A reservation for given days, made through a future reservation request in calendar mode."""

    kind: Literal["calendar_mode"]
    start_date: Day
    """Its first day."""
    end_date: Day
    """The day it ends: its VMs are stopped or deleted then."""
    active: bool = False
    """True once it has begun: until then the pool exists and has no node."""

    @model_validator(mode="after")
    def _what_google_takes(self) -> CalendarMode:
        if self.count > MAX_CALENDAR_VMS:
            raise CALENDAR_COUNT.error(count=self.count, most=MAX_CALENDAR_VMS)
        if not 1 <= (days := (self.end_date - self.start_date).days) <= MAX_CALENDAR_DAYS:
            raise CALENDAR_PERIOD.error(
                days=days,
                most=MAX_CALENDAR_DAYS,
                earliest=self.start_date + timedelta(days=1),
                latest=self.start_date + timedelta(days=MAX_CALENDAR_DAYS),
            )
        return self


class Spot(Settings):
    """Spare VMs, which Google takes back at any time."""

    kind: Literal["spot"]


class FlexStart(Settings):
    """Dynamic Workload Scheduler: nodes come when Google has some, and go after a time that is set beforehand."""

    kind: Literal["flex_start"]
    max_run_duration_hours: int = Field(default=MAX_FLEX_START_HOURS, ge=1)
    """How long a node lives at most; seven days (168) is also Google's limit."""

    @model_validator(mode="after")
    def _a_week(self) -> FlexStart:
        if self.max_run_duration_hours > MAX_FLEX_START_HOURS:
            raise FLEX_START_TIME.error(hours=self.max_run_duration_hours, most=MAX_FLEX_START_HOURS)
        return self


class OnDemand(Settings):
    """VMs at list price, while Google has some."""

    kind: Literal["on_demand"]


Capacity = Annotated[Reservation | CalendarMode | Spot | FlexStart | OnDemand, Field(discriminator="kind")]
"""How a pool gets its nodes."""


class FixedNodes(Settings):
    """Always the same number."""

    kind: Literal["fixed"]
    count: int = Field(ge=1, le=MAX_NODES_PER_POOL)
    """Nodes of the pool."""


class AutoscaledNodes(Settings):
    """Nodes follow the pods; both bounds are over all zones of the pool together."""

    kind: Literal["autoscaling"]
    total_min_nodes: int = Field(default=0, ge=0)
    """Never fewer."""
    total_max_nodes: int = Field(ge=1, le=MAX_NODES_PER_POOL)
    """Never more."""

    @model_validator(mode="after")
    def _bounds(self) -> AutoscaledNodes:
        if self.total_min_nodes > self.total_max_nodes:
            raise BOUNDS.error(low=self.total_min_nodes, high=self.total_max_nodes)
        return self


Sizing = Annotated[FixedNodes | AutoscaledNodes, Field(discriminator="kind")]
"""How many nodes a pool has: a number or bounds, never both."""
