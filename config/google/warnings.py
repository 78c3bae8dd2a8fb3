"""Warnings of the Google settings: what works today and needs a second look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from config.google.capacity import Calendar, Capacity, Reservation

ENDS_SOON = timedelta(days=14)


def remarks(capacity: Capacity, today: date) -> Iterator[str]:
    """What is right as it is written, and not right `today`."""
    if not isinstance(capacity, Reservation | Calendar):
        return
    name, ends = capacity.name, capacity.ends_at
    if ends is not None and ends < today:
        yield (
            f"reservation {name} ended on {ends}, and its VMs with it: write another reservation, or take the pool out."
        )
    elif ends is not None and ends - today <= ENDS_SOON:
        yield f"reservation {name} ends on {ends}, and its VMs with it: have another one, or drain the region before."
    if isinstance(capacity, Calendar):
        begun = capacity.starts_at <= today
        if capacity.active and not begun:
            yield f"reservation {name} begins on {capacity.starts_at} and `up` waits for it: until then active: false."
        elif begun and not capacity.active and capacity.ends_at >= today:
            yield f"reservation {name} began on {capacity.starts_at} and the pool is empty: write active: true."
