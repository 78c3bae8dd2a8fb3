"""GPUs, cost and quota of a preview, before and after the change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.google import pricing
from config.google.pricing import Bounds
from tools.preview.events import Preview, changed
from tools.preview.text import capacity_label, format_change, join_names


def gpu_and_cost_change(preview: Preview) -> tuple[str, str] | None:
    """Return the number of GPUs and their monthly cost as text, before and after.

    Return None if the preview has no node pools, or failed before it knew a change.
    """
    before, after = preview.node_pools(after=False), preview.node_pools(after=True)
    if (not before and not after) or (preview.errors and not changed(preview)):
        return None
    gpus = [pricing.total(pricing.gpu_counts(pools).values()) for pools in (before, after)]
    return format_change(*gpus), format_change(pricing.monthly_cost(before), pricing.monthly_cost(after))


def gpu_cost_and_quota(preview: Preview) -> Iterator[str]:
    """Yield the lines on GPUs, cost and quota."""
    change = gpu_and_cost_change(preview)
    if change is None:
        return
    gpus, month = change
    before, after = preview.node_pools(after=False), preview.node_pools(after=True)
    scope = "" if preview.complete else " (only pools that change; the record does not contain the others)"
    old_gpus, new_gpus, cost = pricing.gpu_counts(before), pricing.gpu_counts(after), pricing.monthly_cost(after)
    yield f"GPUs: {gpus}{scope}"
    for key in sorted({*old_gpus, *new_gpus}):
        region, model, capacity_kind = key
        old, new = old_gpus.get(key, pricing.ZERO), new_gpus.get(key, pricing.ZERO)
        if old != new:
            yield f"{model} in {region}, {capacity_label(capacity_kind)}: {format_change(old, new)}"
    yield f"list price of GPU nodes for one month ({pricing.HOURS_PER_MONTH} h): {month}{scope}"
    if cost.unknown:
        pools = (f"{p.name} ({p.machine_type}, {capacity_label(p.capacity_kind)})" for p in cost.unknown)
        yield f"not included, because the price is unknown: {join_names(pools)}"
    yield from _price_sources(cost)
    yield "not included: nodes without GPUs, disks, Redis, load balancer, network traffic"
    yield from _quota(old_gpus, new_gpus)


def _price_sources(cost: pricing.MonthlyCost) -> Iterator[str]:
    priced = [(pool, price) for pool in cost.priced if (price := pool.price) is not None and pool.max_nodes]
    for price in sorted({price for _, price in priced}, key=lambda each: (each.region, each.as_of)):
        elsewhere = sorted({pool.region for pool, own in priced if own == price} - {price.region})
        yield f"prices of {price.region} on {price.as_of} ({price.source})" + (
            f", also used for {', '.join(elsewhere)}" if elsewhere else ""
        )


def _quota(
    old_gpus: Mapping[tuple[str, str, str], Bounds], new_gpus: Mapping[tuple[str, str, str], Bounds]
) -> Iterator[str]:
    more = False
    for key in sorted(new_gpus):
        region, model, capacity_kind = key
        old, new = old_gpus.get(key, pricing.ZERO).high, new_gpus[key].high
        if new is None or (old or 0) < new:
            more = True
            count = "an unknown number of" if new is None else f"{new:,.0f}"
            note = {
                pricing.RESERVED: " (Google charged it when the reservation was created)",
                "spot": " (preemptible quota)",
                "flex_start": " (preemptible quota)",
            }.get(capacity_kind, "")
            yield f"GPU quota needed: {count} {model} in {region}{note}"
    if not more:
        yield "GPU quota needed: no more than before"
