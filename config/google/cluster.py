"""Cluster settings: a new or an existing cluster, release channel, maintenance, control plane access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.base import Cidr, Day, Settings, matches, raise_issues
from config.google.base import Hostname, ResourceName
from config.issues import ConfigIssue, Rule
from versions import GKE_FLOOR

RAY_OPERATOR_MIN_GKE_VERSION = "1.30.0-gke.1747000"
"""Oldest GKE version with the Ray Operator add-on (GKE, Enable the Ray Operator add-on)."""
MAX_NO_UPGRADES_DAYS = 90
MIN_WINDOW_HOURS = 48
"""Hours in 32 days that a maintenance window must be open (GKE)."""

AUTHORIZED_NETWORK_TOO_WIDE = Rule(
    "infra.cluster_defaults.authorized-network-too-wide",
    problem="{cidr} ({name}) is too wide",
    reason="the Kubernetes API would answer the whole internet",
    fix="Write the addresses of your offices and runners; or write none and use the DNS endpoint, which IAM protects",
)
EXCLUSION_WITHOUT_WINDOW = Rule(
    "infra.cluster_defaults.exclusion-without-window",
    problem="exclusions with `window: null`",
    reason="GKE accepts exclusions only beside a maintenance window",
    fix="Write a window, or remove `window` for the default one (Saturday and Sunday night)",
)
WINDOW_TOO_SHORT = Rule(
    "infra.cluster_defaults.maintenance-window-too-short",
    problem="the window is open for {hours} hours in 32 days",
    reason="GKE requires 48 hours, in pieces of four hours or more",
    fix="Write more days or a longer duration_hours",
    source="GKE, Configure maintenance windows and exclusions",
)
EXCLUSION_DUPLICATE = Rule(
    "infra.cluster_defaults.exclusion-duplicate",
    problem="two exclusions have the name {name}",
    reason="GKE identifies an exclusion by its name, and one would be lost",
    fix="Write another name for one of them",
)
EXCLUSION_TOO_LONG = Rule(
    "infra.cluster_defaults.exclusion-too-long",
    problem="exclusion {name} with scope NO_UPGRADES lasts {days} days",
    reason="GKE lets you postpone security patches for at most 90 days",
    fix="Write an end_date of {latest} or earlier, or the scope NO_MINOR_OR_NODE_UPGRADES",
    source="GKE, Configure maintenance windows and exclusions",
)
EXCLUSION_ENDS_BEFORE_START = Rule(
    "infra.cluster_defaults.exclusion-ends-before-start",
    problem="exclusion {name} has end_date {end} and start_date {start}",
    reason="an exclusion ends after its start",
    fix="Write a later end_date",
)
EXCLUSION_WITHOUT_END = Rule(
    "infra.cluster_defaults.exclusion-without-end",
    problem="exclusion {name} has scope NO_UPGRADES and no end_date",
    reason="GKE lets you postpone only minor and node upgrades until a version's end of support",
    fix="Write an end_date, or the scope NO_MINOR_OR_NODE_UPGRADES",
)


class NewCluster(Settings):
    """A cluster that this stack creates, configured by `infra.cluster_defaults`."""

    kind: Literal["new"] = "new"
    """Create a cluster."""


class ExistingCluster(Settings):
    """A cluster that exists already; this stack adds node pools to it. It must have Workload Identity, the Gateway API
    and the Ray Operator add-on."""

    kind: Literal["existing"]
    """Use an existing cluster."""
    name: ResourceName
    """Name of the cluster. Its location is the region."""
    dns_endpoint: Hostname
    """Host name of its DNS endpoint (`controlPlaneEndpointsConfig.dnsEndpointConfig.endpoint`)."""
    membership: (
        Annotated[
            str,
            matches(
                r"projects/[^/]+/locations/[^/]+/memberships/[^/]+",
                "the full name projects/P/locations/L/memberships/NAME",
            ),
        ]
        | None
    ) = None
    """Fleet membership of the cluster; required for a multi-cluster gateway."""


ClusterSettings = Annotated[NewCluster | ExistingCluster, Field(discriminator="kind")]


class ReleaseChannel(StrEnum):
    """GKE's release channels."""

    RAPID = "RAPID"
    REGULAR = "REGULAR"
    STABLE = "STABLE"
    EXTENDED = "EXTENDED"


class Weekday(StrEnum):
    """Days of the week, as iCalendar (RFC 5545) writes them."""

    MONDAY = "MO"
    TUESDAY = "TU"
    WEDNESDAY = "WE"
    THURSDAY = "TH"
    FRIDAY = "FR"
    SATURDAY = "SA"
    SUNDAY = "SU"


class MaintenanceWindow(Settings):
    """When GKE may upgrade automatically, in UTC."""

    days: tuple[Weekday, ...] = Field(default=(Weekday.SATURDAY, Weekday.SUNDAY), min_length=1)
    """Days of the week on which the window opens."""
    start_hour: int = Field(default=2, ge=0, le=23)
    """Hour at which the window opens."""
    duration_hours: int = Field(default=8, ge=4, le=24)
    """Hours for which the window stays open."""

    @model_validator(mode="after")
    def _check(self) -> MaintenanceWindow:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        open_hours = 4 * len(set(self.days)) * self.duration_hours  # 32 days have each weekday at least four times
        if open_hours < MIN_WINDOW_HOURS:
            yield WINDOW_TOO_SHORT.issue("", hours=open_hours)


class ExclusionScope(StrEnum):
    """Upgrades that GKE does not start."""

    NO_UPGRADES = "NO_UPGRADES"
    NO_MINOR_UPGRADES = "NO_MINOR_UPGRADES"
    NO_MINOR_OR_NODE_UPGRADES = "NO_MINOR_OR_NODE_UPGRADES"


class MaintenanceExclusion(Settings):
    """When GKE must not upgrade automatically."""

    name: ResourceName
    """Name of the exclusion."""
    start_date: Day
    """First day of the exclusion."""
    end_date: Day | None = None
    """First day after the exclusion; null: until the end of support of the version."""
    scope: ExclusionScope = ExclusionScope.NO_MINOR_OR_NODE_UPGRADES
    """Upgrades that GKE does not start."""

    @model_validator(mode="after")
    def _check(self) -> MaintenanceExclusion:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        no_upgrades = self.scope is ExclusionScope.NO_UPGRADES
        if self.end_date is None:
            if no_upgrades:
                yield EXCLUSION_WITHOUT_END.issue("end_date", name=self.name)
            return
        days, latest = (self.end_date - self.start_date).days, self.start_date + timedelta(days=MAX_NO_UPGRADES_DAYS)
        if no_upgrades and days > MAX_NO_UPGRADES_DAYS:
            yield EXCLUSION_TOO_LONG.issue("end_date", name=self.name, days=days, latest=latest)
        if days <= 0:
            yield EXCLUSION_ENDS_BEFORE_START.issue(
                "end_date", name=self.name, end=self.end_date, start=self.start_date
            )


class Maintenance(Settings):
    """When GKE may upgrade clusters and nodes automatically."""

    window: MaintenanceWindow | None = MaintenanceWindow()
    """When GKE may upgrade; null: at any time."""
    exclusions: tuple[MaintenanceExclusion, ...] = Field(default=(), max_length=20)
    """When GKE must not upgrade."""

    @model_validator(mode="after")
    def _check(self) -> Maintenance:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        if self.exclusions and self.window is None:
            yield EXCLUSION_WITHOUT_WINDOW.issue("exclusions")
        for name, times in Counter(each.name for each in self.exclusions).items():
            if times > 1:
                yield EXCLUSION_DUPLICATE.issue("exclusions", name=name)


class AuthorizedNetwork(Settings):
    """A range of addresses that may reach the Kubernetes API at its IP endpoint."""

    name: str
    """Display name of the range."""
    cidr: Cidr
    """The range."""

    @model_validator(mode="after")
    def _check(self) -> AuthorizedNetwork:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        if self.cidr.prefixlen < 8:
            yield AUTHORIZED_NETWORK_TOO_WIDE.issue("cidr", name=self.name, cidr=self.cidr)


class ControlPlaneAccess(Settings):
    """Who may reach the Kubernetes API. The DNS endpoint is always on, and IAM decides who may use it
    (container.clusters.connect)."""

    allow_external_traffic: bool = True
    """True: the DNS endpoint also answers callers outside Google Cloud, if IAM allows them. False: Pulumi must run
    inside Google Cloud."""
    authorized_networks: tuple[AuthorizedNetwork, ...] = Field(default=(), max_length=100)
    """Ranges that may use the IP endpoint; without a range the IP endpoint is off."""


class ClusterDefaults(Settings):
    """Configuration of every new cluster."""

    release_channel: ReleaseChannel = ReleaseChannel.REGULAR
    """GKE release channel."""
    min_version: Annotated[
        str, matches(r"1\.[0-9]+(\.[0-9]+-gke\.[0-9]+)?", 'a GKE version such as "1.35" or "1.35.2-gke.1842000"')
    ] = GKE_FLOOR
    """Oldest GKE version of a new cluster, in full or in part (1.35). The release channel upgrades it from there."""
    maintenance: Maintenance = Maintenance()
    """When GKE may upgrade automatically."""
    control_plane_access: ControlPlaneAccess = ControlPlaneAccess()
    """Who may reach the Kubernetes API."""
    gcs_fuse_csi_driver: bool = False
    """Cloud Storage FUSE CSI driver, which mounts the bucket of a model with `load: mount`."""
