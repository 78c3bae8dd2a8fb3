"""`infra.network`: a new VPC, an existing VPC, or a Shared VPC."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.base import Cidr, Settings
from config.google import ip_plan
from config.google.base import ResourceName
from config.google.project import Project


class NewNetwork(Settings):
    """A VPC that this stack creates, with subnetworks, Cloud NAT, firewall and proxy-only subnetworks."""

    kind: Literal["new"] = "new"
    """Create a VPC."""
    base_cidr: Cidr = ip_plan.DEFAULT_BASE_CIDR
    """Range from which the ranges of every region are derived (config/google/ip_plan.py)."""


class ExistingSubnetwork(Settings):
    """The subnetwork of a region in an existing VPC."""

    name: ResourceName
    """Subnetwork of the nodes."""
    pods_range_name: ResourceName
    """Name of its secondary range for pods."""
    services_range_name: ResourceName
    """Name of its secondary range for Services."""
    proxy_only_range: Cidr | None = None
    """Range of the region's active proxy-only subnetwork, which an internal gateway needs."""


class ExistingNetwork(Settings):
    """A VPC of the same project. This stack creates nothing in it: you provide subnetworks, Cloud NAT, firewall and
    proxy-only subnetworks."""

    kind: Literal["existing"]
    """Use an existing VPC."""
    name: ResourceName
    """Name of the VPC."""
    subnetworks: dict[str, ExistingSubnetwork]
    """Region -> its subnetwork."""


class SharedVpcNetwork(Settings):
    """A VPC of a host project (Shared VPC). This stack creates GKE's grants in the host project, nothing else."""

    kind: Literal["shared_vpc"]
    """Use a Shared VPC."""
    host_project: Project
    """Host project; this stack's project is attached to it."""
    name: ResourceName
    """Name of the VPC."""
    subnetworks: dict[str, ExistingSubnetwork]
    """Region -> its subnetwork."""
    redis_range_name: ResourceName | None = None
    """Name of the allocated range for private services access, in which Memorystore creates its instances."""


NetworkSettings = Annotated[NewNetwork | ExistingNetwork | SharedVpcNetwork, Field(discriminator="kind")]
