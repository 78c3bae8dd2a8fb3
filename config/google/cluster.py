"""Cluster settings: new or existing, release channel, maintenance, control-plane access."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.base import Cidr, Day, Settings, matches
from config.google.base import Hostname, ResourceName
from config.issues import Rule
from versions import GKE_FLOOR

RAY_OPERATOR_MIN_GKE_VERSION = "1.30.0-gke.1747000"
"""GKE's "Enable the Ray Operator add-on"."""
MAX_NO_UPGRADES_DAYS = 90


class NewCluster(Settings):
    """A cluster made here, as `infra.cluster_defaults` says."""

    kind: Literal["new"] = "new"
    """Make one."""


class ExistingCluster(Settings):
    """A cluster made elsewhere, which gets node pools from here. Workload Identity, the Gateway API and the Ray
    Operator add-on must be on."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The cluster; its location is the region."""
    dns_endpoint: Hostname
    """Host name of its DNS endpoint (`controlPlaneEndpointsConfig.dnsEndpointConfig.endpoint`)."""
    membership: (
        Annotated[
            str,
            matches(
                r"projects/[^/]+/locations/[^/]+/memberships/[^/]+", "projects/P/locations/L/memberships/NAME, whole"
            ),
        ]
        | None
    ) = None
    """Its fleet membership; a multi-cluster entrance needs it."""


ClusterSettings = Annotated[NewCluster | ExistingCluster, Field(discriminator="kind")]


class ReleaseChannel(StrEnum):
    """GKE's release channels."""

    RAPID = "RAPID"
    REGULAR = "REGULAR"
    STABLE = "STABLE"
    EXTENDED = "EXTENDED"


class Weekday(StrEnum):
    """As iCalendar writes them."""

    MONDAY = "MO"
    TUESDAY = "TU"
    WEDNESDAY = "WE"
    THURSDAY = "TH"
    FRIDAY = "FR"
    SATURDAY = "SA"
    SUNDAY = "SU"


class MaintenanceWindow(Settings):
    """When GKE may upgrade on its own, in UTC."""

    days: tuple[Weekday, ...] = Field(default=(Weekday.SATURDAY, Weekday.SUNDAY), min_length=1)
    """On these days."""
    start_hour: int = Field(default=2, ge=0, le=23)
    """From this hour on."""
    duration_hours: int = Field(default=8, ge=4, le=24)
    """For so many hours."""

    @model_validator(mode="after")
    def _long_enough(self) -> MaintenanceWindow:
        open_hours = 4 * len(set(self.days)) * self.duration_hours  # 32 days hold every weekday four times, at least
        if open_hours < 48:
            raise WINDOW_TOO_SHORT.error(hours=open_hours)
        return self


class ExclusionScope(StrEnum):
    """What GKE leaves alone."""

    NO_UPGRADES = "NO_UPGRADES"
    NO_MINOR_UPGRADES = "NO_MINOR_UPGRADES"
    NO_MINOR_OR_NODE_UPGRADES = "NO_MINOR_OR_NODE_UPGRADES"


class MaintenanceExclusion(Settings):
    """When GKE may not upgrade on its own."""

    name: ResourceName
    """What it is called."""
    start_date: Day
    """First day."""
    end_date: Day | None = None
    """First day after it; null: until the version's end of support."""
    scope: ExclusionScope = ExclusionScope.NO_MINOR_OR_NODE_UPGRADES
    """What GKE leaves alone."""

    @model_validator(mode="after")
    def _ends(self) -> MaintenanceExclusion:
        if self.end_date is None and self.scope is ExclusionScope.NO_UPGRADES:
            raise EXCLUSION_WITHOUT_END.error(name=self.name)
        if self.end_date is not None and self.scope is ExclusionScope.NO_UPGRADES:
            days, latest = (
                (self.end_date - self.start_date).days,
                self.start_date + timedelta(days=MAX_NO_UPGRADES_DAYS),
            )
            if days > MAX_NO_UPGRADES_DAYS:
                raise EXCLUSION_TOO_LONG.error(name=self.name, days=days, latest=latest)
        if self.end_date is not None and self.end_date <= self.start_date:
            raise EXCLUSION_PERIOD.error(name=self.name, ends=self.end_date, starts=self.start_date)
        return self


class Maintenance(Settings):
    """When GKE may upgrade clusters and nodes on its own."""

    window: MaintenanceWindow | None = MaintenanceWindow()
    """When it may; null: at any time."""
    exclusions: tuple[MaintenanceExclusion, ...] = Field(default=(), max_length=20)
    """When it may not."""

    @model_validator(mode="after")
    def _exclusions_have_a_window(self) -> Maintenance:
        if self.exclusions and self.window is None:
            raise EXCLUSION_WITHOUT_WINDOW.error()
        for name, times in Counter(each.name for each in self.exclusions).items():
            if times > 1:
                raise EXCLUSION_TWICE.error(name=name)
        return self


class AuthorizedNetwork(Settings):
    """Addresses that may reach the Kubernetes API by IP."""

    name: str
    """Whose they are."""
    cidr: Cidr
    """The range."""

    @model_validator(mode="after")
    def _not_everybody(self) -> AuthorizedNetwork:
        if self.cidr.prefixlen < 8:
            raise OPEN_TO_ALL.error(name=self.name, cidr=self.cidr)
        return self


class ControlPlaneAccess(Settings):
    """Who may reach the Kubernetes API. The DNS endpoint is always on, and IAM decides who may use it
    (container.clusters.connect)."""

    allow_external_traffic: bool = True
    """The DNS endpoint answers callers outside Google Cloud too; IAM still decides. False: Pulumi must run inside."""
    authorized_networks: tuple[AuthorizedNetwork, ...] = Field(default=(), max_length=100)
    """Turns the IP endpoint on, for these alone; without any it is off."""


class ClusterDefaults(Settings):
    """What every new cluster is like."""

    release_channel: ReleaseChannel = ReleaseChannel.REGULAR
    """How soon GKE versions come."""
    min_version: Annotated[
        str, matches(r"1\.[0-9]+(\.[0-9]+-gke\.[0-9]+)?", 'a GKE version such as "1.35" or "1.35.2-gke.1842000"')
    ] = GKE_FLOOR
    """Oldest GKE version of a new cluster, whole or in part (1.35); the channel takes it on from there."""
    maintenance: Maintenance = Maintenance()
    """When GKE may upgrade on its own."""
    control_plane_access: ControlPlaneAccess = ControlPlaneAccess()
    """Who may reach the Kubernetes API."""
    gcs_fuse_csi_driver: bool = False
    """The Cloud Storage FUSE CSI driver; vLLM streams weights from the bucket without it."""


OPEN_TO_ALL = Rule(
    "google.api-open-to-all",
    problem="authorized network {name} is {cidr}",
    reason="the Kubernetes API would answer the whole internet",
    fix="write the addresses of your offices and runners, or none and use the DNS endpoint, which IAM guards",
)
EXCLUSION_WITHOUT_WINDOW = Rule(
    "google.exclusion-without-window",
    problem="maintenance.exclusions is set with window: null",
    reason="GKE takes exclusions only beside a window",
    fix="write a window, or take `window` out for Saturday and Sunday nights",
)
WINDOW_TOO_SHORT = Rule(
    "google.window-too-short",
    problem="the maintenance window is open {hours} hours in 32 days",
    reason="GKE wants 48, in pieces of four hours or more",
    fix="write more days or hours",
    source="GKE, Configure maintenance windows and exclusions",
)
EXCLUSION_TWICE = Rule(
    "google.exclusion-twice",
    problem="two maintenance.exclusions are called {name}",
    reason="GKE knows an exclusion by its name, so that one would be lost",
    fix="give one of them another name",
)
EXCLUSION_TOO_LONG = Rule(
    "google.exclusion-too-long",
    problem="exclusion {name} has scope NO_UPGRADES for {days} days",
    reason="GKE lets security patches be put off for 90 days at most",
    fix="write an end_date of {latest} or earlier, or the scope NO_MINOR_OR_NODE_UPGRADES",
    source="GKE, Configure maintenance windows and exclusions",
)
EXCLUSION_PERIOD = Rule(
    "google.exclusion-period",
    problem="exclusion {name} has end_date {ends} and start_date {starts}",
    reason="it would end before it begins",
    fix="write a later end_date",
)
EXCLUSION_WITHOUT_END = Rule(
    "google.exclusion-without-end",
    problem="exclusion {name} has scope NO_UPGRADES and no end_date",
    reason="GKE lets only minor and node upgrades be put off until a version's end of support",
    fix="write end_date, or the scope NO_MINOR_OR_NODE_UPGRADES",
)
