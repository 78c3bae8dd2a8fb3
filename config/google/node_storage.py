"""Storage of a GKE node for pods: the boot disk, or the local SSDs of machine types that have some.

Source: GKE, "Plan node sizes", local ephemeral storage reservation. A node with a boot disk of 100 GiB has 94.3 GiB of
file system, and reports 43.9 GiB as allocatable.
"""

from __future__ import annotations

BOOT_PARTITIONS_GIB = 6
"""GiB of a boot disk outside the file system that pods use: Container-Optimized OS."""
SSD_SHARE = 0.98
"""Share of local SSDs that is left by the file system over them."""
EVICTION_SHARE = 0.1
"""The kubelet evicts pods when less than this share of the file system is free."""
IMAGES_GIB = 32
"""GiB of container images on the node, unpacked: Ray's LLM image takes most of it (an estimate)."""
MAX_RESERVED_GIB = 100
SSD_RESERVED_GIB = {1: 50, 2: 75}
"""Local SSDs -> GiB that GKE reserves; MAX_RESERVED_GIB from three on."""


def allocatable_storage_gib(boot_disk_gib: int, local_ssds: int, local_ssd_gib: int) -> float:
    """Return the GiB of ephemeral storage that GKE lets pods of a node request."""
    file_system, reserved = _file_system(boot_disk_gib, local_ssds, local_ssd_gib)
    return max(file_system * (1 - EVICTION_SHARE) - reserved, 0.0)


def pod_storage_gib(boot_disk_gib: int, local_ssds: int, local_ssd_gib: int) -> float:
    """Return the GiB of ephemeral storage that pods of a node can request, without the room that images need.

    `boot_disk_gib`: size of the boot disk. `local_ssds`, `local_ssd_gib`: number of local SSDs, and their total size.
    Images are on the same file system as pods. GKE's reservation holds them, unless the boot disk is small.
    """
    file_system, reserved = _file_system(boot_disk_gib, local_ssds, local_ssd_gib)
    return max(file_system * (1 - EVICTION_SHARE) - max(reserved, IMAGES_GIB), 0.0)


def _file_system(boot_disk_gib: int, local_ssds: int, local_ssd_gib: int) -> tuple[float, float]:
    """Return the GiB of the file system of pods, and what GKE reserves of them."""
    if local_ssds:
        return local_ssd_gib * SSD_SHARE, SSD_RESERVED_GIB.get(local_ssds, MAX_RESERVED_GIB)
    reserved = min(0.5 * boot_disk_gib, 6 + 0.35 * boot_disk_gib, MAX_RESERVED_GIB)
    return boot_disk_gib - BOOT_PARTITIONS_GIB, reserved


def boot_disk_for(storage_gib: float) -> int:
    """Return the smallest boot disk, in steps of 10 GiB, that leaves `storage_gib` to pods."""
    size = 10
    while pod_storage_gib(size, 0, 0) < storage_gib:
        size += 10
    return size
