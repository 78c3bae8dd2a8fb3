"""`infra.network`: a new VPC, an existing one, or a Shared VPC."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.base import Cidr, Settings
from config.google import ip_plan
from config.google.base import ResourceName
from config.google.project import Project


class NewNetwork(Settings):
    """A VPC of its own, with subnetworks, Cloud NAT, firewall and proxy-only subnetworks."""

    kind: Literal["new"] = "new"
    """Make one."""
    base_cidr: Cidr = ip_plan.DEFAULT_BASE_CIDR
    """Range that every region's ranges are derived from (config/google/ip_plan.py)."""


class ExistingSubnetwork(Settings):
    """A region's subnetwork in an existing VPC."""

    name: ResourceName
    """The subnetwork that nodes are in."""
    pods_range_name: ResourceName
    """Name of its secondary range for pods."""
    services_range_name: ResourceName
    """Name of its secondary range for Services."""
    proxy_only_range: Cidr | None = None
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


class SharedVpcNetwork(Settings):
    """A Shared VPC: as an existing one, in the host project. GKE's grants in the host project are made here."""

    kind: Literal["shared_vpc"]
    """Use another project's."""
    host_project: Project
    """The host project; this stack's project is attached to it."""
    name: ResourceName
    """The VPC."""
    subnetworks: dict[str, ExistingSubnetwork]
    """One for each region, by the region's name."""
    redis_range_name: ResourceName | None = None
    """Name of the allocated range for private services access, where Memorystore puts its instances."""


NetworkSettings = Annotated[NewNetwork | ExistingNetwork | SharedVpcNetwork, Field(discriminator="kind")]
