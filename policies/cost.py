"""Cost: a monthly budget for each environment, from the dated list prices in config/google/machine_types.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config.google import pricing
from config.google.pricing import MonthlyCost, PricedNodePool
from policies.base import Resource, StackPolicy, Violation
from policies.inputs import number
from policies.resource_types import NODE_POOL


def _monthly_cost(resources: Sequence[Resource]) -> MonthlyCost:
    return pricing.monthly_cost(
        PricedNodePool.from_inputs(resource.name, resource.inputs)
        for resource in resources
        if resource.type == NODE_POOL
    )


def _unpriced_pools(cost: MonthlyCost) -> str:
    return ", ".join(f"{pool.name} ({pool.machine_type}, {pool.capacity_kind})" for pool in cost.unknown)


def _monthly_budget(resources: Sequence[Resource], settings: Mapping[str, Any]) -> Iterator[Violation]:
    """Compare the pools' cost at their maximum size with `max_usd_per_month`.

    Pools without a known price cost something on top, so a known cost above the budget is always a violation.
    """
    cost, budget = _monthly_cost(resources), number(settings, "max_usd_per_month")
    maximum = cost.known.high
    if budget is not None and maximum is not None and maximum > budget:
        unpriced = f", plus {_unpriced_pools(cost)} without a known price" if cost.unknown else ""
        yield (
            f"GPU nodes can cost {maximum:,.0f} USD a month at list prices{unpriced}; the budget is {budget:,.0f} USD. "
            "Reduce the maximum number of nodes, or raise max_usd_per_month in policies/<stack>.json.",
            None,
        )


def _known_price(resources: Sequence[Resource], settings: Mapping[str, Any]) -> Iterator[Violation]:
    """Name each pool with GPUs that the budget does not count."""
    cost = _monthly_cost(resources)
    if cost.unknown:
        yield (
            f"The monthly budget does not count {_unpriced_pools(cost)}, because the price or the number of nodes is "
            "unknown. Add a missing price to config/google/machine_types.py.",
            None,
        )


STACK_POLICIES = (
    StackPolicy(
        "gpu-monthly-budget",
        "high",
        "GPU nodes cost more than the team's budget.",
        [NODE_POOL],
        _monthly_budget,
        config_schema={
            "max_usd_per_month": {
                "type": "number",
                "description": "greatest monthly cost of all GPU nodes at list prices, in USD",
            }
        },
    ),
    StackPolicy(
        "gpu-known-price",
        "low",
        "The bill is higher than the cost that the monthly budget counts.",
        [NODE_POOL],
        _known_price,
        advisory=True,
    ),
)
