"""`infra.regions[].node_pools[].capacity` and `nodes`: how a node pool gets its nodes, and how many.

GKE calls the five kinds consumption options; the machine type decides which of them exist. `pulumi up` never waits for
a GPU that Google has not guaranteed: a pool starts empty or, with an active reservation, at its guaranteed size. The
rules are those that GoogleCloudPlatform/cluster-toolkit (modules/compute/gke-node-pool) checks, applied before any
request to Google. Queued provisioning is left out on purpose: it gives nodes to batch jobs, not to a service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from config.base import Day, Settings, matches, raise_issues
from config.google.base import PROJECT_ID_FORMAT, PROJECT_ID_PATTERN, ResourceName
from config.issues import ConfigIssue, Rule

MAX_NODES_PER_POOL = 1000
"""GKE's limit for a node pool in one zone; here for all zones together."""
MAX_CALENDAR_DAYS = 90
MAX_CALENDAR_VMS = 80
MAX_FLEX_START_HOURS = 7 * 24
NODE_COUNT_BOUNDS = Rule(
    "infra.node-count-bounds",
    problem="total_min_nodes {low} is greater than total_max_nodes {high}",
    reason="the autoscaler cannot satisfy both",
    fix="Write a total_min_nodes of at most {high}",
)
RESERVATION_PATH = Rule(
    "infra.node_pools.reservation-name-is-path",
    problem="{path} is a path",
    reason="project, block and sub_block are settings of their own",
    fix="Write {parts}",
)
SUB_BLOCK_WITHOUT_BLOCK = Rule(
    "infra.node_pools.sub-block-without-block",
    problem="{sub_block} has no `block`",
    reason="a sub-block is part of a block",
    fix="Write the `block` that contains it",
)
CALENDAR_DURATION = Rule(
    "infra.node_pools.calendar-mode-duration",
    problem="the reservation lasts {days} days",
    reason="Google accepts 1 to {most} days in calendar mode",
    fix="Write a date from {earliest} to {latest}, or `kind: reservation` if your account team made it",
    source="Compute Engine, Create a future reservation request in calendar mode",
)
CALENDAR_COUNT = Rule(
    "infra.node_pools.calendar-mode-count",
    problem="{count} VMs",
    reason="Google accepts at most {most} VMs in calendar mode",
    fix="Write at most {most}; make another reservation and another node pool for more",
    source="Compute Engine, Create a future reservation request in calendar mode",
)
MAX_RUN_DURATION = Rule(
    "infra.node_pools.max-run-duration-too-long",
    problem="{hours} hours",
    reason="a flex-start node runs for at most seven days",
    fix="Write at most {most}",
    source="GKE, About flex-start",
)

_RESERVATION_PATH = re.compile(
    r"(?:projects/(?P<project>[^/]+)/)?(?:zones/[^/]+/)?(?:reservations/)?(?P<name>[^/]+)"
    r"(?:/reservationBlocks/(?P<block>[^/]+))?(?:/reservationSubBlocks/(?P<sub_block>[^/]+))?"
)
"""A reservation as other tools write it, which users copy."""


class ReservedCapacity(Settings):
    """Settings of both kinds of reservation. VMs must consume it by name (specificReservationRequired)."""

    name: ResourceName
    """Name of the reservation."""
    project: Annotated[str, matches(PROJECT_ID_PATTERN, PROJECT_ID_FORMAT)] | None = None
    """Project that owns the reservation, if another project shares it with this one."""
    count: int = Field(ge=1, le=MAX_NODES_PER_POOL)
    """VMs of the reservation that this node pool may use."""

    @field_validator("name", mode="before")
    @classmethod
    def _check_name(cls, name: object) -> object:
        if isinstance(name, str) and "/" in name:
            parts = found.groupdict() if (found := _RESERVATION_PATH.fullmatch(name)) else {"name": "the-reservation"}
            raise RESERVATION_PATH.error(path=name, parts=", ".join(f"{k}: {v}" for k, v in parts.items() if v))
        return name


class Reservation(ReservedCapacity):
    """A reservation that this project owns or that another project shares."""

    kind: Literal["reservation"]
    """A reservation."""
    block: ResourceName | None = None
    """One block of the reservation, for VMs that are close together."""
    sub_block: ResourceName | None = None
    """One sub-block of that block."""
    end_date: Day | None = None
    """Last day of the reservation, if it has one: Google then stops or deletes its VMs."""
    active: bool = True
    """False until Google has delivered the reservation: the node pool then exists with 0 nodes."""

    @model_validator(mode="after")
    def _check(self) -> Reservation:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        if self.sub_block and not self.block:
            yield SUB_BLOCK_WITHOUT_BLOCK.issue("sub_block", sub_block=self.sub_block)


class CalendarMode(ReservedCapacity):
    """A reservation for fixed days, from a future reservation request in calendar mode."""

    kind: Literal["calendar_mode"]
    """A future reservation in calendar mode."""
    start_date: Day
    """First day of the reservation."""
    end_date: Day
    """Day on which the reservation ends: Google then stops or deletes its VMs."""
    active: bool = False
    """True once the reservation has started; until then the node pool exists with 0 nodes."""

    @model_validator(mode="after")
    def _check(self) -> CalendarMode:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        if self.count > MAX_CALENDAR_VMS:
            yield CALENDAR_COUNT.issue("count", count=self.count, most=MAX_CALENDAR_VMS)
        days = (self.end_date - self.start_date).days
        if not 1 <= days <= MAX_CALENDAR_DAYS:
            earliest, latest = (self.start_date + timedelta(days=each) for each in (1, MAX_CALENDAR_DAYS))
            yield CALENDAR_DURATION.issue(
                "end_date", days=days, most=MAX_CALENDAR_DAYS, earliest=earliest, latest=latest
            )


class Spot(Settings):
    """Spot VMs: Google can preempt them at any time."""

    kind: Literal["spot"]
    """Spot VMs."""


class FlexStart(Settings):
    """Flex-start VMs of the Dynamic Workload Scheduler: they arrive when Google has capacity, and run for a limited
    time."""

    kind: Literal["flex_start"]
    """Flex-start VMs."""
    max_run_duration_hours: int = Field(default=MAX_FLEX_START_HOURS, ge=1)
    """Hours that a node runs at most; Google's limit is seven days (168)."""

    @model_validator(mode="after")
    def _check(self) -> FlexStart:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        hours = self.max_run_duration_hours
        if hours > MAX_FLEX_START_HOURS:
            yield MAX_RUN_DURATION.issue("max_run_duration_hours", hours=hours, most=MAX_FLEX_START_HOURS)


class OnDemand(Settings):
    """On-demand VMs at list price, while Google has capacity."""

    kind: Literal["on_demand"]
    """On-demand VMs."""


Capacity = Annotated[Reservation | CalendarMode | Spot | FlexStart | OnDemand, Field(discriminator="kind")]
"""How a node pool gets its nodes."""


class FixedNodes(Settings):
    """A fixed number of nodes."""

    kind: Literal["fixed"]
    """A fixed number."""
    count: int = Field(ge=1, le=MAX_NODES_PER_POOL)
    """Nodes of the pool."""


class AutoscaledNodes(Settings):
    """The cluster autoscaler follows the pods. Both limits count the nodes of all zones together."""

    kind: Literal["autoscaling"]
    """Autoscaling."""
    total_min_nodes: int = Field(default=0, ge=0, le=MAX_NODES_PER_POOL)
    """Fewest nodes, over all zones."""
    total_max_nodes: int = Field(ge=1, le=MAX_NODES_PER_POOL)
    """Most nodes, over all zones."""

    @model_validator(mode="after")
    def _check(self) -> AutoscaledNodes:
        return raise_issues(self, node_count_issues(self.total_min_nodes, self.total_max_nodes))


def node_count_issues(total_min_nodes: int, total_max_nodes: int) -> Iterator[ConfigIssue]:
    """Yield an issue if the limits of an autoscaled node pool contradict each other."""
    if total_min_nodes > total_max_nodes:
        yield NODE_COUNT_BOUNDS.issue("", low=total_min_nodes, high=total_max_nodes)


Sizing = Annotated[FixedNodes | AutoscaledNodes, Field(discriminator="kind")]
"""How many nodes a pool has: a fixed number or limits, never both."""
