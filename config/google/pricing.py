"""Count GPUs and the monthly cost of node pools, from their Pulumi inputs and dated list prices (machine_types.py).

A price that the table does not have is unknown. It is reported as unknown and never counted as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.google.machine_types import CPU_MACHINE_TYPES, GPU_MACHINE_TYPES, CapacityKind, Price

HOURS_PER_MONTH = 730
RESERVED = CapacityKind.RESERVATION
"""A node pool's inputs do not show whether its reservation is a calendar reservation, so both get the price of this
kind, if there is one."""
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Pulumi's placeholder for a value that it does not know before the update."""


@dataclass(frozen=True)
class PricedNodePool:
    """A node pool, as far as GPUs and prices are concerned."""

    name: str
    region: str
    machine_type: str
    capacity_kind: str
    """A `CapacityKind`; GKE calls it a consumption option."""
    min_nodes: int | None
    """Over all zones; None if Pulumi does not know it yet."""
    max_nodes: int | None
    gpu_model: str | None
    """None: a pool without GPUs."""
    gpus_per_node: int | None
    """None if Pulumi does not know it yet."""

    @classmethod
    def from_inputs(cls, name: str, inputs: Mapping[str, Any]) -> PricedNodePool:
        """Return the node pool that these inputs of gcp.container.NodePool describe."""
        config = _mapping(inputs.get("nodeConfig"))
        machine_type = _text(config.get("machineType")) or "unknown machine type"
        row = GPU_MACHINE_TYPES.get(machine_type)
        guests = config.get("guestAccelerators")
        guest = _mapping(guests[0]) if isinstance(guests, list) and guests else {}
        min_nodes, max_nodes = _nodes(inputs)
        return cls(
            name=name,
            region=_text(inputs.get("location")) or "an unknown region",
            machine_type=machine_type,
            capacity_kind=_capacity_kind(config),
            min_nodes=min_nodes,
            max_nodes=max_nodes,
            gpu_model=_text(guest.get("type")) or _gpu_model(machine_type),
            gpus_per_node=_number(guest.get("count")) if guest else row.gpus if row else None,
        )

    @property
    def price(self) -> Price | None:
        """Price of one node for one hour; None if the table does not have it."""
        known = GPU_MACHINE_TYPES.get(self.machine_type)
        return None if known is None else known.price(CapacityKind(self.capacity_kind))


@dataclass(frozen=True)
class Bounds:
    """A number with the fewest and with the most nodes. None: unknown."""

    low: float | None
    high: float | None

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(_plus(self.low, other.low), _plus(self.high, other.high))

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "unknown"
        return f"{self.low:,.0f}" if self.low == self.high else f"{self.low:,.0f} to {self.high:,.0f}"


ZERO = Bounds(0, 0)


def gpu_counts(pools: Iterable[PricedNodePool]) -> dict[tuple[str, str, str], Bounds]:
    """Return the number of GPUs by (region, GPU model, capacity kind)."""
    found: dict[tuple[str, str, str], Bounds] = {}
    for pool in pools:
        if pool.gpu_model is not None:
            key = (pool.region, pool.gpu_model, pool.capacity_kind)
            own = Bounds(_times(pool.min_nodes, pool.gpus_per_node), _times(pool.max_nodes, pool.gpus_per_node))
            found[key] = found.get(key, ZERO) + own
    return found


def total(bounds: Iterable[Bounds]) -> Bounds:
    """Return the sum. It is unknown if one summand is."""
    return sum(bounds, ZERO)


@dataclass(frozen=True)
class MonthlyCost:
    """List price of GPU nodes for one month (`HOURS_PER_MONTH`)."""

    known: Bounds
    """USD of the pools with a known price."""
    unknown: Sequence[PricedNodePool]
    """Pools without a known price; their cost comes on top."""
    priced: Sequence[PricedNodePool]

    def __str__(self) -> str:
        if not self.priced and not self.unknown:
            return "0 USD"
        if not self.priced:
            return "unknown"
        return f"{self.known} USD" + (" plus unknown prices" if self.unknown else "")


def monthly_cost(pools: Iterable[PricedNodePool]) -> MonthlyCost:
    """Return the monthly cost of the pools with GPUs.

    The table has no prices for pools without GPUs, disks, Redis, load balancers and traffic.
    """
    with_gpus = [pool for pool in pools if pool.gpu_model is not None]
    known, unknown, priced = ZERO, [], []
    for pool in with_gpus:
        price = pool.price
        if pool.max_nodes == 0:
            priced.append(pool)  # no nodes cost nothing at any price
        elif price is None or pool.min_nodes is None or pool.max_nodes is None:
            unknown.append(pool)
        else:
            priced.append(pool)
            month = (count * price.usd * HOURS_PER_MONTH for count in (pool.min_nodes, pool.max_nodes))
            known += Bounds(*month)
    return MonthlyCost(known, tuple(unknown), tuple(priced))


def _gpu_model(machine_type: str) -> str | None:
    """Return None only for a machine type that is known to have no GPU: every other one may have some."""
    if machine_type in CPU_MACHINE_TYPES:
        return None
    if machine_type in GPU_MACHINE_TYPES:
        return GPU_MACHINE_TYPES[machine_type].accelerator.name
    return f"possible GPUs of {machine_type}"


def _capacity_kind(config: Mapping[str, Any]) -> str:
    affinity = _mapping(config.get("reservationAffinity"))
    if affinity.get("consumeReservationType") == "SPECIFIC_RESERVATION":
        return RESERVED
    if config.get("flexStart") is True:
        return CapacityKind.FLEX_START
    return CapacityKind.SPOT if config.get("spot") is True else CapacityKind.ON_DEMAND


def _nodes(inputs: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the least and the most nodes over all zones.

    `nodeCount`, `initialNodeCount`, `minNodeCount` and `maxNodeCount` count the nodes of one zone.
    """
    zones = inputs.get("nodeLocations")
    zone_count = len(zones) if isinstance(zones, list) else None
    if "autoscaling" not in inputs:
        count = _times(_number(inputs.get("nodeCount", inputs.get("initialNodeCount"))), zone_count)
        return count, count
    autoscaling = _mapping(inputs["autoscaling"])
    if "totalMaxNodeCount" in autoscaling:
        return _number(autoscaling.get("totalMinNodeCount", 0)), _number(autoscaling["totalMaxNodeCount"])
    return (
        _times(_number(autoscaling.get("minNodeCount", 0)), zone_count),
        _times(_number(autoscaling.get("maxNodeCount")), zone_count),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    """Return a text; None for any value that Pulumi does not know yet or hides."""
    return value if isinstance(value, str) and value not in (UNKNOWN, "[secret]") else None


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _times(one: int | None, other: int | None) -> int | None:
    return 0 if one == 0 else None if one is None or other is None else one * other


def _plus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
