"""Identity: who nodes and pods are, and what they may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.kit import CLUSTER, NODE_POOL, UNKNOWN, Policy, at, must_be

BROAD = ("roles/owner", "roles/editor", "roles/container.admin", "roles/iam.serviceAccountTokenCreator")
GOOGLES_OWN = "@gcp-sa-"
"""In the name of a service agent: the gateway's controller is one, and asks for roles/container.admin."""
PUBLIC = ("allUsers", "allAuthenticatedUsers")
PROJECT_ROLES = ("gcp:projects/iAMMember:IAMMember", "gcp:projects/iAMBinding:IAMBinding")
GRANTS = (
    *PROJECT_ROLES,
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    "gcp:storage/bucketIAMBinding:BucketIAMBinding",
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember",
    "gcp:secretmanager/secretIamMember:SecretIamMember",
)
KEY = "gcp:serviceaccount/key:Key"
RULES = ("kubernetes:rbac.authorization.k8s.io/v1:Role", "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole")


def _broad(inputs: Mapping[str, Any]) -> Iterator[str]:
    member = str(inputs.get("member"))
    if (role := inputs.get("role")) in BROAD and member != UNKNOWN and GOOGLES_OWN not in member:
        yield f"{role} is given for the whole project: write the one role that is needed, on the one resource."


def _public(inputs: Mapping[str, Any]) -> Iterator[str]:
    given = [inputs.get("member"), *(inputs.get("members") or [])]
    for member in PUBLIC:
        if member in given:
            yield f"{inputs.get('role')} is given to {member}: write the accounts that need it."


def _key(_inputs: Mapping[str, Any]) -> Iterator[str]:
    yield "A service account key can be copied and does not end: use Workload Identity, which needs none."


def _node_account(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(inputs, "nodeConfig.serviceAccount") in (None, "default"):
        yield "Nodes are Compute Engine's default account: write nodeConfig.serviceAccount, an account of their own."


def _no_pool(inputs: Mapping[str, Any]) -> Iterator[str]:
    if not at(inputs, "workloadIdentityConfig.workloadPool"):
        yield "The cluster has no Workload Identity: write workloadIdentityConfig.workloadPool."


def _makes_pods(inputs: Mapping[str, Any]) -> Iterator[str]:
    for rule in inputs.get("rules") or []:
        on = set(at(rule, "resources") or []) & {"pods", "*"}
        if on and set(at(rule, "verbs") or []) & {"create", "*"}:
            yield "A role creates pods, and so may become any account of its namespace: leave that to the operator."


POLICIES = (
    Policy(
        "workload-identity",
        "high",
        "Pods are their node, with all that the node may do.",
        [CLUSTER],
        _no_pool,
    ),
    Policy(
        "metadata-of-the-node",
        "high",
        "Model code reads the node's token from its metadata server.",
        [NODE_POOL],
        must_be(
            "nodeConfig.workloadMetadataConfig.mode",
            right="GKE_METADATA",
            sentence="Pods reach the node's metadata: write nodeConfig.workloadMetadataConfig.mode: GKE_METADATA.",
        ),
    ),
    Policy("node-account", "high", "Nodes may edit the whole project.", [NODE_POOL], _node_account),
    Policy("role-too-broad", "critical", "One stolen token is the whole project.", PROJECT_ROLES, _broad),
    Policy("granted-to-all", "critical", "Anyone can use it.", GRANTS, _public),
    Policy("account-key", "high", "A key that leaks works until somebody notices.", [KEY], _key),
    Policy("role-makes-pods", "high", "Model code becomes any account of the namespace.", RULES, _makes_pods),
)
