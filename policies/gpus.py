"""GPUs: a pool that costs by the hour serves, and nothing else runs on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.kit import NODE_POOL, Policy, at, each

TAINT = "nvidia.com/gpu"


def _has_gpus(inputs: Mapping[str, Any]) -> bool:
    return bool(each(inputs, "nodeConfig.guestAccelerators"))


def _untainted(inputs: Mapping[str, Any]) -> Iterator[str]:
    taints = [at(taint, "key") for taint in each(inputs, "nodeConfig.taints")]
    if _has_gpus(inputs) and TAINT not in taints:
        yield f"Any pod may take a node with GPUs: write a taint {TAINT}=present:NO_SCHEDULE."


def _unbounded(inputs: Mapping[str, Any]) -> Iterator[str]:
    most = at(inputs, "autoscaling.totalMaxNodeCount") or at(inputs, "autoscaling.maxNodeCount")
    if _has_gpus(inputs) and not most and at(inputs, "nodeCount") is None:
        yield "Nothing bounds the pool: write nodeCount, or autoscaling with totalMaxNodeCount."


def _any_reservation(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(inputs, "nodeConfig.reservationAffinity.consumeReservationType") == "ANY_RESERVATION" and _has_gpus(inputs):
        yield "The pool takes anybody's reservation, or pays on demand: write SPECIFIC_RESERVATION and its name."


POLICIES = (
    Policy("gpu-untainted", "high", "Pods without a GPU keep GPUs busy.", [NODE_POOL], _untainted),
    Policy("gpu-unbounded", "high", "One wrong number buys machines without end.", [NODE_POOL], _unbounded),
    Policy("gpu-any-reservation", "medium", "GPUs come from the wrong budget.", [NODE_POOL], _any_reservation),
)
