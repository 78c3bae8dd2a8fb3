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

from config.base import Day, Settings, form
from config.google.base import PROJECT, PROJECT_WORDS, ResourceName
from config.issues import Rule

MOST_NODES = 1000
"""GKE's limit of a node pool, in each zone; here in all of them."""
CALENDAR_DAYS = 90
CALENDAR_NODES = 80
FLEX_START_HOURS = 7 * 24
BOUNDS = Rule(
    "capacity.bounds",
    wrong="min_nodes {low} is above max_nodes {high}",
    why="the autoscaler could keep neither",
    instead="write a min_nodes of at most {high}",
)
NAME_IS_PATH = Rule(
    "capacity.reservation-name",
    wrong="capacity.name is the path {path}",
    why="project, block and sub_block are settings of their own",
    instead="write {parts}",
)
SUB_BLOCK = Rule(
    "capacity.sub-block-without-block",
    wrong="sub_block is {sub_block} and there is no block",
    why="a sub-block is a part of a block",
    instead="write the `block` that it is in",
)
CALENDAR_PERIOD = Rule(
    "capacity.calendar-period",
    wrong="the calendar reservation lasts {days} days",
    why="Google takes 1 to {most}",
    instead="write an ends_at from {earliest} to {latest}, or kind: reservation for one that your account team made",
    source="Compute Engine, Create a future reservation request in calendar mode",
)
CALENDAR_COUNT = Rule(
    "capacity.calendar-count",
    wrong="the calendar reservation has {count} VMs",
    why="Google takes at most {most}",
    instead="write a count of at most {most}; further VMs are another reservation and another pool",
    source="Compute Engine, Create a future reservation request in calendar mode",
)
FLEX_START_TIME = Rule(
    "capacity.flex-start-time",
    wrong="max_run_hours is {hours}",
    why="a flex-start node lives seven days at most",
    instead="write at most {most}",
    source="GKE, About flex-start",
)

PATH = re.compile(
    r"(?:projects/(?P<project>[^/]+)/)?(?:zones/[^/]+/)?(?:reservations/)?(?P<name>[^/]+)"
    r"(?:/reservationBlocks/(?P<block>[^/]+))?(?:/reservationSubBlocks/(?P<sub_block>[^/]+))?"
)
"""What people have at hand: the reservation as other tools write it."""


class _Reserved(Settings):
    """What both kinds of reservation say. Either must be one that VMs consume by its name (specificReservation)."""

    name: ResourceName
    """The reservation's name."""
    project: Annotated[str, form(PROJECT, PROJECT_WORDS)] | None = None
    """The project that owns it, where another project shares it with this one."""
    count: int = Field(ge=1, le=MOST_NODES)
    """VMs in it that this pool may use."""

    @field_validator("name", mode="before")
    @classmethod
    def _no_path(cls, name: object) -> object:
        if isinstance(name, str) and "/" in name:
            parts = found.groupdict() if (found := PATH.fullmatch(name)) else {"name": "the-reservation"}
            raise NAME_IS_PATH.refusal(path=name, parts=", ".join(f"{k}: {v}" for k, v in parts.items() if v))
        return name


class Reservation(_Reserved):
    """VMs that Compute Engine keeps for this project, or that another project shares."""

    kind: Literal["reservation"]
    block: ResourceName | None = None
    """One block of it, for VMs close together."""
    sub_block: ResourceName | None = None
    """One sub-block of that block."""
    ends_at: Day | None = None
    """Its last day, if it has one: VMs that are bound to a reservation are stopped or deleted with it."""
    active: bool = True
    """False until Google has delivered it: the pool then exists and has no node."""

    @model_validator(mode="after")
    def _part_of_a_block(self) -> Reservation:
        if self.sub_block and not self.block:
            raise SUB_BLOCK.refusal(sub_block=self.sub_block)
        return self


class Calendar(_Reserved):
    """A reservation for given days, made through a future reservation request in calendar mode."""

    kind: Literal["calendar"]
    starts_at: Day
    """Its first day."""
    ends_at: Day
    """The day it ends: its VMs are stopped or deleted then."""
    active: bool = False
    """True once it has begun: until then the pool exists and has no node."""

    @model_validator(mode="after")
    def _what_google_takes(self) -> Calendar:
        if self.count > CALENDAR_NODES:
            raise CALENDAR_COUNT.refusal(count=self.count, most=CALENDAR_NODES)
        if not 1 <= (days := (self.ends_at - self.starts_at).days) <= CALENDAR_DAYS:
            raise CALENDAR_PERIOD.refusal(
                days=days,
                most=CALENDAR_DAYS,
                earliest=self.starts_at + timedelta(days=1),
                latest=self.starts_at + timedelta(days=CALENDAR_DAYS),
            )
        return self


class Spot(Settings):
    """Spare VMs, which Google takes back at any time."""

    kind: Literal["spot"]


class FlexStart(Settings):
    """Dynamic Workload Scheduler: nodes come when Google has some, and go after a time that is set beforehand."""

    kind: Literal["flex_start"]
    max_run_hours: int = Field(default=FLEX_START_HOURS, ge=1)
    """How long a node lives at most; seven days (168) is also Google's limit."""

    @model_validator(mode="after")
    def _a_week(self) -> FlexStart:
        if self.max_run_hours > FLEX_START_HOURS:
            raise FLEX_START_TIME.refusal(hours=self.max_run_hours, most=FLEX_START_HOURS)
        return self


class OnDemand(Settings):
    """VMs at list price, while Google has some."""

    kind: Literal["on_demand"]


Capacity = Annotated[Reservation | Calendar | Spot | FlexStart | OnDemand, Field(discriminator="kind")]
"""How a pool gets its nodes."""


class StaticNodes(Settings):
    """Always the same number."""

    kind: Literal["static"]
    count: int = Field(ge=1, le=MOST_NODES)
    """Nodes of the pool."""


class AutoscaledNodes(Settings):
    """Nodes follow the pods; both bounds are over all zones of the pool together."""

    kind: Literal["autoscaling"]
    min_nodes: int = Field(default=0, ge=0)
    """Never fewer."""
    max_nodes: int = Field(ge=1, le=MOST_NODES)
    """Never more."""

    @model_validator(mode="after")
    def _bounds(self) -> AutoscaledNodes:
        if self.min_nodes > self.max_nodes:
            raise BOUNDS.refusal(low=self.min_nodes, high=self.max_nodes)
        return self


Sizing = Annotated[StaticNodes | AutoscaledNodes, Field(discriminator="kind")]
"""How many nodes a pool has: a number or bounds, never both."""
