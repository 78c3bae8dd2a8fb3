"""PodDisruptionBudgets: how many pods of a RayService Kubernetes may evict at once."""

from __future__ import annotations

from collections.abc import Sequence

from pulumi import ResourceOptions
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

from config.kuberay import NODE_TYPE_LABEL
from config.sizing import WorkerGroup
from workloads.kubernetes.ray_service import NAME_LABEL


def min_available(workers: Sequence[WorkerGroup]) -> int:
    """Return how many worker pods must stay: all but one, and at least one.

    GKE evicts a single worker only by force, after an hour of waiting. Change such a pool in a drained region.
    """
    return max(1, sum(group.min_replicas for group in workers) - 1)


def pod_disruption_budgets(
    name: str,
    service: str,
    namespace: str,
    workers: Sequence[WorkerGroup],
    *,
    head_restarts: bool,
    opts: ResourceOptions,
) -> list[PodDisruptionBudget]:
    """Declare a budget for the workers of RayService `service`, and one for its head unless `head_restarts`.

    `head_restarts`: the head restores its state after an eviction (GCS fault tolerance with Redis). `minAvailable` is a
    number, because percentages need a controller with a scale subresource, which a RayCluster is not
    (kubernetes/kubernetes, disruption controller).
    """
    minimums = {"worker": min_available(workers), **({} if head_restarts else {"head": 1})}
    return [
        PodDisruptionBudget(
            f"{name}-{node_type}-budget",
            metadata={"name": f"{service}-{node_type}", "namespace": namespace},
            spec={
                "min_available": minimum,
                "selector": {"match_labels": {NAME_LABEL: service, NODE_TYPE_LABEL: node_type}},
            },
            opts=opts,
        )
        for node_type, minimum in minimums.items()
    ]
