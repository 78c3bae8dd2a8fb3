"""Regions of the `infra` block: one cluster with its GPU node pools each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field, field_validator, model_validator

from config.base import Settings
from config.google.base import LocatedError, raise_all
from config.google.cluster import ClusterSettings, NewCluster
from config.google.ip_plan import CidrOverrides
from config.google.node_pools import GpuNodePool
from config.google.region_names import region_code
from config.issues import Rule


class Traffic(StrEnum):
    """Whether a site takes requests. `drained`: it is out of the entrance and its streams have ended."""

    ACTIVE = "active"
    DRAINED = "drained"


class Region(Settings):
    """One region: a cluster with its pools."""

    name: str
    """Such as us-central1."""
    ip_plan_index: int = Field(default=0, ge=0)
    """Its place in the address plan: each region's own, never changed and never used again."""
    node_pools: tuple[GpuNodePool, ...] = Field(min_length=1)
    """Its GPU pools."""
    traffic: Traffic = Traffic.ACTIVE
    """`active`, or `drained`: out of the entrance, and its streams have ended."""
    release: str = ""
    """Which release of `serving` runs here; raised region by region."""
    ranges: CidrOverrides = CidrOverrides()
    """Address ranges that are given instead of derived."""
    cluster: ClusterSettings = NewCluster()
    """A new cluster or an existing one."""

    @field_validator("name")
    @classmethod
    def _known_form(cls, name: str) -> str:
        region_code(name)
        return name

    @model_validator(mode="after")
    def _pools_fit(self) -> Region:
        return raise_all(self, self._refusals())

    def _refusals(self) -> Iterator[LocatedError]:
        for i, pool in enumerate(self.node_pools):
            yield from (
                (("node_pools", i), ZONE_TWICE.error(zone=zone))
                for zone, times in Counter(pool.zones).items()
                if times > 1
            )
            for zone in dict.fromkeys(pool.zones):
                if not re.fullmatch(re.escape(self.name) + "-[a-z]", zone):
                    yield ("node_pools", i), ZONE_ELSEWHERE.error(zone=zone, region=self.name)


ZONE_ELSEWHERE = Rule(
    "google.zone-elsewhere",
    problem="zone {zone} is not in region {region}",
    reason="a node pool's zones are zones of its cluster's region",
    fix="write a zone such as {region}-b, or move the pool to its region",
)
ZONE_TWICE = Rule(
    "google.zone-twice",
    problem="zone {zone} is written twice",
    reason="a pool is in a zone or not, and its numbers of nodes are over all zones",
    fix="write each zone once",
)
