"""Phrases that several parts of the summary use."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_NAMES = 8
"""Names that a list shows; the rest is counted."""


def join_names(names: Iterable[str]) -> str:
    """Return the names in alphabetical order, at most `MAX_NAMES` of them."""
    every = sorted(names)
    return ", ".join(every[:MAX_NAMES]) + (f" and {len(every) - MAX_NAMES} more" if len(every) > MAX_NAMES else "")


def format_change(old: object, new: object) -> str:
    """Return `old -> new`, or the value and that it does not change."""
    if str(old) != str(new):
        return f"{old} -> {new}"
    return f"{new} before and after" if "unknown" in str(new) else f"{new} (unchanged)"


def because(keys: Iterable[str]) -> str:
    """Return the reason of a change: the names of the changed properties, without indexes of lists."""
    names = list(dict.fromkeys(re.sub(r"\[\d+\]", "", key) for key in keys))
    quoted = ", ".join(f"`{name}`" for name in names)
    return f"because {quoted} {'changes' if len(names) == 1 else 'change'}"


def capacity_label(capacity_kind: str) -> str:
    """Return a capacity kind in words."""
    labels = {"reservation": "reserved", "on_demand": "on-demand", "flex_start": "flex-start"}
    return labels.get(capacity_kind, capacity_kind)
