"""Estimate for `make preflight` whether each model fits its GPUs, from a known shape or from Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2

from config.model_memory import KNOWN_MODELS, ModelShape, describe, estimate, find_warnings, shape_from_config
from config.node_pool_info import GpuNodePoolInfo
from config.region_plan import ServicePlan
from config.stack import StackConfig
from verify.check_result import CheckResult, Status

HUB = "https://huggingface.co"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def results(config: StackConfig, hub: httpx2.Client | None) -> Iterator[CheckResult]:
    """Yield the estimate of every model service on each of its node pools, once for all regions, and its warnings.

    `hub` is a client for Hugging Face, or None to use known shapes only.
    """
    serving = config.serving
    assert serving is not None
    assert serving.kubernetes is not None
    seen: set[tuple[str, str, str]] = set()
    for plan in config.region_plans.values():
        for service in plan.services:
            source = service.service.model.source
            pools = {
                (service.name, source, group.node_pool.machine_type): group.node_pool for group in service.worker_groups
            }
            new = [pool for key, pool in pools.items() if key not in seen]
            seen |= pools.keys()
            if new:
                shape = find_shape(source, hub)
                yield from _service_results(service, shape, new, serving.kubernetes.ready_timeout_s)


def find_shape(source: str, hub: httpx2.Client | None) -> ModelShape | str:
    """Return the shape of the model at `model.source`, or the reason why it is unknown."""
    name = "/".join(re.split(r"[:/]+", source)[-2:])  # a bucket may keep the model's id as its folder
    if name.lower() in KNOWN_MODELS:
        return KNOWN_MODELS[name.lower()]
    if not HUB_ID.fullmatch(source):
        return f"config/model_memory.py does not list {source}, and it is not a Hugging Face id"
    if hub is None:
        return f"config/model_memory.py does not list {source}"
    try:
        config = _get(hub, source, "config.json").json()
        shape = shape_from_config(config, _weight_bytes(hub, source))
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        return f"Hugging Face did not tell the size of {source}: {error}"
    return shape or f"the config.json of {source} does not say what its memory depends on"


def _weight_bytes(hub: httpx2.Client, source: str) -> int:
    """Return the bytes of the weights: of one file, or the sum that the index of several files states."""
    one = hub.head(f"{HUB}/{source}/resolve/main/model.safetensors", follow_redirects=True)
    if one.status_code == 200:
        return int(one.headers["content-length"])
    return int(_get(hub, source, "model.safetensors.index.json").json()["metadata"]["total_size"])


def _get(hub: httpx2.Client, source: str, name: str) -> httpx2.Response:
    return hub.get(f"{HUB}/{source}/resolve/main/{name}", follow_redirects=True).raise_for_status()


def _service_results(
    service: ServicePlan, shape: ModelShape | str, pools: list[GpuNodePoolInfo], ready_timeout_s: int
) -> Iterator[CheckResult]:
    for pool in pools:
        name = f"memory of {service.name} on {pool.machine_type}"
        if isinstance(shape, str):
            yield CheckResult(name, f"not estimated: {shape}", Status.NOT_RUN)
            continue
        found = estimate(service.service, shape, pool)
        yield CheckResult(name, describe(found), Status.OK)
        for warning in find_warnings(found, pool, ready_timeout_s):
            yield CheckResult(name, warning, Status.WARNING)
