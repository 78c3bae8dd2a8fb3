"""Kubernetes objects that several waits read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workloads.kubernetes.kube_api import Api, Object
from workloads.kubernetes.readiness.ray_service_status import OF_CLUSTER, OF_SERVICE

RAY, GATEWAY, EXPORTS = "/apis/ray.io/v1", "/apis/gateway.networking.k8s.io/v1", "/apis/net.gke.io/v1"

READY = "Ready"


def _differ(olds: Mapping[str, Any], news: Mapping[str, Any], *keys: str) -> bool:
    return any(olds.get(key) != news.get(key) for key in keys)


def _clusters(api: Api, namespace: str, services: Sequence[str]) -> list[Object]:
    labels = f"{OF_SERVICE} in ({','.join(services)})"
    return api.items(f"{RAY}/namespaces/{namespace}/rayclusters", labelSelector=labels)


def _pods(api: Api, namespace: str, clusters: Sequence[Object]) -> list[Object]:
    if not clusters:
        return []
    names = ",".join(cluster["metadata"]["name"] for cluster in clusters)
    return api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"{OF_CLUSTER} in ({names})")
