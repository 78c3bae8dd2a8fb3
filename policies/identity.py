"""Identity: the accounts of nodes and pods, their rights, and where secrets are stored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from config.secret_patterns import SECRET_ENV_VAR, TOKEN_PATTERN
from policies.base import Policy
from policies.inputs import HEAD_POD, UNKNOWN, at, containers, each, pods, ray_cluster, require
from policies.resource_types import (
    CLUSTER,
    CONFIG_MAP,
    NODE_POOL,
    PROJECT_GRANTS,
    RAY,
    RBAC_BINDINGS,
    RBAC_ROLES,
    RESOURCE_GRANTS,
    SERVICE_ACCOUNT_KEYS,
    WITH_PODS,
)

BROAD_ROLES = ("roles/owner", "roles/editor", "roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountUser")
"""Roles that are too broad, beside every role whose name ends with `admin`."""
SERVICE_AGENT = "@gcp-sa-"
"""Part of a service agent's name. The gateway's controller is a service agent and needs roles/container.admin."""
DEFAULT_SERVICE_ACCOUNTS = ("default", "-compute@developer.gserviceaccount.com")
"""End of the name of Compute Engine's default service account."""
PUBLIC_MEMBERS = ("allUsers", "allAuthenticatedUsers")
POD_CREATING_RESOURCES = {
    *("*", "pods", "pods/exec", "replicationcontrollers", "deployments", "statefulsets", "daemonsets", "replicasets"),
    *("jobs", "cronjobs", "rayclusters", "rayservices", "rayjobs"),
}
"""Kubernetes resources with which an account creates a pod or runs a command in one."""
NAME_AND_VALUE = re.compile(r"^\W*(\w+)\W*:[ \t]*(\S.*?)\W*$", re.MULTILINE)
"""One line `NAME: VALUE` of a text."""


def _members(inputs: Mapping[str, Any]) -> list[Any]:
    """Return `member` of an IAM member, or `members` of an IAM binding."""
    return [member for member in (inputs.get("member"), *each(inputs, "members")) if member is not None]


def _broad_roles(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `role` of a grant, unless each member is a service agent of Google."""
    members = [str(member) for member in _members(inputs)]
    role = str(inputs.get("role"))
    if role not in BROAD_ROLES and not role.lower().endswith("admin"):
        return
    if not members or any(member != UNKNOWN and SERVICE_AGENT not in member for member in members):
        yield f"The grant gives {role} on every resource of the project. Grant a narrow role on one resource."


def _public_members(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `member` and `members` of a grant."""
    for member in PUBLIC_MEMBERS:
        if member in _members(inputs):
            yield f"{member} has {inputs.get('role')}. Grant the role to the accounts that need it."


def _service_account_key(_inputs: Mapping[str, Any]) -> Iterator[str]:
    yield "A service account key can be copied and does not expire. Use Workload Identity, which needs no key."


def _legacy_credentials(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `masterAuth.clientCertificateConfig` and `enableLegacyAbac` of a Cluster."""
    if at(inputs, "masterAuth.clientCertificateConfig.issueClientCertificate") is True:
        yield (
            "GKE issues a client certificate, which can be copied and bypasses IAM. Set "
            "masterAuth.clientCertificateConfig.issueClientCertificate: false."
        )
    if inputs.get("enableLegacyAbac") is True:
        yield "Every account of the cluster has all rights in it. Set enableLegacyAbac: false."


def _node_service_account(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `nodeConfig.serviceAccount` of a NodePool."""
    account = at(inputs, "nodeConfig.serviceAccount")
    if account is None or str(account).endswith(DEFAULT_SERVICE_ACCOUNTS):
        yield (
            "Nodes use Compute Engine's default service account. Set nodeConfig.serviceAccount to an account for "
            "nodes only."
        )


def _workload_identity(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `workloadIdentityConfig.workloadPool` of a Cluster."""
    if not at(inputs, "workloadIdentityConfig.workloadPool"):
        yield "Workload Identity is off. Set workloadIdentityConfig.workloadPool: PROJECT.svc.id.goog."


def _pod_creation(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `rules` of a role and `roleRef.name` of a binding."""
    for rule in each(inputs, "rules"):
        resources, verbs = set(each(rule, "resources")), set(each(rule, "verbs"))
        if resources & POD_CREATING_RESOURCES and verbs & {"create", "update", "patch", "*"}:
            yield (
                "Accounts with this role can create pods, and so use any service account of the namespace. Remove the "
                "rule; only the KubeRay operator needs it."
            )
    if (role := at(inputs, "roleRef.name")) in ("cluster-admin", "admin", "edit"):
        yield (
            f"Accounts with role {role} can create pods, and so use any service account. Bind a role with only the "
            "rights that they need."
        )


def _service_account_token(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `automountServiceAccountToken` of each pod.

    Only KubeRay's autoscaler, a container of the head pod, calls the Kubernetes API.
    """
    autoscaling = at(ray_cluster(inputs), "enableInTreeAutoscaling")
    for where, pod in pods(ray_cluster(inputs)):
        token = pod.get("automountServiceAccountToken")
        if token not in (False, UNKNOWN) and not (where == HEAD_POD and autoscaling in (True, UNKNOWN)):
            yield f"Model code in {where} can call the Kubernetes API. Set automountServiceAccountToken: false."


def _worker_service_account(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check that `serviceAccountName` of each worker group is set and is not the head's."""
    accounts = {where: pod.get("serviceAccountName") for where, pod in pods(ray_cluster(inputs))}
    head = accounts.pop(HEAD_POD, None)
    for where, account in accounts.items():
        if account is None or (account == head and account != UNKNOWN):
            used = "the default service account" if account is None else f"service account {account}"
            yield (
                f"Model code in {where} uses {used}. Set serviceAccountName to "
                "another account than the head's, because KubeRay lets the head's account change pods "
                "(ray-project/kuberay#2585)."
            )


def _pod_secrets(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check environment, command, Redis password and `serveConfigV2`. A message names the secret, never its value."""
    for where, container in containers(inputs):
        for variable in each(container, "env"):
            name, value = str(at(variable, "name")), at(variable, "value")
            if value not in (None, "", UNKNOWN) and (SECRET_ENV_VAR.search(name) or TOKEN_PATTERN.search(str(value))):
                yield f"Environment variable {name} in {where} has a secret in plain text. Set valueFrom.secretKeyRef."
        if any(TOKEN_PATTERN.search(str(word)) for key in ("command", "args") for word in each(container, key)):
            yield (
                f"The command of a container in {where} has a secret in plain text. Create a Secret and read it from "
                "an environment variable."
            )
    if at(ray_cluster(inputs), "gcsFaultToleranceOptions.redisPassword.value") not in (None, "", UNKNOWN):
        yield "redisPassword.value has a secret in plain text. Set redisPassword.valueFrom.secretKeyRef."
    yield from _secrets_in_text("serveConfigV2", at(inputs, "spec.serveConfigV2"))


def _config_map_secrets(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check names and values of a ConfigMap's `data`."""
    data = inputs.get("data")
    for key, text in (data if isinstance(data, Mapping) else {}).items():
        if SECRET_ENV_VAR.search(key) and text != UNKNOWN:
            yield f"{key} is a secret in plain text. Use a Secret instead of a ConfigMap."
        else:
            yield from _secrets_in_text(key, text)


def _secrets_in_text(field: str, text: Any) -> Iterator[str]:
    """Check each line `NAME: VALUE` of a text."""
    for name, value in NAME_AND_VALUE.findall(text) if isinstance(text, str) else ():
        if TOKEN_PATTERN.search(value) or (name.isupper() and SECRET_ENV_VAR.search(name)):
            yield (
                f"{field} has the secret {name} in plain text. Create a Secret and read it from an environment "
                "variable."
            )


POLICIES = (
    Policy(
        "cluster-workload-identity",
        "high",
        "Pods use the node's service account, with all its rights.",
        [CLUSTER],
        _workload_identity,
    ),
    Policy(
        "nodepool-gke-metadata-server",
        "high",
        "Model code can read the node's access token from the metadata server.",
        [NODE_POOL],
        require(
            "nodeConfig.workloadMetadataConfig.mode",
            value="GKE_METADATA",
            message="Pods can read the node's metadata. Set nodeConfig.workloadMetadataConfig.mode: GKE_METADATA.",
        ),
    ),
    Policy(
        "nodepool-dedicated-service-account",
        "high",
        "Nodes can change every resource of the project.",
        [NODE_POOL],
        _node_service_account,
    ),
    Policy(
        "iam-no-broad-roles",
        "critical",
        "One stolen token gives access to the whole project.",
        PROJECT_GRANTS,
        _broad_roles,
    ),
    Policy(
        "iam-no-public-members",
        "critical",
        "Anyone on the internet can use the resource.",
        (*PROJECT_GRANTS, *RESOURCE_GRANTS),
        _public_members,
    ),
    Policy(
        "iam-no-service-account-keys",
        "high",
        "A stolen key works until you delete it.",
        SERVICE_ACCOUNT_KEYS,
        _service_account_key,
    ),
    Policy(
        "cluster-no-legacy-credentials",
        "high",
        "The Kubernetes API accepts clients that IAM does not check.",
        [CLUSTER],
        _legacy_credentials,
    ),
    Policy(
        "rbac-no-pod-creation",
        "high",
        "Model code can use any service account of the namespace.",
        (*RBAC_ROLES, *RBAC_BINDINGS),
        _pod_creation,
    ),
    Policy(
        "raycluster-no-service-account-token",
        "high",
        "Model code can call the Kubernetes API.",
        RAY,
        _service_account_token,
    ),
    Policy(
        "raycluster-worker-service-account",
        "high",
        "Model code can change pods with the rights of Ray's autoscaler.",
        RAY,
        _worker_service_account,
    ),
    Policy(
        "pod-no-plain-text-secrets",
        "critical",
        "Every reader of Pulumi's state or of the pod can read the secret.",
        WITH_PODS,
        _pod_secrets,
    ),
    Policy(
        "configmap-no-plain-text-secrets",
        "critical",
        "Every reader of the namespace's ConfigMaps can read the secret.",
        [CONFIG_MAP],
        _config_map_secrets,
    ),
)
