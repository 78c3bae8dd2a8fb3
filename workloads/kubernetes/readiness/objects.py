"""Kubernetes objects that several waits read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workloads.kubernetes.kube_api import KubeApi, Object
from workloads.kubernetes.readiness.ray_service_status import RAY_CLUSTER_LABEL, RAY_SERVICE_LABEL

RAY, GATEWAY, EXPORTS = "/apis/ray.io/v1", "/apis/gateway.networking.k8s.io/v1", "/apis/net.gke.io/v1"

READY = "Ready"


def any_changed(olds: Mapping[str, Any], news: Mapping[str, Any], *keys: str) -> bool:
    return any(olds.get(key) != news.get(key) for key in keys)


def ray_clusters(api: KubeApi, namespace: str, services: Sequence[str]) -> list[Object]:
    labels = f"{RAY_SERVICE_LABEL} in ({','.join(services)})"
    return api.items(f"{RAY}/namespaces/{namespace}/rayclusters", labelSelector=labels)


def ray_pods(api: KubeApi, namespace: str, clusters: Sequence[Object]) -> list[Object]:
    if not clusters:
        return []
    names = ",".join(cluster["metadata"]["name"] for cluster in clusters)
    return api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"{RAY_CLUSTER_LABEL} in ({names})")
