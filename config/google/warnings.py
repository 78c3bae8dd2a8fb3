"""Warnings about Google settings that work, but may not do what the user wants."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

from config.google.capacity import CalendarMode, Capacity, Reservation
from config.google.region_names import REGIONS
from config.spelling import find_misspelt

if TYPE_CHECKING:
    from config.google.infra import GoogleInfra

EXPIRY_NOTICE = timedelta(days=14)


def find_warnings(infra: GoogleInfra, today: date | None = None) -> Iterator[str]:
    """Yield one sentence for each warning. `today` defaults to the date of the local host."""
    yield from _expiry_warnings(infra, today or date.today())
    armor = infra.gateway.cloud_armor
    if armor and any(not each.prefixlen for each in armor.allowed_ip_ranges):
        yield (
            "infra.gateway.cloud_armor.allowed_ip_ranges: 0.0.0.0/0 allows everyone, and the models require no key. "
            f"Write the ranges of your clients, or accept {armor.rate_limit_per_minute} requests a minute from each "
            "address on the internet."
        )
    for index, region in enumerate(infra.regions):
        if region.name not in REGIONS:
            meant = find_misspelt(region.name, REGIONS)
            hint = f"Did you mean {meant}?" if meant else "Check the name."
            yield f"infra.regions[{index}].name: config/google/region_names.py does not list {region.name}. {hint}"
        for j, pool in enumerate(region.node_pools):
            known = pool.machine.zones
            for zone in pool.zones:
                if known and zone not in known:
                    yield (
                        f"infra.regions[{index}].node_pools[{j}].zones: config/google/machine_types.py does not list "
                        f"{pool.machine_type} in {zone}. Known zones: {', '.join(known)}."
                    )


def reservation_warnings(capacity: Capacity, today: date) -> Iterator[str]:
    """Yield a sentence for a reservation that has ended, ends soon, or is not active as the settings say."""
    if not isinstance(capacity, Reservation | CalendarMode):
        return
    name, end = capacity.name, capacity.end_date
    if end is not None and end < today:
        yield f"reservation {name} ended on {end}, and Google removed its VMs. Write another one, or remove the pool."
    elif end is not None and end - today <= EXPIRY_NOTICE:
        yield (
            f"reservation {name} ends on {end}, and Google then removes its VMs. Prepare another one, or drain the "
            f"region before."
        )
    if isinstance(capacity, CalendarMode):
        start = capacity.start_date
        if capacity.active and start > today:
            yield f"reservation {name} starts on {start}, and `pulumi up` would wait for it. Write `active: false`."
        elif start <= today and not capacity.active and capacity.end_date >= today:
            yield f"reservation {name} started on {start}, and the pool has 0 nodes. Write `active: true`."


def _expiry_warnings(infra: GoogleInfra, today: date) -> Iterator[str]:
    """Yield warnings about single reservations, and about reservations of all regions that end in the same week."""
    weeks: dict[str, set[tuple[int, int]]] = {}
    for i, region in enumerate(infra.regions):
        for j, pool in enumerate(region.node_pools):
            for warning in reservation_warnings(pool.capacity, today):
                yield f"infra.regions[{i}].node_pools[{j}].capacity: {warning}"
            if pool.spec.end_date is not None:
                weeks.setdefault(region.name, set()).add(pool.spec.end_date.isocalendar()[:2])
    if len(weeks) == len(infra.regions) > 1 and (common := set.intersection(*weeks.values())):
        year, week = min(common)
        yield (
            f"infra.regions: reservations of every region end in week {week} of {year}, and all GPUs would go at once. "
            f"Extend one of them, or add another node pool."
        )
