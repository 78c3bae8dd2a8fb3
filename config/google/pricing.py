"""GPUs, dollars and quota of node pools, from what a plan says of them and dated list prices (machine_types.py).

A price that the table does not have is unknown, and said to be; it is never taken for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.google.machine_types import CPU_MACHINE_TYPES, GPU_MACHINE_TYPES, CapacityKind, Price

HOURS = 730
"""Of a month."""
RESERVED = CapacityKind.RESERVATION
"""A plan does not tell a calendar reservation from another, so both have the price of this kind, if any."""


@dataclass(frozen=True)
class Pool:
    """A node pool, as far as GPUs and prices go."""

    name: str
    region: str
    machine: str
    had_by: str
    """A `CapacityKind`."""
    low: int | None
    """Fewest nodes; None where the plan does not know yet."""
    high: int | None
    accelerator: str | None
    """None: a pool without GPUs."""
    gpus: int | None
    """Of one node; None where the plan does not know."""

    @property
    def price(self) -> Price | None:
        """Of one node and one hour; None where it is unknown."""
        known = GPU_MACHINE_TYPES.get(self.machine)
        return None if known is None else known.price(CapacityKind(self.had_by))


@dataclass(frozen=True)
class Range:
    """From the fewest nodes to the most. None: unknown."""

    low: float | None
    high: float | None

    def __add__(self, other: Range) -> Range:
        return Range(_plus(self.low, other.low), _plus(self.high, other.high))

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "unknown"
        return f"{self.low:,.0f}" if self.low == self.high else f"{self.low:,.0f} to {self.high:,.0f}"


NOTHING = Range(0, 0)


def pool(name: str, inputs: Mapping[str, Any]) -> Pool:
    """What a node pool's inputs say (gcp.container.NodePool)."""
    config = _mapping(inputs.get("nodeConfig"))
    machine = _text(config.get("machineType")) or "unknown machine type"
    row = GPU_MACHINE_TYPES.get(machine)
    guests = config.get("guestAccelerators")
    guest = _mapping(guests[0]) if isinstance(guests, list) and guests else {}
    low, high = _nodes(inputs)
    return Pool(
        name=name,
        region=_text(inputs.get("location")) or "an unknown region",
        machine=machine,
        had_by=_had_by(config),
        low=low,
        high=high,
        accelerator=_text(guest.get("type")) or _accelerator(machine),
        gpus=_number(guest.get("count")) if guest else row.gpus if row else None,
    )


def gpus(pools: Iterable[Pool]) -> dict[tuple[str, str, str], Range]:
    """(region, GPU model, how it is had) -> how many."""
    found: dict[tuple[str, str, str], Range] = {}
    for each in pools:
        if each.accelerator is not None:
            key = (each.region, each.accelerator, each.had_by)
            own = Range(_times(each.low, each.gpus), _times(each.high, each.gpus))
            found[key] = found.get(key, NOTHING) + own
    return found


def total(ranges: Iterable[Range]) -> Range:
    """The sum; unknown where a part is."""
    return sum(ranges, NOTHING)


@dataclass(frozen=True)
class Month:
    """What GPU nodes cost in a month at list prices."""

    known: Range
    """USD of the pools whose price is known."""
    unknown: Sequence[Pool]
    """The others: they cost something on top."""
    priced: Sequence[Pool]

    def __str__(self) -> str:
        if not self.priced and not self.unknown:
            return "0 USD"
        if not self.priced:
            return "unknown"
        return f"{self.known} USD" + (" and what is unknown" if self.unknown else "")


def month(pools: Iterable[Pool]) -> Month:
    """Of the pools with GPUs. Pools without, disks, Redis, load balancers and traffic are not in the table."""
    with_gpus = [each for each in pools if each.accelerator is not None]
    known, unknown, priced = NOTHING, [], []
    for each in with_gpus:
        price = each.price
        if each.high == 0:
            priced.append(each)  # no node: nothing to pay, whatever the price
        elif price is None or each.low is None or each.high is None:
            unknown.append(each)
        else:
            priced.append(each)
            known += Range(each.low * price.usd * HOURS, each.high * price.usd * HOURS)
    return Month(known, tuple(unknown), tuple(priced))


def _accelerator(machine: str) -> str | None:
    """None only of a machine type that is known to have none: any other may have some."""
    if machine in CPU_MACHINE_TYPES:
        return None
    return (
        GPU_MACHINE_TYPES[machine].accelerator.name
        if machine in GPU_MACHINE_TYPES
        else f"GPUs of {machine}, if it has any,"
    )


def _had_by(config: Mapping[str, Any]) -> str:
    affinity = _mapping(config.get("reservationAffinity"))
    if affinity.get("consumeReservationType") == "SPECIFIC_RESERVATION":
        return RESERVED
    if config.get("flexStart") is True:
        return CapacityKind.FLEX_START
    return CapacityKind.SPOT if config.get("spot") is True else CapacityKind.ON_DEMAND


def _nodes(inputs: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Over all zones; static sizes and the older bounds of the autoscaler are for each zone."""
    zones = inputs.get("nodeLocations")
    places = len(zones) if isinstance(zones, list) else None
    if "autoscaling" not in inputs:
        count = _times(_number(inputs.get("nodeCount", inputs.get("initialNodeCount"))), places)
        return count, count
    bounds = _mapping(inputs["autoscaling"])
    if "totalMaxNodeCount" in bounds:
        return _number(bounds.get("totalMinNodeCount", 0)), _number(bounds["totalMaxNodeCount"])
    return (
        _times(_number(bounds.get("minNodeCount", 0)), places),
        _times(_number(bounds.get("maxNodeCount")), places),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    """None for anything that the engine does not know yet: its mark is a UUID of its own."""
    return value if isinstance(value, str) and value not in (UNKNOWN, "[secret]") else None


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _times(one: int | None, other: int | None) -> int | None:
    return 0 if one == 0 else None if one is None or other is None else one * other


def _plus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's mark of a value that it does not know before the update."""
