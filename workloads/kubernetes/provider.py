"""The Kubernetes provider of one cluster: the one place where one is made."""

from __future__ import annotations

import pulumi_kubernetes as kubernetes
from pulumi import ResourceOptions

from infra.contract import ServingCluster


def provider(site: ServingCluster) -> kubernetes.Provider:
    """Server-side apply, through the cluster's DNS endpoint.

    `cluster_identifier` is what the provider goes by: a new endpoint or certificate changes the kubeconfig and replaces
    nothing, another cluster replaces everything in it.
    """
    return kubernetes.Provider(
        f"{site.name}-kubernetes",
        kubeconfig=site.kubeconfig,
        cluster_identifier=site.cluster_id,
        enable_server_side_apply=True,
        opts=ResourceOptions(depends_on=list(site.depends_on)),
    )
