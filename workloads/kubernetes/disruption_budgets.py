"""How many pods of a RayService may be evicted at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pulumi import ResourceOptions
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

from config.sizing import WorkerGroup
from workloads.kubernetes.ray_service import NAME_LABEL

NODE_TYPE = "ray.io/node-type"


def min_available(workers: Sequence[WorkerGroup]) -> int:
    """Of worker pods: all but one, and never none. A single one is only evicted by force, which GKE does after an hour
    of waiting: change it in a drained region."""
    return max(1, sum(each.min_replicas for each in workers) - 1)


def pod_disruption_budgets(
    name: str,
    service: str,
    namespace: str,
    workers: Sequence[WorkerGroup],
    *,
    head_comes_back: bool,
    opts: ResourceOptions,
) -> list[PodDisruptionBudget]:
    """One for the workers; one for the head where its state would go with it (no fault tolerance).

    `minAvailable` is a whole number: percentages need a controller with a scale, which a RayCluster is not
    (kubernetes/kubernetes, disruption controller).
    """
    kinds = {"worker": min_available(workers), **({} if head_comes_back else {"head": 1})}
    return [
        PodDisruptionBudget(
            f"{name}-{kind}-budget",
            metadata={"name": f"{service}-{kind}", "namespace": namespace},
            spec=_spec(service, kind, least),
            opts=opts,
        )
        for kind, least in kinds.items()
    ]


def _spec(service: str, kind: str, least: int) -> Any:
    return {"min_available": least, "selector": {"match_labels": {NAME_LABEL: service, NODE_TYPE: kind}}}
