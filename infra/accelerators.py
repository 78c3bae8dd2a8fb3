"""GPU machine types that a pool may use: what they have, how they can be had, and what they cost. One table."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from schema import Rule


class CapacityKind(StrEnum):
    """How nodes are had."""

    RESERVATION = "reservation"
    CALENDAR = "calendar"
    SPOT = "spot"
    FLEX_START = "flex_start"
    ON_DEMAND = "on_demand"


@dataclass(frozen=True)
class Accelerator:
    """A GPU model."""

    name: str
    """Google's, as in the node label cloud.google.com/gke-accelerator."""
    ray: str
    """Ray's, as in LLMConfig's accelerator_type (ray.util.accelerators)."""
    memory_gib: float
    """Of one GPU."""
    driver_floor: str
    """Oldest NVIDIA driver branch that knows it."""
    rdma: bool = False
    """Nodes have RDMA network cards beside the gVNIC."""


@dataclass(frozen=True)
class Price:
    """A list price for one VM and one hour."""

    usd: float
    as_of: date
    region: str
    source: str


@dataclass(frozen=True)
class MachineShape:
    """What every machine type has."""

    name: str
    vcpus: int
    memory_gib: float
    boot_disk_type: str

    @property
    def allocatable_vcpus(self) -> float:
        """vCPUs left for pods after GKE's own."""
        left = min(self.vcpus, 1) * 0.06 + (self.vcpus > 1) * 0.01 + min(max(self.vcpus - 2, 0), 2) * 0.005
        return self.vcpus - left - max(self.vcpus - 4, 0) * 0.0025

    @property
    def allocatable_memory_gib(self) -> float:
        """Memory left for pods after GKE's own and the eviction threshold."""
        reserved, low = 0.1, 0.0
        for top, share in ((4, 0.25), (8, 0.20), (16, 0.10), (128, 0.06), (float("inf"), 0.02)):
            reserved += max(min(self.memory_gib, top) - low, 0) * share
            low = top
        return self.memory_gib - reserved


@dataclass(frozen=True)
class MachineType(MachineShape):
    """A machine type with GPUs."""

    accelerator: Accelerator
    gpus: int
    kinds: frozenset[CapacityKind]
    """How it can be had at all."""
    gke_floor: str
    """Oldest GKE version whose nodes run it."""
    local_ssds: int = 0
    local_ssd_gib: int = 0
    """All of them together."""
    compact_placement: bool = False
    """Google places its VMs close together on request."""
    zones: tuple[str, ...] = ()
    """Where it is known to be; not complete."""
    prices: Mapping[CapacityKind, Price] = field(default_factory=dict)
    """List prices; a kind that is missing has no known price."""


L4 = Accelerator("nvidia-l4", "L4", 24, "R525")
RTX_PRO_6000 = Accelerator("nvidia-rtx-pro-6000", "RTX-PRO-6000", 96, "R580")
H100 = Accelerator("nvidia-h100-80gb", "H100", 80, "R535")
H100_MEGA = Accelerator("nvidia-h100-mega-80gb", "H100", 80, "R535", rdma=False)
H200 = Accelerator("nvidia-h200-141gb", "H200", 141, "R550", rdma=True)
B200 = Accelerator("nvidia-b200", "B200", 180, "R570", rdma=True)

_EVERY = frozenset(CapacityKind)
_NOT_ON_DEMAND = _EVERY - {CapacityKind.ON_DEMAND}
_ELASTIC_ONLY = frozenset({CapacityKind.SPOT, CapacityKind.FLEX_START})
_NO_CALENDAR = _EVERY - {CapacityKind.CALENDAR}


def _rows() -> list[MachineType]:
    rows = [
        MachineType(f"g2-standard-{n}", n, 4 * n, "pd-balanced", L4, gpus, _NO_CALENDAR, "1.26")
        for n, gpus in ((4, 1), (8, 1), (12, 1), (16, 1), (24, 2), (32, 1), (48, 4), (96, 8))
    ]
    rows += [
        MachineType(
            f"g4-standard-{48 * n}", 48 * n, 180 * n, "hyperdisk-balanced", RTX_PRO_6000, n, _NO_CALENDAR, "1.34"
        )
        for n in (1, 2, 4, 8)
    ]
    rows += [
        MachineType(
            f"a3-highgpu-{n}g",
            26 * n,
            234 * n,
            "pd-balanced",
            H100,
            n,
            _ELASTIC_ONLY if n < 8 else _EVERY,
            "1.28",
            2 * n,
            750 * n,
        )
        for n in (1, 2, 4, 8)
    ]
    rows += [
        MachineType("a3-megagpu-8g", 208, 1872, "pd-balanced", H100_MEGA, 8, _EVERY, "1.28", 16, 6000, True),
        MachineType("a3-ultragpu-8g", 224, 2952, "hyperdisk-balanced", H200, 8, _EVERY, "1.31", 32, 12000, True),
        MachineType(
            "a4-highgpu-8g",
            224,
            3968,
            "hyperdisk-balanced",
            B200,
            8,
            _NOT_ON_DEMAND,
            "1.32.1-gke.1729000",
            32,
            12000,
            True,
        ),
    ]
    return rows


MACHINE_TYPES: Mapping[str, MachineType] = MappingProxyType({row.name: row for row in _rows()})

SYSTEM_MACHINE_TYPES: Mapping[str, MachineShape] = MappingProxyType(
    {
        f"{family}-standard-{n}": MachineShape(f"{family}-standard-{n}", n, 4 * n, disk)
        for family, disk in (("e2", "pd-balanced"), ("n2", "pd-balanced"), ("n4", "hyperdisk-balanced"))
        for n in (4, 8, 16, 32)
    }
)
"""For heads and controllers."""

UNKNOWN = Rule(
    "accelerators.unknown-machine-type",
    wrong="machine type {name} is not in infra/accelerators.py",
    why="GPUs, memory and capacity of a pool come from that table",
    instead="write one of {close}",
)


def machine_type(name: str) -> MachineType:
    """The GPU machine type of that name; a refusal with the closest ones otherwise."""
    return _find(name, MACHINE_TYPES)


def system_machine_type(name: str) -> MachineShape:
    """The machine type without GPUs of that name; a refusal with the closest ones otherwise."""
    return _find(name, SYSTEM_MACHINE_TYPES)


T = TypeVar("T")


def _find(name: str, table: Mapping[str, T]) -> T:
    if found := table.get(name):
        return found
    close = difflib.get_close_matches(name, table, n=4, cutoff=0.4) or sorted(table)
    raise UNKNOWN.refusal(name=name, close=", ".join(close))
