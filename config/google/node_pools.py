"""`infra.regions[].node_pools` and `infra.system_pool`: the node pools of a cluster, with the rules of each pool."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property

from pydantic import Field, field_validator, model_validator

from config import sizing
from config.base import Settings, raise_issues
from config.google import machine_types
from config.google.capacity import (
    MAX_NODES_PER_POOL,
    AutoscaledNodes,
    Capacity,
    ReservedCapacity,
    Sizing,
    node_count_issues,
)
from config.google.machine_types import CapacityKind, GpuMachineType, MachineType
from config.google.node_pool_spec import NodePoolSpec, derive_node_pool_spec, node_bounds
from config.google.node_storage import boot_disk_for, pod_storage_gib
from config.issues import ConfigIssue, Rule

SYSTEM_POOL_NAME = "system"
"""Last part of the system pool's name."""
SYSTEM_PODS_PER_NODE = 110
MIN_SYSTEM_DISK_GIB = 100
MIN_POD_STORAGE_GIB = 20
"""Least ephemeral storage of a GPU node for its worker pod."""

CAPACITY_UNAVAILABLE = Rule(
    "infra.node_pools.capacity-kind-unavailable",
    problem="{kind}",
    reason="Google does not offer {machine} this way",
    fix="Write one of {offered}",
    source="Compute Engine, Accelerator-optimized machine family",
)
ZONES_MISSING = Rule(
    "infra.node_pools.zones-missing",
    problem="no zones",
    reason="{machine} exists in some zones only, and GKE would select the region's default zones",
    fix="Write zones, such as [{example}]",
)
SEVERAL_ZONES = Rule(
    "infra.node_pools.several-zones",
    problem="{count} zones ({zones})",
    reason="{reason} is in one zone",
    fix="Write one zone, and another node pool for each other zone",
)
NODES_MISSING = Rule(
    "infra.node_pools.nodes-missing",
    problem="missing with capacity.kind {kind}",
    reason="only a reservation defines the number of nodes",
    fix="Write `nodes: {{kind: autoscaling, total_max_nodes: N}}`",
)
MIN_NODES_WITHOUT_RESERVATION = Rule(
    "infra.node_pools.min-nodes-without-reservation",
    problem="{nodes} with capacity.kind {kind}",
    reason="Google does not guarantee these VMs, and `pulumi up` would wait or fail on a stockout",
    fix="Write `nodes: {{kind: autoscaling, total_min_nodes: 0, total_max_nodes: N}}`; the autoscaler adds nodes when "
    "pods need them",
)
NODES_EXCEED_RESERVATION = Rule(
    "infra.node_pools.nodes-exceed-reservation",
    problem="{nodes} nodes with capacity.count {count}",
    reason="a node beyond the reservation never arrives",
    fix="Write at most {count} nodes, or the count that the reservation really has",
)
MAX_GPUS_PER_POOL = 1024
"""More than any public Ray Serve deployment has. A typing error of one digit costs millions a month."""
TOO_MANY_GPUS = Rule(
    "infra.node_pools.too-many-gpus",
    problem="{nodes} nodes of {machine} have {gpus} GPUs",
    reason="a node pool has at most {most} GPUs here, to catch a number with a digit too many",
    fix="Write at most {nodes_most}, or make another node pool",
)
COMPACT_PLACEMENT_UNAVAILABLE = Rule(
    "infra.node_pools.compact-placement-unavailable",
    problem="true for {machine} with capacity.kind {kind}",
    reason="{reason}",
    fix="Write `compact_placement: false`, or one of the machine types {able}",
    source="GoogleCloudPlatform/cluster-toolkit, gke-node-pool",
)
BOOT_DISK_TOO_SMALL = Rule(
    "infra.node_pools.boot-disk-too-small",
    problem="{size} GiB",
    reason="the operating system, GKE's reservation and container images leave {left} GiB of it to a worker pod, which "
    "needs {least} GiB for logs, caches and a small model",
    fix="Write {wanted} or more",
    source="GKE, Plan node sizes",
)


class GpuDriverVersion(StrEnum):
    """NVIDIA driver that GKE installs."""

    DEFAULT = "DEFAULT"
    LATEST = "LATEST"


class GpuNodePool(Settings):
    """A node pool with GPUs. To change a setting that replaces the pool while it serves, add a second pool and then
    remove the first one."""

    name: str
    """Last part of the pool's name, which is STACK-REGION-NAME."""
    machine_type: str
    """Machine type of config/google/machine_types.py, such as a4-highgpu-8g. A type with other GPUs replaces the
    pool."""
    zones: tuple[str, ...]
    """Zones of the nodes."""
    capacity: Capacity
    """How the pool gets its nodes. Another kind, reservation or duration replaces the pool."""
    nodes: Sizing | None = None
    """Number of nodes; null for all VMs of a reservation."""
    compact_placement: bool = False
    """Compact placement: VMs close together, useful only to a replica that uses several nodes. A change replaces the
    pool."""
    max_pods_per_node: int = Field(default=32, ge=16, le=256)
    """Pods of one node; GKE reserves twice as many addresses, and few pods run beside a GPU. A change replaces the
    pool."""
    boot_disk_size_gib: int = Field(default=200, ge=50, le=65_536)
    """Size of the boot disk in GiB. If the machine type has no local SSD, it also holds images and weights."""
    gpu_driver_version: GpuDriverVersion = GpuDriverVersion.LATEST
    """NVIDIA driver; images built for CUDA 13 need driver branch 580 or later. A change replaces the pool."""

    @field_validator("machine_type")
    @classmethod
    def _check_machine_type(cls, name: str) -> str:
        return machine_types.gpu_machine_type(name).name

    @model_validator(mode="after")
    def _check(self) -> GpuNodePool:
        return raise_issues(self, self._issues())

    @cached_property
    def machine(self) -> GpuMachineType:
        """The machine type, with GPUs, disks and prices."""
        return machine_types.gpu_machine_type(self.machine_type)

    @cached_property
    def spec(self) -> NodePoolSpec:
        """What the pool tells GKE."""
        return derive_node_pool_spec(
            self.capacity, self.machine, self.nodes, self.zones, compact_placement=self.compact_placement
        )

    def _issues(self) -> Iterator[ConfigIssue]:
        kind, machine = CapacityKind(self.capacity.kind), self.machine
        if kind not in machine.capacity_kinds:
            offered = ", ".join(sorted(machine.capacity_kinds))
            yield CAPACITY_UNAVAILABLE.issue("capacity.kind", kind=kind, machine=machine.name, offered=offered)
        yield from self._zone_issues()
        yield from self._size_issues()
        yield from self._gpu_issues()
        yield from self._disk_issues()
        if self.compact_placement:
            yield from self._compact_placement_issues(kind)

    def _gpu_issues(self) -> Iterator[ConfigIssue]:
        gpus, capacity, nodes = self.machine.gpus, self.capacity, self.nodes
        counts: dict[str, int] = {}
        if isinstance(capacity, ReservedCapacity):
            counts["capacity.count"] = capacity.count
        if nodes is not None:
            autoscaled = isinstance(nodes, AutoscaledNodes)
            counts["nodes.total_max_nodes" if autoscaled else "nodes.count"] = (
                nodes.total_max_nodes if isinstance(nodes, AutoscaledNodes) else nodes.count
            )
        for path, count in counts.items():
            if count * gpus > MAX_GPUS_PER_POOL:
                most = MAX_GPUS_PER_POOL // gpus
                facts = {"machine": self.machine.name, "most": MAX_GPUS_PER_POOL, "nodes_most": most}
                yield TOO_MANY_GPUS.issue(path, nodes=count, gpus=count * gpus, **facts)
                return

    def _zone_issues(self) -> Iterator[ConfigIssue]:
        if not self.zones:
            example = next(iter(self.machine.zones), "us-central1-b")
            yield ZONES_MISSING.issue("zones", machine=self.machine.name, example=example)
        reserved = isinstance(self.capacity, ReservedCapacity)
        if len(set(self.zones)) > 1 and (reserved or self.compact_placement):
            reason = "a reservation" if reserved else "a compact placement"
            yield SEVERAL_ZONES.issue("zones", count=len(self.zones), zones=", ".join(self.zones), reason=reason)

    def _size_issues(self) -> Iterator[ConfigIssue]:
        low, high = node_bounds(self.capacity, self.nodes)
        autoscaled = isinstance(self.nodes, AutoscaledNodes)
        if isinstance(self.capacity, ReservedCapacity):
            if high > self.capacity.count:
                path = "nodes.total_max_nodes" if autoscaled else "nodes.count"
                yield NODES_EXCEED_RESERVATION.issue(path, nodes=high, count=self.capacity.count)
        elif self.nodes is None:
            yield NODES_MISSING.issue("nodes", kind=self.capacity.kind)
        elif low:
            path = "nodes.total_min_nodes" if autoscaled else "nodes.count"
            yield MIN_NODES_WITHOUT_RESERVATION.issue(path, nodes=low, kind=self.capacity.kind)

    def _disk_issues(self) -> Iterator[ConfigIssue]:
        machine, size = self.machine, self.boot_disk_size_gib
        left = pod_storage_gib(size, machine.local_ssds, machine.local_ssd_gib)
        if left < MIN_POD_STORAGE_GIB:
            wanted = boot_disk_for(MIN_POD_STORAGE_GIB)
            yield BOOT_DISK_TOO_SMALL.issue(
                "boot_disk_size_gib", size=size, left=int(left), least=MIN_POD_STORAGE_GIB, wanted=wanted
            )

    def _compact_placement_issues(self, kind: CapacityKind) -> Iterator[ConfigIssue]:
        machine = self.machine
        if not machine.compact_placement:
            reason = "its VMs gain nothing from compact placement"
            able = "a3-highgpu-8g, a3-megagpu-8g, a3-ultragpu-8g or a4-highgpu-8g"
        elif kind is CapacityKind.FLEX_START and not machine.rdma:
            reason = "GKE places flex-start VMs close together only if they have RDMA"
            able = "a3-ultragpu-8g or a4-highgpu-8g"
        else:
            return
        yield COMPACT_PLACEMENT_UNAVAILABLE.issue(
            "compact_placement", machine=machine.name, kind=kind, reason=reason, able=able
        )


class SystemPool(Settings):
    """The node pool without GPUs of each cluster, for Ray heads and controllers."""

    machine_type: str = "e2-standard-8"
    """Machine type of config/google/machine_types.py; a Ray head requests 4 vCPUs and 16 GiB."""
    total_min_nodes: int = Field(default=1, ge=1, le=MAX_NODES_PER_POOL)
    """Fewest nodes, over all zones."""
    total_max_nodes: int = Field(default=6, ge=1, le=MAX_NODES_PER_POOL)
    """Most nodes, over all zones."""

    @field_validator("machine_type")
    @classmethod
    def _check_machine_type(cls, name: str) -> str:
        return machine_types.cpu_machine_type(name).name

    @model_validator(mode="after")
    def _check(self) -> SystemPool:
        return raise_issues(self, node_count_issues(self.total_min_nodes, self.total_max_nodes))

    @property
    def machine(self) -> MachineType:
        """The machine type, with vCPUs and memory."""
        return machine_types.cpu_machine_type(self.machine_type)

    @property
    def boot_disk_size_gib(self) -> int:
        """Size of the boot disk in GiB: room for as many Ray heads as the machine type holds."""
        heads = sizing.heads_per_node(self.machine.vcpus, self.machine.memory_gib)
        return max(MIN_SYSTEM_DISK_GIB, boot_disk_for(heads * sizing.HEAD_DISK_GIB / sizing.REQUESTED_SHARE))

    @property
    def peak_nodes(self) -> int:
        """`total_max_nodes` plus one surge node in each of three zones during an upgrade."""
        return self.total_max_nodes + 3
