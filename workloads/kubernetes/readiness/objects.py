"""API paths, labels and readers of the Kubernetes objects that several waits observe."""

from __future__ import annotations

from collections.abc import Sequence

from workloads.kubernetes.kube_api import KubeApi, Object

RAY_API = "/apis/ray.io/v1"
GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
GKE_API = "/apis/networking.gke.io/v1"
SERVICE_EXPORT_API = "/apis/net.gke.io/v1"

RAY_SERVICE_LABEL = "ray.io/originated-from-cr-name"
"""KubeRay's label on the RayClusters of a RayService."""
RAY_CLUSTER_LABEL = "ray.io/cluster"
"""KubeRay's label on the pods of a RayCluster."""


def ray_clusters(api: KubeApi, namespace: str, services: Sequence[str]) -> list[Object]:
    """Return the RayClusters that belong to the RayServices of these names."""
    labels = f"{RAY_SERVICE_LABEL} in ({','.join(services)})"
    return api.items(f"{RAY_API}/namespaces/{namespace}/rayclusters", labelSelector=labels)


def ray_pods(api: KubeApi, namespace: str, clusters: Sequence[Object]) -> list[Object]:
    """Return the pods of these RayClusters."""
    if not clusters:
        return []
    names = ",".join(cluster["metadata"]["name"] for cluster in clusters)
    return api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"{RAY_CLUSTER_LABEL} in ({names})")


def warning_events(api: KubeApi, namespace: str) -> list[Object]:
    """Return the namespace's Warning events."""
    return api.items(f"/api/v1/namespaces/{namespace}/events", fieldSelector="type=Warning")


def last_spec_update(resource: Object) -> str:
    """Return when a client last wrote anything but the status, in RFC 3339."""
    metadata = resource["metadata"]
    times = [
        entry["time"] for entry in metadata.get("managedFields", []) if not entry.get("subresource") and "time" in entry
    ]
    return max(times, default=metadata.get("creationTimestamp", ""))
