"""Who acts: the account that nodes run as, and the Kubernetes service accounts of head and workers. No keys."""

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
"""Writes logs and metrics, as GKE's page "Harden your cluster's security" has it; reading images is granted on each
repository (images.py)."""

SERVICE_ACCOUNTS = ServiceAccounts(namespace="ray", head="ray-head", worker="ray-worker")
"""KubeRay gives the head's account the right to change pods (ray-project/kuberay#2585), so model code has another."""


@dataclass(frozen=True)
class NodeServiceAccountArgs:
    names: ResourceNames
    project: Project
    api_dependencies: Sequence[pulumi.Resource]


class NodeServiceAccount(pulumi.ComponentResource):
    """Makes: the service account that every node runs as, with the one role that GKE asks for.

    Does not: give pods anything; a pod is its own principal (`principal`).
    Replaces: every node pool, when the environment is renamed.
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
    """A Kubernetes service account as IAM knows it, in every cluster of the project alike. It exists once a cluster
    with Workload Identity does."""
    return (
        f"principal://iam.googleapis.com/projects/{project.number}/locations/global/workloadIdentityPools/"
        f"{project.id}.svc.id.goog/subject/ns/{namespace}/sa/{service_account}"
    )
