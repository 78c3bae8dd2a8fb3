"""Service account of the nodes, and Kubernetes service accounts of head and workers. None has a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions
from pulumi_gcp import projects, serviceaccount

from config.google.project import Project
from config.google.resource_names import ResourceNames
from infra.contract import ServiceAccounts

NODE_ROLE = "roles/container.defaultNodeServiceAccount"
"""Lets nodes write logs and metrics (GKE, Harden your cluster's security). image_registry.py grants the right to read
images on each repository."""
IMAGE_STREAMING_ROLE = "roles/serviceusage.serviceUsageConsumer"
"""Lets nodes call the Container File System API in the images' project (GKE, Use Image streaming, requirements)."""

SERVICE_ACCOUNTS = ServiceAccounts(namespace="ray", head="ray-head", worker="ray-worker")
"""KubeRay grants the head's account the right to change pods (ray-project/kuberay#2585), so model code runs as
another."""


@dataclass(frozen=True)
class NodeServiceAccountArgs:
    """Arguments of `NodeServiceAccount`."""

    names: ResourceNames
    project: Project
    image_streaming: bool
    api_dependencies: Sequence[pulumi.Resource]


class NodeServiceAccount(pulumi.ComponentResource):
    """The service account of every node, with the role that GKE requires, and with image streaming one more.

    Grants nothing to pods: a pod is a principal of its own (`workload_identity_principal`). Another stack name replaces
    the account and every node pool.
    """

    def __init__(self, name: str, args: NodeServiceAccountArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:NodeServiceAccount", name, {}, opts)
        account = args.names.node_service_account()
        self.account = serviceaccount.Account(
            account,
            account_id=account,
            display_name="GKE nodes",
            opts=ResourceOptions(parent=self, depends_on=list(args.api_dependencies)),
        )
        self._args = args
        self.grant = self._grant(f"{account}-role", NODE_ROLE)
        self.image_streaming_grants: tuple[pulumi.Resource, ...] = ()
        """What nodes with image streaming need beside `grant`, before they pull an image."""
        if args.image_streaming:
            self.image_streaming_grants = (self._grant(f"{account}-image-streaming", IMAGE_STREAMING_ROLE),)
        self.register_outputs({})

    def _grant(self, name: str, role: str) -> projects.IAMMember:
        return projects.IAMMember(
            name,
            project=self._args.project.id,
            role=role,
            member=self.account.member,
            opts=ResourceOptions(parent=self, depends_on=list(self._args.api_dependencies)),
        )


def workload_identity_principal(project: Project, namespace: str, service_account: str) -> str:
    """Return a Kubernetes service account as an IAM principal, the same in every cluster of the project. It exists
    once a cluster with Workload Identity exists."""
    return (
        f"principal://iam.googleapis.com/projects/{project.number}/locations/global/workloadIdentityPools/"
        f"{project.id}.svc.id.goog/subject/ns/{namespace}/sa/{service_account}"
    )
