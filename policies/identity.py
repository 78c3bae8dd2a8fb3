"""Identity: who nodes and pods are, what they may do, and where secrets are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import Policy
from policies.inputs import UNKNOWN, at, containers, each, pods, ray_cluster, require
from policies.resource_types import CLUSTER, NODE_POOL, RAY, WITH_PODS

BROAD = ("roles/owner", "roles/editor", "roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountUser")
"""Beside every role whose name ends with `admin`."""
GOOGLES_OWN = "@gcp-sa-"
"""In the name of a service agent: the gateway's controller is one, and asks for roles/container.admin."""
DEFAULT_ACCOUNTS = ("default", "-compute@developer.gserviceaccount.com")
PUBLIC = ("allUsers", "allAuthenticatedUsers")
BROAD_GRANTS = tuple(
    f"gcp:{level}/iAM{kind}:IAM{kind}"
    for level in ("projects", "folder", "organizations")
    for kind in ("Member", "Binding")
)
GRANTS = (
    *BROAD_GRANTS,
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    "gcp:storage/bucketIAMBinding:BucketIAMBinding",
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember",
    "gcp:artifactregistry/repositoryIamBinding:RepositoryIamBinding",
    "gcp:secretmanager/secretIamMember:SecretIamMember",
    "gcp:secretmanager/secretIamBinding:SecretIamBinding",
)
KEYS = ("gcp:serviceaccount/key:Key", "gcp:storage/hmacKey:HmacKey")
RULES = ("kubernetes:rbac.authorization.k8s.io/v1:Role", "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole")
BINDINGS = (
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
)
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
MAKERS = {
    *("*", "pods", "pods/exec", "replicationcontrollers", "deployments", "statefulsets", "daemonsets", "replicasets"),
    *("jobs", "cronjobs", "rayclusters", "rayservices", "rayjobs"),
}
"""Resources of Kubernetes by which one gets a pod, or into one."""
SECRET_NAME = re.compile(r"(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|KEY|CREDENTIALS?)$", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}"
)
"""Hugging Face's tokens, private keys, Google's API keys and access tokens."""
SECRET_LINE = re.compile(r"^\W*(\w+)\W*:[ \t]*(\S.*?)\W*$", re.MULTILINE)


def _members(inputs: Mapping[str, Any]) -> list[Any]:
    return [one for one in (inputs.get("member"), *each(inputs, "members")) if one is not None]


def _broad(inputs: Mapping[str, Any]) -> Iterator[str]:
    members = [str(one) for one in _members(inputs)]
    role = str(inputs.get("role"))
    if role not in BROAD and not role.lower().endswith("admin"):
        return
    if not members or any(one != UNKNOWN and GOOGLES_OWN not in one for one in members):
        yield f"{role} is given for the whole project: write the one role that is needed, on the one resource."


def _public(inputs: Mapping[str, Any]) -> Iterator[str]:
    for member in PUBLIC:
        if member in _members(inputs):
            yield f"{inputs.get('role')} is given to {member}: write the accounts that need it."


def _key(_inputs: Mapping[str, Any]) -> Iterator[str]:
    yield "A service account key can be copied and does not end: use Workload Identity, which needs none."


def _legacy(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(inputs, "masterAuth.clientCertificateConfig.issueClientCertificate") is True:
        yield "A client certificate can be copied and is past IAM: write issueClientCertificate: false."
    if inputs.get("enableLegacyAbac") is True:
        yield "Every account of the cluster may do everything: write enableLegacyAbac: false."


def _node_account(inputs: Mapping[str, Any]) -> Iterator[str]:
    account = at(inputs, "nodeConfig.serviceAccount")
    if account is None or str(account).endswith(DEFAULT_ACCOUNTS):
        yield "Nodes are Compute Engine's default account: write nodeConfig.serviceAccount, an account of their own."


def _no_pool(inputs: Mapping[str, Any]) -> Iterator[str]:
    if not at(inputs, "workloadIdentityConfig.workloadPool"):
        yield "The cluster has no Workload Identity: write workloadIdentityConfig.workloadPool."


def _makes_pods(inputs: Mapping[str, Any]) -> Iterator[str]:
    for rule in each(inputs, "rules"):
        if set(each(rule, "resources")) & MAKERS and set(each(rule, "verbs")) & {"create", "update", "patch", "*"}:
            yield "A role makes pods, and so may become any account of its namespace: leave that to the operator."
    if (role := at(inputs, "roleRef.name")) in ("cluster-admin", "admin", "edit"):
        yield f"{role} makes pods, and so may become any account: write a role of the rights that are needed."


def _token_mounted(inputs: Mapping[str, Any]) -> Iterator[str]:
    """KubeRay's autoscaler, in the head's pod, calls the API server; nothing else does."""
    scaled = at(ray_cluster(inputs), "enableInTreeAutoscaling")
    for where, pod in pods(ray_cluster(inputs)):
        mounted = pod.get("automountServiceAccountToken")
        if mounted not in (False, UNKNOWN) and not (where == "head" and scaled in (True, UNKNOWN)):
            yield f"Model code on {where} can call the Kubernetes API: write automountServiceAccountToken: false."


def _one_account(inputs: Mapping[str, Any]) -> Iterator[str]:
    accounts = {where: pod.get("serviceAccountName") for where, pod in pods(ray_cluster(inputs))}
    head = accounts.pop("head", None)
    for where, account in accounts.items():
        if account is None or (account == head and account != UNKNOWN):
            yield (
                f"Model code on {where} is {account or 'the default account'}: write serviceAccountName, another than "
                "the head's, which KubeRay lets change pods (ray-project/kuberay#2585)."
            )


def _in_the_open(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Says which, never what."""
    for where, container in containers(inputs):
        for one in each(container, "env"):
            name, value = str(at(one, "name")), at(one, "value")
            if value not in (None, "", UNKNOWN) and (SECRET_NAME.search(name) or SECRET_VALUE.search(str(value))):
                yield f"{name} of {where} is in plain text: write valueFrom.secretKeyRef."
        if any(SECRET_VALUE.search(str(word)) for key in ("command", "args") for word in each(container, key)):
            yield f"The command of {where} has a secret in plain text: write a Secret, and its name in env."
    if at(ray_cluster(inputs), "gcsFaultToleranceOptions.redisPassword.value") not in (None, "", UNKNOWN):
        yield "Redis' password is in plain text: write redisPassword.valueFrom.secretKeyRef."
    yield from _in_text("serveConfigV2", at(inputs, "spec.serveConfigV2"))


def _in_config_map(inputs: Mapping[str, Any]) -> Iterator[str]:
    data = inputs.get("data")
    for key, text in (data if isinstance(data, Mapping) else {}).items():
        if SECRET_NAME.search(key) and text != UNKNOWN:
            yield f"{key} is in plain text: write a Secret instead of a ConfigMap."
        else:
            yield from _in_text(key, text)


def _in_text(what: str, text: Any) -> Iterator[str]:
    for name, value in SECRET_LINE.findall(text) if isinstance(text, str) else ():
        if SECRET_VALUE.search(value) or (name.isupper() and SECRET_NAME.search(name)):
            yield f"{what} has {name} in plain text: write a Secret, and its name in the container's env."


POLICIES = (
    Policy(
        "cluster-workload-identity",
        "high",
        "Pods are their node, with all that the node may do.",
        [CLUSTER],
        _no_pool,
    ),
    Policy(
        "nodepool-gke-metadata-server",
        "high",
        "Model code reads the node's token from its metadata server.",
        [NODE_POOL],
        require(
            "nodeConfig.workloadMetadataConfig.mode",
            right="GKE_METADATA",
            sentence="Pods reach the node's metadata: write nodeConfig.workloadMetadataConfig.mode: GKE_METADATA.",
        ),
    ),
    Policy(
        "nodepool-dedicated-service-account", "high", "Nodes may edit the whole project.", [NODE_POOL], _node_account
    ),
    Policy("iam-no-broad-roles", "critical", "One stolen token is the whole project.", BROAD_GRANTS, _broad),
    Policy("iam-no-public-members", "critical", "Anyone can use it.", GRANTS, _public),
    Policy("iam-no-service-account-keys", "high", "A key that leaks works until somebody notices.", KEYS, _key),
    Policy("cluster-no-legacy-credentials", "high", "The cluster lets people in past IAM.", [CLUSTER], _legacy),
    Policy(
        "rbac-no-pod-creation",
        "high",
        "Model code becomes any account of the namespace.",
        (*RULES, *BINDINGS),
        _makes_pods,
    ),
    Policy("raycluster-no-service-account-token", "high", "Model code calls the Kubernetes API.", RAY, _token_mounted),
    Policy(
        "raycluster-worker-service-account",
        "high",
        "Model code changes pods, as the autoscaler may.",
        RAY,
        _one_account,
    ),
    Policy(
        "pod-no-plain-text-secrets", "critical", "Whoever reads the state or the pod has it.", WITH_PODS, _in_the_open
    ),
    Policy(
        "configmap-no-plain-text-secrets",
        "critical",
        "Whoever reads the namespace has it.",
        [CONFIG_MAP],
        _in_config_map,
    ),
)
