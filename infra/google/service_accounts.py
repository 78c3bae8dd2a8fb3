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

SERVICE_ACCOUNTS = ServiceAccounts(namespace="ray", head="ray-head", worker="ray-worker")
"""KubeRay grants the head's account the right to change pods (ray-project/kuberay#2585), so model code runs as
another."""


@dataclass(frozen=True)
class NodeServiceAccountArgs:
    """Arguments of `NodeServiceAccount`."""

    names: ResourceNames
    project: Project
    api_dependencies: Sequence[pulumi.Resource]


class NodeServiceAccount(pulumi.ComponentResource):
    """The service account of every node, with the one role that GKE requires.

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
        self.grant = projects.IAMMember(
            f"{account}-role",
            project=args.project.id,
            role=NODE_ROLE,
            member=self.account.member,
            opts=ResourceOptions(parent=self, depends_on=list(args.api_dependencies)),
        )
        self.register_outputs({})


def workload_identity_principal(project: Project, namespace: str, service_account: str) -> str:
    """Return a Kubernetes service account as an IAM principal, the same in every cluster of the project. It exists
    once a cluster with Workload Identity exists."""
    return (
        f"principal://iam.googleapis.com/projects/{project.number}/locations/global/workloadIdentityPools/"
        f"{project.id}.svc.id.goog/subject/ns/{namespace}/sa/{service_account}"
    )
