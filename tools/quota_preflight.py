"""`make preflight`: the GPU quota of each region, of Compute Engine's regional quotas or else of Cloud Quotas.

Spot and flex-start VMs use preemptible quota, all others the standard one. A delivered reservation has used its quota
when Google created it, so its pools need no more (Compute Engine, "Reservations: quota").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2

from config.google.capacity import FlexStart, ReservedCapacity, Spot
from config.google.node_pools import GpuNodePool
from config.google.regions import Region
from verify.check_result import CheckResult, Status, result

COMPUTE_API = "https://compute.googleapis.com/compute/v1"
CLOUD_QUOTAS_API = "https://cloudquotas.googleapis.com/v1"
QUOTA_ID = "GPUS-PER-GPU-FAMILY-per-project-region"
"""Cloud Quotas' name for GPU families that Compute Engine's regional quotas do not list."""


def check_results(project: str, region: Region, google: httpx2.Client) -> Iterator[CheckResult]:
    """Yield the result for the quota of one region."""
    name = f"quota in {region.name}"
    pools = [pool for pool in region.node_pools if not is_delivered(pool)]
    if not pools:
        yield CheckResult(name, "used by the delivered reservations; none is needed beside it", Status.OK)
        return
    reply = google.get(f"{COMPUTE_API}/projects/{project}/regions/{region.name}")
    if reply.status_code != 200:
        yield CheckResult(name, f"status {reply.status_code}", Status.FAILED)
        return
    rows = reply.json().get("quotas", [])
    for pool in {(metric(each), is_preemptible(each)): each for each in pools}.values():
        row = next((each for each in rows if each["metric"] == f"{metric(pool)}_GPUS"), None)
        needed = pool.machine.gpus
        if row is None:
            yield _cloud_quota(name, project, region.name, pool, google)
            continue
        free = row["limit"] - row["usage"]
        text = f"{row['metric']} {row['usage']:.0f} of {row['limit']:.0f} used, one node needs {needed}"
        yield result(name, text, free >= needed)


def is_delivered(pool: GpuNodePool) -> bool:
    """Return True if Google has delivered the pool's reservation."""
    return isinstance(pool.capacity, ReservedCapacity) and bool(getattr(pool.capacity, "active", False))


def is_preemptible(pool: GpuNodePool) -> bool:
    """Return True if the pool's VMs use preemptible quota."""
    return isinstance(pool.capacity, Spot | FlexStart)


def metric(pool: GpuNodePool) -> str:
    """Return the pool's quota metric without `_GPUS`: PREEMPTIBLE_NVIDIA_L4."""
    family = pool.machine.accelerator.name.upper().replace("-", "_")
    return f"PREEMPTIBLE_{family}" if is_preemptible(pool) else family


def _cloud_quota(name: str, project: str, region: str, pool: GpuNodePool, google: httpx2.Client) -> CheckResult:
    family = metric(pool).removeprefix("PREEMPTIBLE_")
    quota = f"PREEMPTIBLE-{QUOTA_ID}" if is_preemptible(pool) else QUOTA_ID
    url = f"{CLOUD_QUOTAS_API}/projects/{project}/locations/global/services/compute.googleapis.com/quotaInfos/{quota}"
    reply = google.get(url)
    if reply.status_code != 200:
        return CheckResult(name, f"neither API lists {metric(pool)}. See IAM & Admin > Quotas", Status.NOT_RUN)
    limits = [
        int(each.get("details", {}).get("value", 0))
        for each in reply.json().get("dimensionsInfos", [])
        if _matches(each.get("dimensions", {}), region, family)
    ]
    if not limits:
        return CheckResult(name, f"Cloud Quotas lists no {family}. See IAM & Admin > Quotas", Status.NOT_RUN)
    limit, needed = max(limits), pool.machine.gpus
    return result(name, f"{quota} of {family}: limit {limit}, one node needs {needed}", limit >= needed or limit < 0)


def _matches(dimensions: dict[str, Any], region: str, family: str) -> bool:
    return dimensions.get("gpu_family") == family and dimensions.get("region", region) == region
