"""`infra.regions`: one cluster with its GPU node pools in each region."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field, field_validator, model_validator

from config.base import Settings, raise_issues
from config.google.cluster import ClusterSettings, NewCluster
from config.google.ip_plan import CidrOverrides
from config.google.node_pools import GpuNodePool
from config.google.region_names import region_code
from config.issues import ConfigIssue, Rule

ZONE_OUTSIDE_REGION = Rule(
    "infra.node_pools.zone-outside-region",
    problem="{zone} is not in region {region}",
    reason="the zones of a node pool are zones of its cluster's region",
    fix="Write a zone such as {region}-b, or move the node pool to the region of the zone",
)
ZONE_DUPLICATE = Rule(
    "infra.node_pools.zone-duplicate",
    problem="{zone} is listed twice",
    reason="the numbers of nodes count all zones of the pool together, each zone once",
    fix="Write each zone once",
)


class Traffic(StrEnum):
    """Whether a region receives requests. `drained`: the load balancer sends it no requests and all its streams have
    ended."""

    ACTIVE = "active"
    DRAINED = "drained"


class Region(Settings):
    """One region: a cluster with its node pools."""

    name: str
    """Region, such as us-central1."""
    ip_plan_index: int = Field(default=0, ge=0)
    """Position in the IP plan: unique to the region, never changed, and never used again for another region."""
    node_pools: tuple[GpuNodePool, ...] = Field(min_length=1)
    """GPU node pools."""
    traffic: Traffic = Traffic.ACTIVE
    """`active`, or `drained`: the load balancer sends the region no requests, and `pulumi up` waits until all its
    streams have ended."""
    release: str = ""
    """Release of serving.kubernetes.releases that runs here. Raise it region by region."""
    ranges: CidrOverrides = CidrOverrides()
    """IP ranges to use instead of derived ones."""
    cluster: ClusterSettings = NewCluster()
    """A new cluster or an existing one."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        region_code(name)
        return name

    @model_validator(mode="after")
    def _check(self) -> Region:
        return raise_issues(self, self._zone_issues())

    def _zone_issues(self) -> Iterator[ConfigIssue]:
        for index, pool in enumerate(self.node_pools):
            path = f"node_pools[{index}].zones"
            for zone, times in Counter(pool.zones).items():
                if times > 1:
                    yield ZONE_DUPLICATE.issue(path, zone=zone)
                if not re.fullmatch(re.escape(self.name) + "-[a-z]", zone):
                    yield ZONE_OUTSIDE_REGION.issue(path, zone=zone, region=self.name)
