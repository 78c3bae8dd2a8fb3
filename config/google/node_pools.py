"""GPU node pools of a region, and the system pool."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, field_validator, model_validator

from config.base import Settings
from config.google import capacity, machine_types
from config.google.capacity import Capacity, Sizing
from config.google.machine_types import GpuMachineType, MachineType
from config.google.node_pool_spec import NodePoolSpec, derive_node_pool_spec

SYSTEM_POOL_NAME = "system"
"""Last part of the system pool's name."""
SYSTEM_PODS_PER_NODE = 110


class GpuDriverVersion(StrEnum):
    """Which NVIDIA driver GKE installs."""

    DEFAULT = "DEFAULT"
    LATEST = "LATEST"


class GpuNodePool(Settings):
    """Nodes with GPUs, all alike. To change what replaces a pool while it serves, write a second pool, then take the
    first one out."""

    name: str
    """Last part of its name: environment-region-name."""
    machine_type: str
    """One of config/google/machine_types.py, such as a4-highgpu-8g. One with other GPUs replaces the pool."""
    zones: tuple[str, ...]
    """Where its nodes are."""
    capacity: Capacity
    """How its nodes are had. Another kind, reservation or lifetime replaces the pool."""
    nodes: Sizing | None = None
    """How many; null for all of a reservation."""
    compact_placement: bool = False
    """VMs close together, of use only to a replica that spans nodes. Changing it replaces the pool."""
    max_pods_per_node: int = Field(default=32, ge=16, le=256)
    """Addresses are set aside for twice as many; few pods run beside a GPU. Changing it replaces the pool."""
    boot_disk_size_gib: int = Field(default=200, ge=50, le=65_536)
    """Size of the boot disk, which holds the image where the machine has no local SSD."""
    gpu_driver_version: GpuDriverVersion = GpuDriverVersion.LATEST
    """NVIDIA driver; images built for CUDA 13 need the branch 580 or later. Changing it replaces the pool."""

    @field_validator("machine_type")
    @classmethod
    def _known(cls, name: str) -> str:
        return machine_types.gpu_machine_type(name).name

    @property
    def machine(self) -> GpuMachineType:
        """Its machine type's row of the table."""
        return machine_types.gpu_machine_type(self.machine_type)

    @property
    def spec(self) -> NodePoolSpec:
        """What it says to GKE."""
        return derive_node_pool_spec(
            self.capacity, self.machine, self.nodes, self.zones, compact_placement=self.compact_placement
        )


class SystemPool(Settings):
    """Nodes without GPUs, for Ray heads and controllers."""

    machine_type: str = "e2-standard-8"
    """One of config/google/machine_types.py; a head asks for 4 vCPUs and 16 GiB."""
    total_min_nodes: int = Field(default=1, ge=1)
    """Never fewer, over all zones."""
    total_max_nodes: int = Field(default=6, ge=1)
    """Never more, over all zones."""

    @field_validator("machine_type")
    @classmethod
    def _known(cls, name: str) -> str:
        return machine_types.cpu_machine_type(name).name

    @model_validator(mode="after")
    def _bounds(self) -> SystemPool:
        if self.total_min_nodes > self.total_max_nodes:
            raise capacity.BOUNDS.error(low=self.total_min_nodes, high=self.total_max_nodes)
        return self

    @property
    def machine(self) -> MachineType:
        """Its machine type's row of the table."""
        return machine_types.cpu_machine_type(self.machine_type)

    @property
    def peak_nodes(self) -> int:
        """The most nodes, with one spare in each of three zones while they are upgraded."""
        return self.total_max_nodes + 3
