"""The machine table: what it says agrees with Ray and with Google, and with itself."""

import ast
import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.google.machine_types import (
    CPU_MACHINE_TYPES,
    GPU_MACHINE_TYPES,
    CapacityKind,
    GpuMachineType,
    MachineType,
    cpu_machine_type,
    gpu_machine_type,
)
from paths import CHECKOUT

RAY = sorted((CHECKOUT / ".venv-ray").glob("lib/python3.*/site-packages/ray/util/accelerators/accelerators.py"))
GOOGLES = {
    # machine series: accelerator, boot disk, local SSD in GiB for each GPU
    "g2-standard": ("nvidia-l4", "pd-balanced", 0),
    "g4-standard": ("nvidia-rtx-pro-6000", "hyperdisk-balanced", 0),
    "a3-highgpu": ("nvidia-h100-80gb", "pd-balanced", 750),
    "a3-megagpu": ("nvidia-h100-mega-80gb", "pd-balanced", 750),
    "a3-ultragpu": ("nvidia-h200-141gb", "hyperdisk-balanced", 1500),
    "a4-highgpu": ("nvidia-b200", "hyperdisk-balanced", 1500),
}
GPUS = {
    **{f"g2-standard-{vcpus}": 1 for vcpus in (4, 8, 12, 16, 32)},
    **{"g2-standard-24": 2, "g2-standard-48": 4, "g2-standard-96": 8},
    **{f"g4-standard-{48 * gpus}": gpus for gpus in (1, 2, 4, 8)},
    **{f"a3-highgpu-{gpus}g": gpus for gpus in (1, 2, 4, 8)},
    **{"a3-megagpu-8g": 8, "a3-ultragpu-8g": 8, "a4-highgpu-8g": 8},
}
every_machine = pytest.mark.parametrize("machine", GPU_MACHINE_TYPES.values(), ids=GPU_MACHINE_TYPES)


def test_the_seeds_machine_is_eight_b200() -> None:
    a4 = gpu_machine_type("a4-highgpu-8g")
    assert (a4.gpus, a4.accelerator.name, a4.accelerator.ray_accelerator_type, a4.accelerator.memory_gib) == (
        8,
        "nvidia-b200",
        "B200",
        180,
    )
    assert (a4.vcpus, a4.memory_gib, a4.gpu_memory_gib, a4.local_ssds, a4.local_ssd_gib) == (224, 3968, 1440, 32, 12000)
    assert (a4.boot_disk_type, a4.min_gke_version, a4.accelerator.min_driver_branch) == (
        "hyperdisk-balanced",
        "1.32.1-gke.1729000",
        570,
    )
    assert a4.rdma


def test_the_table_has_the_machine_types_that_google_has() -> None:
    assert {name: machine.gpus for name, machine in GPU_MACHINE_TYPES.items()} == GPUS


@every_machine
def test_a_machine_has_the_accelerator_and_disks_of_its_series(machine: GpuMachineType) -> None:
    accelerator, boot_disk, local_ssd_gib = GOOGLES[machine.name.rpartition("-")[0]]
    assert machine.accelerator.name == accelerator
    assert machine.boot_disk_type == boot_disk
    assert machine.local_ssd_gib == local_ssd_gib * machine.gpus


@pytest.mark.skipif(not RAY, reason="not run: .venv-ray does not hold Ray")
@every_machine
def test_ray_knows_the_accelerator_by_that_name(machine: GpuMachineType) -> None:
    tree = ast.parse(RAY[0].read_text())
    known = {
        node.value.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    assert machine.accelerator.ray_accelerator_type in known


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("g2-standard-8", {"reservation", "spot", "flex_start", "on_demand"}),
        ("g4-standard-384", {"reservation", "spot", "flex_start", "on_demand"}),
        ("a3-highgpu-4g", {"spot", "flex_start"}),
        ("a3-highgpu-8g", {"reservation", "calendar_mode", "spot", "flex_start", "on_demand"}),
        ("a3-ultragpu-8g", {"reservation", "calendar_mode", "spot", "flex_start"}),
        ("a4-highgpu-8g", {"reservation", "calendar_mode", "spot", "flex_start"}),
    ],
)
def test_a_machine_is_had_only_in_the_ways_that_google_offers(name: str, kinds: set[str]) -> None:
    assert gpu_machine_type(name).capacity_kinds == kinds


@every_machine
def test_prices_are_dated_placed_and_only_of_kinds_that_exist(machine: GpuMachineType) -> None:
    for kind, price in machine.prices.items():
        assert kind in machine.capacity_kinds
        assert price.usd > 0
        assert price.as_of <= date.today()
        assert price.source
        assert re.fullmatch(r"[a-z]+-[a-z]+\d", price.region)


def test_an_unknown_price_is_none_and_a_known_one_is_not() -> None:
    a4 = gpu_machine_type("a4-highgpu-8g")
    assert a4.price(CapacityKind.RESERVATION) is None
    assert (flex := a4.price(CapacityKind.FLEX_START)) is not None
    assert flex.usd == 64.44


@every_machine
def test_zones_are_zones_each_once(machine: GpuMachineType) -> None:
    assert len(set(machine.zones)) == len(machine.zones)
    for zone in machine.zones:
        assert re.fullmatch(r"[a-z]+-[a-z]+\d+-[a-f]", zone)


@pytest.mark.parametrize(
    ("vcpus", "memory_gib", "pods_vcpus", "pods_memory_gib"),
    [
        (1, 4, 0.94, 4 - 1 - 100 / 1024),
        (4, 16, 3.92, 16 - 2.6 - 100 / 1024),
        (8, 64, 7.91, 59824.5 / 1024 + 0.1 / 1024),  # 64 GiB: 5611.5 MiB kept by GKE, 100 MiB by the eviction threshold
        (224, 3968, 223.37, 3968 - (1 + 0.8 + 0.8 + 6.72 + 76.8) - 100 / 1024),
    ],
)
def test_gke_keeps_what_its_documentation_says(
    vcpus: int, memory_gib: float, pods_vcpus: float, pods_memory_gib: float
) -> None:
    shape = MachineType("example", vcpus, memory_gib, "pd-balanced")
    assert shape.allocatable_vcpus == pytest.approx(pods_vcpus)
    assert shape.allocatable_memory_gib == pytest.approx(pods_memory_gib, abs=0.001)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(2, 4000))
def test_a_larger_machine_leaves_more_for_pods_and_never_all(vcpus: int, memory_gib: int) -> None:
    shape = MachineType("example", vcpus, memory_gib, "pd-balanced")
    larger = MachineType("larger", vcpus + 1, memory_gib + 1, "pd-balanced")
    assert 0 < shape.allocatable_vcpus < vcpus
    assert 0 < shape.allocatable_memory_gib < memory_gib
    assert shape.allocatable_vcpus < larger.allocatable_vcpus
    assert shape.allocatable_memory_gib < larger.allocatable_memory_gib


def test_machine_types_for_heads_have_no_gpu_and_need_no_row_among_those_that_have() -> None:
    assert not set(CPU_MACHINE_TYPES) & set(GPU_MACHINE_TYPES)
    assert not isinstance(cpu_machine_type("e2-standard-8"), GpuMachineType)
    assert cpu_machine_type("n4-standard-16").boot_disk_type == "hyperdisk-balanced"


@pytest.mark.parametrize(("name", "close"), [("a4-highgpu-4g", "a4-highgpu-8g"), ("nothing like it", "g2-standard-4")])
def test_an_unknown_machine_type_is_refused_with_the_closest(name: str, close: str) -> None:
    with pytest.raises(ValueError, match=f"unknown machine type {name}.*Write one of .*{close}"):
        gpu_machine_type(name)
