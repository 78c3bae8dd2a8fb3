"""Machine types that a node pool may use: GPUs, memory, disks, consumption options and prices. Add a type here.

Sources. Sizes, disks and local SSDs: Compute Engine's "Accelerator-optimized machine family". Consumption options: the
same page with AI Hypercomputer's "Choose a consumption option" (2026-04-06). Minimum driver and GKE versions: GKE's
"Run GPUs in Standard node pools", "Deploy GPU workloads in Autopilot" and "Create an AI-optimized GKE cluster". The
table leaves out what no source says.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from config.issues import Rule


class CapacityKind(StrEnum):
    """Values of `capacity.kind` (GKE: consumption options); config/google/capacity.py describes them."""

    RESERVATION = "reservation"
    CALENDAR_MODE = "calendar_mode"
    SPOT = "spot"
    FLEX_START = "flex_start"
    ON_DEMAND = "on_demand"


@dataclass(frozen=True)
class GpuModel:
    """A GPU model."""

    name: str
    """Google's name: acceleratorType, and the node label cloud.google.com/gke-accelerator."""
    ray_accelerator_type: str
    """Ray's name: accelerator_type of an LLMConfig (ray.util.accelerators)."""
    memory_gib: float
    """Of one GPU, in GiB."""
    min_driver_branch: int
    """Oldest NVIDIA driver branch that supports it."""


@dataclass(frozen=True)
class Price:
    """List price of one VM for one hour in USD, without commitments."""

    usd: float
    as_of: date
    region: str
    source: str


@dataclass(frozen=True)
class MachineType:
    """A machine type without GPUs, and the base of the types with GPUs."""

    name: str
    vcpus: int
    memory_gib: float
    boot_disk_type: str
    """Disk type that the machine type can boot from: newer types do not support Persistent Disk."""

    @property
    def allocatable_vcpus(self) -> float:
        """vCPUs that pods can request."""
        return allocatable(self.vcpus, self.memory_gib)[0]

    @property
    def allocatable_memory_gib(self) -> float:
        """GiB of memory that pods can request."""
        return allocatable(self.vcpus, self.memory_gib)[1]


def allocatable(vcpus: int, memory_gib: float) -> tuple[float, float]:
    """Return the vCPUs and GiB that pods can request on a node: the machine's less GKE's reservation, for at most 110
    pods a node, and less the eviction threshold of 100 MiB (GKE, Plan node sizes).

    The memory is an upper limit: the kernel reserves about 0.3 % more, and image streaming and every DaemonSet use
    some.
    """
    return vcpus - _share(vcpus, CPU_RESERVED), memory_gib - _share(memory_gib, MEMORY_RESERVED) - 100 / 1024


CPU_RESERVED = ((1, 0.06), (2, 0.01), (4, 0.005), (float("inf"), 0.0025))
MEMORY_RESERVED = ((4, 0.25), (8, 0.20), (16, 0.10), (128, 0.06), (float("inf"), 0.02))
"""GKE's reservation in steps: (vCPUs or GiB up to this amount, share of this step)."""


def _share(amount: float, pieces: Iterable[tuple[float, float]]) -> float:
    kept, low = 0.0, 0.0
    for high, share in pieces:
        kept += max(min(amount, high) - low, 0) * share
        low = high
    return kept


@dataclass(frozen=True)
class GpuMachineType(MachineType):
    """A machine type with GPUs."""

    accelerator: GpuModel
    gpus: int
    capacity_kinds: frozenset[CapacityKind]
    """Consumption options that Google offers for it."""
    min_gke_version: str | None = None
    """Oldest GKE version that supports it; None if every supported version does."""
    local_ssds: int = 0
    """Local SSDs of the machine type, 375 GiB each. They are optional for G2 and G4, and this stack adds none."""
    rdma: bool = False
    """RDMA network cards (RoCE) beside the gVNIC; useful only to a replica that uses several nodes."""
    compact_placement: bool = False
    """True if compact placement helps: VMs communicate faster than a gVNIC."""
    zones: tuple[str, ...] = ()
    """Known zones; not complete, and empty if not looked up."""
    prices: Mapping[CapacityKind, Price] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Known list prices; the price of a missing kind is unknown."""

    @property
    def gpu_memory_gib(self) -> float:
        """GPU memory of all GPUs, in GiB."""
        return self.gpus * self.accelerator.memory_gib

    @property
    def local_ssd_gib(self) -> int:
        """Size of all local SSDs, in GiB."""
        return 375 * self.local_ssds

    def price(self, kind: CapacityKind) -> Price | None:
        """Return the list price of one hour, or None if it is unknown."""
        return self.prices.get(kind)


L4 = GpuModel("nvidia-l4", "L4", 24, 535)
RTX_PRO_6000 = GpuModel("nvidia-rtx-pro-6000", "RTX-PRO-6000", 96, 580)
H100 = GpuModel("nvidia-h100-80gb", "H100", 80, 535)
H100_MEGA = GpuModel("nvidia-h100-mega-80gb", "H100", 80, 535)
H200 = GpuModel("nvidia-h200-141gb", "H200", 141, 550)
B200 = GpuModel("nvidia-b200", "B200", 180, 570)

HYPERDISK = "hyperdisk-balanced"
PERSISTENT_DISK = "pd-balanced"

ALL_CAPACITY_KINDS = frozenset(CapacityKind)
WITHOUT_CALENDAR = ALL_CAPACITY_KINDS - {CapacityKind.CALENDAR_MODE}
WITHOUT_ON_DEMAND = ALL_CAPACITY_KINDS - {CapacityKind.ON_DEMAND}
SPOT_OR_FLEX_START = frozenset({CapacityKind.SPOT, CapacityKind.FLEX_START})

# skypilot-org/skypilot-catalog, catalogs/v8/gcp/vms.csv (undated)
A3_HIGH_ZONES = """
    asia-east1-c asia-northeast1-b asia-south1-c asia-south2-b asia-southeast1-b asia-southeast1-c
    australia-southeast1-c europe-north1-c europe-west1-b europe-west1-c europe-west3-c europe-west4-b europe-west4-c
    europe-west9-c us-central1-a us-central1-b us-central1-c us-east4-a us-east4-b us-east4-c us-east5-a us-west1-a
    us-west1-b us-west4-a
"""
A3_MEGA_ZONES = """
    asia-east1-c asia-northeast1-b asia-southeast1-b asia-southeast1-c australia-southeast1-c europe-north1-c
    europe-west1-b europe-west1-c europe-west3-c europe-west4-b europe-west4-c us-central1-a us-central1-b
    us-central1-c us-east4-a us-east4-b us-east4-c us-east5-a us-west1-a us-west1-b us-west4-a
"""
A3_ULTRA_ZONES = """
    asia-south1-b asia-south2-c europe-west1-b europe-west4-a us-central1-b us-east4-b us-east5-a us-south1-b
    us-west1-c
"""
A4_ZONES = """
    asia-northeast1-b asia-southeast1-b europe-north1-b europe-west4-b us-central1-b us-east1-b us-east4-b
    us-south1-b us-west2-c us-west3-b us-west3-c
"""


def _prices(**usd: float) -> Mapping[CapacityKind, Price]:
    source = "Google's price page, read second hand"
    return MappingProxyType(
        {CapacityKind(kind): Price(price, date(2026, 9, 1), "us-central1", source) for kind, price in usd.items()}
    )


def _g2(vcpus: int, gpus: int, **usd: float) -> GpuMachineType:
    return GpuMachineType(
        f"g2-standard-{vcpus}",
        vcpus,
        4 * vcpus,
        PERSISTENT_DISK,
        accelerator=L4,
        gpus=gpus,
        capacity_kinds=WITHOUT_CALENDAR,
        prices=_prices(**usd),
    )


def _g4(gpus: int, **usd: float) -> GpuMachineType:
    return GpuMachineType(
        f"g4-standard-{48 * gpus}",
        48 * gpus,
        180 * gpus,
        HYPERDISK,
        accelerator=RTX_PRO_6000,
        gpus=gpus,
        capacity_kinds=WITHOUT_CALENDAR,
        min_gke_version="1.34.0-gke.1662000",
        prices=_prices(**usd),
    )


def _a3_high(gpus: int, **usd: float) -> GpuMachineType:
    return GpuMachineType(
        f"a3-highgpu-{gpus}g",
        26 * gpus,
        234 * gpus,
        PERSISTENT_DISK,
        accelerator=H100,
        gpus=gpus,
        capacity_kinds=ALL_CAPACITY_KINDS if gpus == 8 else SPOT_OR_FLEX_START,
        min_gke_version="1.28.6-gke.1369000",
        local_ssds=2 * gpus,
        compact_placement=gpus == 8,
        zones=tuple(A3_HIGH_ZONES.split()),
        prices=_prices(**usd),
    )


GPU_MACHINE_TYPES: Mapping[str, GpuMachineType] = MappingProxyType(
    {
        row.name: row
        for row in (
            _g2(4, 1),
            _g2(8, 1, on_demand=0.8536, spot=0.5121),
            _g2(12, 1),
            _g2(16, 1),
            _g2(24, 2),
            _g2(32, 1),
            _g2(48, 4),
            _g2(96, 8),
            _g4(1, on_demand=4.50, spot=1.74),
            _g4(2),
            _g4(4),
            _g4(8),
            _a3_high(1),
            _a3_high(2),
            _a3_high(4),
            _a3_high(8, on_demand=88.49, spot=52.96, flex_start=38.32),
            GpuMachineType(
                "a3-megagpu-8g",
                208,
                1872,
                PERSISTENT_DISK,
                accelerator=H100_MEGA,
                gpus=8,
                capacity_kinds=ALL_CAPACITY_KINDS,
                min_gke_version="1.28.9-gke.1250000",
                local_ssds=16,
                compact_placement=True,
                zones=tuple(A3_MEGA_ZONES.split()),
            ),
            # The price page has an on-demand price too (84.81); the machine page says reserved, spot or flex-start.
            GpuMachineType(
                "a3-ultragpu-8g",
                224,
                2952,
                HYPERDISK,
                accelerator=H200,
                gpus=8,
                capacity_kinds=WITHOUT_ON_DEMAND,
                min_gke_version="1.31.4-gke.1183000",
                local_ssds=32,
                rdma=True,
                compact_placement=True,
                zones=tuple(A3_ULTRA_ZONES.split()),
                prices=_prices(spot=50.87),
            ),
            GpuMachineType(
                "a4-highgpu-8g",
                224,
                3968,
                HYPERDISK,
                accelerator=B200,
                gpus=8,
                capacity_kinds=WITHOUT_ON_DEMAND,
                min_gke_version="1.32.1-gke.1729000",
                local_ssds=32,
                rdma=True,
                compact_placement=True,
                zones=tuple(A4_ZONES.split()),
                prices=_prices(spot=39.63, flex_start=64.44, calendar_mode=90.22),
            ),
        )
    }
)
"""Machine types with GPUs, by name."""

CPU_MACHINE_TYPES: Mapping[str, MachineType] = MappingProxyType(
    {
        (name := f"{family}-standard-{vcpus}"): MachineType(name, vcpus, 4 * vcpus, disk)
        for family, disk in (("e2", PERSISTENT_DISK), ("n2", PERSISTENT_DISK), ("n4", HYPERDISK))
        for vcpus in (4, 8, 16, 32)
    }
)
"""Machine types without GPUs, for Ray heads and controllers."""

MACHINE_TYPE_UNKNOWN = Rule(
    "infra.machine-type-unknown",
    problem="unknown machine type {name}",
    reason="config/google/machine_types.py defines sizes, prices and consumption options, and does not list it",
    fix="Write one of {close}, or add it to that file",
)

Row = TypeVar("Row", bound=MachineType)


def gpu_machine_type(name: str) -> GpuMachineType:
    """Return the machine type with GPUs. Raises a pydantic error, which is a `ValueError`, for an unknown `name`."""
    return _row(name, GPU_MACHINE_TYPES)


def cpu_machine_type(name: str) -> MachineType:
    """Return the machine type without GPUs. Raises a pydantic error, which is a `ValueError`, for an unknown `name`."""
    return _row(name, CPU_MACHINE_TYPES)


def _row(name: str, table: Mapping[str, Row]) -> Row:
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name, table, n=3) or list(table)
    raise MACHINE_TYPE_UNKNOWN.error(name=name, close=", ".join(close))
