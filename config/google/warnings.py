"""Warnings of the Google settings: what works today and needs a second look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from config.google.capacity import CalendarMode, Capacity, Reservation

EXPIRY_NOTICE = timedelta(days=14)


def reservation_warnings(capacity: Capacity, today: date) -> Iterator[str]:
    """What is right as it is written, and not right `today`."""
    if not isinstance(capacity, Reservation | CalendarMode):
        return
    name, ends = capacity.name, capacity.end_date
    if ends is not None and ends < today:
        yield (
            f"reservation {name} ended on {ends}, and its VMs with it: write another reservation, or take the pool out."
        )
    elif ends is not None and ends - today <= EXPIRY_NOTICE:
        yield f"reservation {name} ends on {ends}, and its VMs with it: have another one, or drain the region before."
    if isinstance(capacity, CalendarMode):
        begun = capacity.start_date <= today
        if capacity.active and not begun:
            yield f"reservation {name} begins on {capacity.start_date} and `up` waits for it: until then active: false."
        elif begun and not capacity.active and capacity.end_date >= today:
            yield f"reservation {name} began on {capacity.start_date} and the pool is empty: write active: true."
