"""Cost: a ceiling for each environment, against the dated list prices of config/google/machine_types.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config.google import pricing
from policies.base import Resource, StackPolicy, Violation
from policies.inputs import number
from policies.resource_types import NODE_POOL


def _month(resources: Sequence[Resource]) -> pricing.Month:
    return pricing.month(pricing.pool(one.name, one.inputs) for one in resources if one.type == NODE_POOL)


def _unknown(month: pricing.Month) -> str:
    return ", ".join(f"{pool.name} ({pool.machine} by {pool.had_by})" for pool in month.unknown)


def _above(resources: Sequence[Resource], settings: Mapping[str, Any]) -> Iterator[Violation]:
    """What is known is a part of what it costs, so whatever is above the ceiling is above it for sure."""
    month, ceiling = _month(resources), number(settings, "max_usd_per_month")
    most = month.known.high
    if ceiling is not None and most is not None and most > ceiling:
        on_top = f", and {_unknown(month)} on top, at a price that is unknown" if month.unknown else ""
        yield (
            f"GPU nodes may cost {most:,.0f} USD a month at list prices{on_top}, and the ceiling is {ceiling:,.0f}: "
            "write fewer nodes, or a higher max_usd_per_month in policies/<environment>.json.",
            None,
        )


def _unpriced(resources: Sequence[Resource], settings: Mapping[str, Any]) -> Iterator[Violation]:
    month = _month(resources)
    if month.unknown:
        yield f"The ceiling does not count what has no known price: {_unknown(month)}.", None


STACK_POLICIES = (
    StackPolicy(
        "gpu-monthly-budget",
        "high",
        "A bill that nobody agreed to.",
        [NODE_POOL],
        _above,
        config_schema={
            "max_usd_per_month": {
                "type": "number",
                "description": "most that GPU nodes may cost in a month, at list prices",
            }
        },
    ),
    StackPolicy(
        "gpu-known-price", "low", "The bill is higher than what is counted.", [NODE_POOL], _unpriced, advisory=True
    ),
)
