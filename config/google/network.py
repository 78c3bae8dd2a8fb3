"""`infra.network`: a new VPC, an existing one, or a Shared VPC."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.base import Range, Settings
from config.google import ip_plan
from config.google.base import ResourceName
from config.google.project import Project


class NewNetwork(Settings):
    """A VPC of its own, with subnetworks, Cloud NAT, firewall and proxy-only subnetworks."""

    kind: Literal["new"] = "new"
    """Make one."""
    base: Range = ip_plan.BASE
    """Range that every region's ranges are derived from (config/google/ip_plan.py)."""


class ExistingSubnetwork(Settings):
    """A region's subnetwork in an existing VPC."""

    name: ResourceName
    """The subnetwork that nodes are in."""
    pods_range: ResourceName
    """Name of its secondary range for pods."""
    services_range: ResourceName
    """Name of its secondary range for Services."""
    proxies: Range | None = None
    """Range of the active proxy-only subnetwork that a private entrance needs."""


class ExistingNetwork(Settings):
    """A VPC of the same project, used as it is: its subnetworks, Cloud NAT, firewall and proxy-only subnetworks are
    yours."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The VPC."""
    subnetworks: dict[str, ExistingSubnetwork]
    """One for each region, by the region's name."""


class SharedNetwork(Settings):
    """A Shared VPC: as an existing one, in the host project. GKE's grants in the host project are made here."""

    kind: Literal["shared"]
    """Use another project's."""
    host: Project
    """The host project; this stack's project is attached to it."""
    name: ResourceName
    """The VPC."""
    subnetworks: dict[str, ExistingSubnetwork]
    """One for each region, by the region's name."""
    redis_range: ResourceName | None = None
    """Name of the allocated range for private services access, where Memorystore puts its instances."""


Network = Annotated[NewNetwork | ExistingNetwork | SharedNetwork, Field(discriminator="kind")]
