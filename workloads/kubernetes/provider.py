"""The Kubernetes provider of one cluster."""

from __future__ import annotations

import pulumi_kubernetes as kubernetes
from pulumi import ResourceOptions

from infra.contract import ServingCluster


def provider(cluster: ServingCluster) -> kubernetes.Provider:
    """Declare the provider: server-side apply through the cluster's DNS endpoint.

    Pulumi identifies the cluster by `cluster_identifier`. A new endpoint or certificate therefore changes the
    kubeconfig and replaces nothing; another cluster replaces everything in it.
    """
    return kubernetes.Provider(
        f"{cluster.name}-kubernetes",
        kubeconfig=cluster.kubeconfig,
        cluster_identifier=cluster.cluster_id,
        enable_server_side_apply=True,
        opts=ResourceOptions(depends_on=list(cluster.depends_on)),
    )
