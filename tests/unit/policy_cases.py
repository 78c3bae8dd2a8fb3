"""Violations for tests/unit/test_policies.py: resources added by hand, and edits of each input that a policy checks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import versions
from policies.base import PROTECT, Resource
from policies.resource_types import (
    BACKEND_POLICY,
    BUCKET,
    CLUSTER,
    CONFIG_MAP,
    DISRUPTION_BUDGET,
    FIREWALL,
    FIREWALL_POLICY_RULES,
    GATEWAY,
    GOOGLE_PROVIDER,
    HEALTH_CHECK_POLICY,
    HTTP_ROUTE,
    INGRESS,
    NETWORK_POLICY,
    NODE_POOL,
    RAY_SERVICE,
    REDIS,
    SERVICE,
    SERVICE_EXPORT,
)

PROJECT_GRANTS = "gcp:projects/iAMBinding:IAMBinding"
BUCKET_GRANT = "gcp:storage/bucketIAMMember:BucketIAMMember"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
SERVICE_ACCOUNT_KEY = "gcp:serviceaccount/key:Key"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CRON_JOB = "kubernetes:batch/v1:CronJob"
RAY_CLUSTER = "kubernetes:ray.io/v1:RayCluster"
ABSENT = object()
"""As a value: the input is removed."""


def serve_config(**arguments: Any) -> str:
    """Return a serveConfigV2 of one model that keeps the policies, with other engine arguments. None removes one."""
    kept = {"revision": 40 * "a", "allowed_media_domains": ["images.example.com"], **arguments}
    config = {
        "model_loading_config": {"model_id": "m", "model_source": "google/gemma"},
        "engine_kwargs": {name: value for name, value in kept.items() if value is not None},
        "runtime_env": {"env_vars": {"VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0"}},
    }
    return json.dumps({"applications": [{"args": {"llm_configs": [config]}}]})


SERVE_CONFIG = "spec/serveConfigV2"
DIGEST = "@sha256:" + 64 * "1"
CONTAINER = {"name": "tool", "image": f"us-docker.pkg.dev/example/tools/tool{DIGEST}", "env": []}
HAND_MADE: Mapping[str, dict[str, Any]] = {
    ROLE: {"rules": [{"resources": ["pods"], "verbs": ["get", "list"]}]},
    BINDING: {"roleRef": {"kind": "ClusterRole", "name": "view"}},
    SERVICE: {"spec": {"type": "ClusterIP"}},
    PROJECT_GRANTS: {"role": "roles/logging.logWriter", "members": ["serviceAccount:nodes"]},
    FIREWALL_POLICY_RULES[0]: {"direction": "INGRESS", "action": "allow", "match": {"srcIpRanges": ["35.191.0.0/16"]}},
    DEPLOYMENT: {"spec": {"template": {"spec": {"containers": [CONTAINER], "initContainers": [CONTAINER]}}}},
    CRON_JOB: {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}}}},
    RAY_CLUSTER: {
        "spec": {
            "rayVersion": versions.RAY,
            "headGroupSpec": {
                "template": {"spec": {"automountServiceAccountToken": False, "containers": [CONTAINER]}},
            },
        }
    },
}
"""Type -> inputs of a resource that this program does not create and that violates no policy."""

POD = "spec/rayClusterConfig/{}/template/spec/{}"
HEAD = POD.format("headGroupSpec", "containers/0")
WORKER = POD.format("workerGroupSpecs/0", "containers/0")
WORKER_POD = "spec/rayClusterConfig/workerGroupSpecs/0/template/spec"
NODE = "nodeConfig"
PLAIN_TOKEN = [{"name": "HF_TOKEN", "value": "hf_" + 30 * "x"}]
NETWORKS = "masterAuthorizedNetworksConfig"
CONTROL_PLANE_IP_ENDPOINT = "controlPlaneEndpointsConfig/ipEndpointsConfig/enabled"
RESERVATION = f"{NODE}/reservationAffinity"
FAULT_TOLERANCE = "spec/rayClusterConfig/gcsFaultToleranceOptions"
RULE = "spec/rules/0/backendRefs/0"
BACKEND = "spec/default"

VIOLATIONS: tuple[tuple[str, str, str, str, Any], ...] = (
    ("cluster-authorized-networks", "prod", CLUSTER, NETWORKS, {"cidrBlocks": [{"cidrBlock": "0.0.0.0/0"}]}),
    (
        "cluster-authorized-networks",
        "prod",
        CLUSTER,
        NETWORKS,
        {"cidrBlocks": [{"cidrBlock": "128.0.0.0/1"}]},
    ),
    ("cluster-authorized-networks", "prod", CLUSTER, NETWORKS, {"cidrBlocks": [{"cidrBlock": "::/0"}]}),
    ("cluster-authorized-networks", "prod", CLUSTER, NETWORKS, {"gcpPublicCidrsAccessEnabled": True}),
    ("cluster-dns-endpoint-only", "prod", CLUSTER, CONTROL_PLANE_IP_ENDPOINT, True),
    ("cluster-dns-endpoint-only", "prod", CLUSTER, "controlPlaneEndpointsConfig", ABSENT),
    ("firewall-restricted-sources", "prod", FIREWALL, "sourceRanges/0", "0.0.0.0/0"),
    ("firewall-restricted-sources", "prod", FIREWALL, "sourceRanges", ABSENT),
    ("firewallpolicy-restricted-sources", "prod", FIREWALL_POLICY_RULES[0], "match/srcIpRanges/0", "0.0.0.0/0"),
    ("cluster-private-nodes", "prod", CLUSTER, "privateClusterConfig/enablePrivateNodes", False),
    ("cluster-private-nodes", "prod", CLUSTER, "privateClusterConfig", ABSENT),
    ("nodepool-private-nodes", "prod", NODE_POOL, "networkConfig", ABSENT),
    ("service-no-external-access", "prod", SERVICE, "spec/type", "LoadBalancer"),
    ("service-no-external-access", "prod", SERVICE, "spec/type", "NodePort"),
    ("service-no-external-access", "prod", SERVICE, "spec/externalIPs", ["192.0.2.1"]),
    (
        "raycluster-no-external-access",
        "prod",
        RAY_SERVICE,
        "spec/rayClusterConfig/headGroupSpec/serviceType",
        "LoadBalancer",
    ),
    ("raycluster-no-external-access", "prod", RAY_SERVICE, "spec/rayClusterConfig/headGroupSpec/enableIngress", True),
    ("raycluster-no-external-access", "prod", RAY_SERVICE, "spec/serveService", {"spec": {"type": "NodePort"}}),
    ("raycluster-no-external-access", "prod", RAY_CLUSTER, "spec/headGroupSpec/serviceType", "NodePort"),
    ("route-serve-service-only", "prod", HTTP_ROUTE, f"{RULE}/port", 8265),
    ("serviceexport-serve-service-only", "prod", SERVICE_EXPORT, "metadata/name", "llm-head-svc"),
    ("networkpolicy-restricted-peers", "prod", NETWORK_POLICY, "spec/ingress", [{"ports": [{"port": 8265}]}]),
    (
        "networkpolicy-restricted-peers",
        "prod",
        NETWORK_POLICY,
        "spec/ingress",
        [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}],
    ),
    ("gateway-public-tls", "public", GATEWAY, "spec/listeners/0/protocol", "HTTP"),
    ("gateway-public-cloud-armor", "public", BACKEND_POLICY, f"{BACKEND}/securityPolicy", ABSENT),
    ("cluster-workload-identity", "prod", CLUSTER, "workloadIdentityConfig", ABSENT),
    ("nodepool-gke-metadata-server", "prod", NODE_POOL, f"{NODE}/workloadMetadataConfig", ABSENT),
    ("nodepool-gke-metadata-server", "prod", NODE_POOL, f"{NODE}/workloadMetadataConfig/mode", "GCE_METADATA"),
    ("nodepool-dedicated-service-account", "prod", NODE_POOL, f"{NODE}/serviceAccount", ABSENT),
    ("nodepool-dedicated-service-account", "prod", NODE_POOL, f"{NODE}/serviceAccount", "default"),
    (
        "nodepool-dedicated-service-account",
        "prod",
        NODE_POOL,
        f"{NODE}/serviceAccount",
        "1-compute@developer.gserviceaccount.com",
    ),
    ("iam-no-broad-roles", "prod", PROJECT_GRANTS, "role", "roles/editor"),
    ("iam-no-broad-roles", "prod", PROJECT_GRANTS, "role", "roles/owner"),
    ("iam-no-broad-roles", "prod", PROJECT_GRANTS, "role", "roles/container.admin"),
    ("iam-no-broad-roles", "prod", PROJECT_GRANTS, "role", "roles/resourcemanager.projectIamAdmin"),
    ("iam-no-public-members", "prod", BUCKET_GRANT, "member", "allUsers"),
    ("iam-no-public-members", "prod", PROJECT_GRANTS, "members/0", "allAuthenticatedUsers"),
    (
        "cluster-no-legacy-credentials",
        "prod",
        CLUSTER,
        "masterAuth/clientCertificateConfig/issueClientCertificate",
        True,
    ),
    ("cluster-no-legacy-credentials", "prod", CLUSTER, "enableLegacyAbac", True),
    ("rbac-no-pod-creation", "prod", ROLE, "rules/0/verbs", ["create"]),
    ("rbac-no-pod-creation", "prod", ROLE, "rules/0", {"resources": ["*"], "verbs": ["*"]}),
    ("rbac-no-pod-creation", "prod", ROLE, "rules/0", {"resources": ["deployments"], "verbs": ["patch"]}),
    ("rbac-no-pod-creation", "prod", BINDING, "roleRef/name", "cluster-admin"),
    ("raycluster-no-service-account-token", "prod", RAY_SERVICE, f"{WORKER_POD}/automountServiceAccountToken", ABSENT),
    ("raycluster-no-service-account-token", "staging", RAY_SERVICE, f"{WORKER_POD}/automountServiceAccountToken", True),
    (
        "raycluster-no-service-account-token",
        "prod",
        RAY_SERVICE,
        POD.format("headGroupSpec", "automountServiceAccountToken"),
        True,
    ),
    ("raycluster-worker-service-account", "prod", RAY_SERVICE, f"{WORKER_POD}/serviceAccountName", "ray-head"),
    ("raycluster-worker-service-account", "prod", RAY_SERVICE, f"{WORKER_POD}/serviceAccountName", ABSENT),
    ("pod-no-plain-text-secrets", "prod", DEPLOYMENT, "spec/template/spec/containers/0/env", PLAIN_TOKEN),
    (
        "pod-no-plain-text-secrets",
        "prod",
        DEPLOYMENT,
        "spec/template/spec/initContainers/0/args",
        ["--token", "hf_" + 30 * "x"],
    ),
    ("pod-no-plain-text-secrets", "prod", RAY_SERVICE, f"{WORKER}/env/-", {"name": "RAY_X_KEY", "value": "anything"}),
    ("pod-no-plain-text-secrets", "prod", RAY_SERVICE, f"{FAULT_TOLERANCE}/redisPassword", {"value": "anything"}),
    (
        "pod-no-plain-text-secrets",
        "prod",
        RAY_SERVICE,
        "spec/serveConfigV2",
        "runtime_env:\n  env_vars:\n    HF_TOKEN: x\n",
    ),
    ("configmap-no-plain-text-secrets", "prod", CONFIG_MAP, "data/password", "anything"),
    ("configmap-no-plain-text-secrets", "prod", CONFIG_MAP, "data/settings.yaml", "token: hf_" + 30 * "x"),
    ("stateful-deletion-protection", "prod", CLUSTER, "deletionPolicy", "DELETE"),
    ("stateful-deletion-protection", "prod", CLUSTER, "deletionProtection", False),
    ("stateful-deletion-protection", "prod", BUCKET, "deletionPolicy", ABSENT),
    ("stateful-deletion-protection", "prod", REDIS, "deletionPolicy", ABSENT),
    ("stateful-pulumi-protect", "prod", CLUSTER, PROTECT, False),
    ("stateful-pulumi-protect", "prod", BUCKET, PROTECT, False),
    ("stateful-pulumi-protect", "prod", REDIS, PROTECT, False),
    ("bucket-recoverable-objects", "prod", BUCKET, "forceDestroy", True),
    ("bucket-recoverable-objects", "prod", BUCKET, "softDeletePolicy/retentionDurationSeconds", 0),
    ("bucket-no-public-access", "prod", BUCKET, "publicAccessPrevention", "inherited"),
    ("bucket-no-public-access", "prod", BUCKET, "uniformBucketLevelAccess", False),
    ("redis-auth-enabled", "prod", REDIS, "authEnabled", False),
    ("redis-high-availability", "prod", REDIS, "tier", "BASIC"),
    ("nodepool-gpu-taint", "prod", NODE_POOL, f"{NODE}/taints", []),
    ("nodepool-gpu-taint", "prod", NODE_POOL, f"{NODE}/taints/0/effect", "PREFER_NO_SCHEDULE"),
    ("nodepool-gpu-max-nodes", "prod", NODE_POOL, "nodeCount", ABSENT),
    ("nodepool-specific-reservation", "prod", NODE_POOL, RESERVATION, {"consumeReservationType": "ANY_RESERVATION"}),
    ("nodepool-no-idle-gpus", "staging", NODE_POOL, "autoscaling/totalMinNodeCount", 1),
    ("nodepool-no-idle-gpus", "staging", NODE_POOL, "initialNodeCount", 1),
    ("nodepool-valid-capacity", "staging", NODE_POOL, f"{NODE}/spot", True),
    ("nodepool-valid-capacity", "prod", NODE_POOL, f"{NODE}/spot", True),
    ("nodepool-valid-capacity", "prod", NODE_POOL, f"{RESERVATION}/values", ABSENT),
    ("nodepool-valid-capacity", "staging", NODE_POOL, "management/autoRepair", True),
    ("nodepool-valid-capacity", "prod", NODE_POOL, "queuedProvisioning", {"enabled": True}),
    ("nodepool-valid-capacity", "prod", NODE_POOL, "autoscaling", {"totalMaxNodeCount": 2}),
    ("cluster-no-auto-provisioning", "prod", CLUSTER, "nodePools", [{"name": "more"}]),
    ("cluster-no-auto-provisioning", "prod", CLUSTER, "clusterAutoscaling", {"enabled": True}),
    ("cluster-no-auto-provisioning", "prod", CLUSTER, "removeDefaultNodePool", ABSENT),
    ("backendpolicy-explicit-limits", "prod", BACKEND_POLICY, f"{BACKEND}/timeoutSec", ABSENT),
    ("backendpolicy-explicit-limits", "prod", BACKEND_POLICY, f"{BACKEND}/timeoutSec", 30),
    ("backendpolicy-explicit-limits", "prod", BACKEND_POLICY, f"{BACKEND}/connectionDraining", ABSENT),
    ("backendpolicy-explicit-limits", "prod", BACKEND_POLICY, f"{BACKEND}/connectionDraining/drainingTimeoutSec", 0),
    ("backendpolicy-explicit-limits", "prod", BACKEND_POLICY, f"{BACKEND}/maxRatePerEndpoint", ABSENT),
    ("healthcheckpolicy-serve-endpoint", "prod", HEALTH_CHECK_POLICY, f"{BACKEND}/config/httpHealthCheck/port", 8265),
    (
        "healthcheckpolicy-serve-endpoint",
        "prod",
        HEALTH_CHECK_POLICY,
        f"{BACKEND}/config/httpHealthCheck/requestPath",
        "/",
    ),
    ("healthcheckpolicy-serve-endpoint", "prod", HEALTH_CHECK_POLICY, f"{BACKEND}/config", ABSENT),
    ("rayservice-termination-grace-period", "prod", RAY_SERVICE, f"{WORKER_POD}/terminationGracePeriodSeconds", 30),
    ("rayservice-termination-grace-period", "prod", RAY_SERVICE, f"{WORKER_POD}/terminationGracePeriodSeconds", ABSENT),
    ("backendpolicy-timeout-order", "prod", BACKEND_POLICY, f"{BACKEND}/timeoutSec", 60),
    ("backendpolicy-timeout-order", "prod", BACKEND_POLICY, f"{BACKEND}/connectionDraining/drainingTimeoutSec", 60),
    ("backendpolicy-timeout-order", "prod", RAY_SERVICE, "spec/rayClusterDeletionDelaySeconds", ABSENT),
    ("rayservice-disruption-budget", "prod", DISRUPTION_BUDGET, "spec/minAvailable", "50%"),
    ("rayservice-disruption-budget", "prod", DISRUPTION_BUDGET, "spec", {"maxUnavailable": 1, "selector": {}}),
    (
        "rayservice-disruption-budget",
        "prod",
        DISRUPTION_BUDGET,
        "spec/selector/matchLabels",
        {"app.kubernetes.io/name": "another"},
    ),
    ("rayservice-disruption-budget", "prod", DISRUPTION_BUDGET, "metadata/namespace", "another"),
    ("route-backend-policies", "prod", HEALTH_CHECK_POLICY, "spec/targetRef/name", "another-serve-svc"),
    ("route-backend-policies", "prod", BACKEND_POLICY, "spec/targetRef/name", "another-serve-svc"),
    ("gpu-min-regions", "prod", NODE_POOL, "location", "us-central1"),
    ("raycluster-consistent-flags", "prod", RAY_SERVICE, f"{WORKER}/env/3/value", "0"),
    ("raycluster-consistent-flags", "prod", RAY_SERVICE, f"{HEAD}/env/2/value", "0"),
    ("rayservice-media-hosts", "prod", RAY_SERVICE, SERVE_CONFIG, serve_config(allowed_media_domains=None)),
    ("rayservice-media-hosts", "prod", RAY_SERVICE, SERVE_CONFIG, serve_config(allowed_media_domains=[])),
    (
        "rayservice-media-hosts",
        "prod",
        RAY_SERVICE,
        SERVE_CONFIG,
        serve_config().replace("VLLM_MEDIA_URL_ALLOW_REDIRECTS", "VLLM_OTHER"),
    ),
    ("rayservice-trusted-code", "prod", RAY_SERVICE, SERVE_CONFIG, serve_config(trust_remote_code=True)),
    ("rayservice-trusted-code", "staging", RAY_SERVICE, SERVE_CONFIG, serve_config(allowed_local_media_path="/")),
    ("rayservice-trusted-code", "prod", RAY_SERVICE, SERVE_CONFIG, serve_config(worker_extension_cls="a.B")),
    ("rayservice-pinned-model", "prod", RAY_SERVICE, SERVE_CONFIG, serve_config(revision=None)),
    ("rayservice-pinned-model", "prod", RAY_SERVICE, SERVE_CONFIG, serve_config(tokenizer="google/other")),
    (
        "rayservice-pinned-model",
        "prod",
        RAY_SERVICE,
        SERVE_CONFIG,
        serve_config(speculative_config={"model": "google/draft"}),
    ),
    ("rayservice-pinned-model", "staging", RAY_SERVICE, SERVE_CONFIG, serve_config(revision="main")),
    ("raycluster-min-ray-version", "prod", RAY_SERVICE, "spec/rayClusterConfig/rayVersion", "2.55.1"),
    ("raycluster-min-ray-version", "prod", RAY_CLUSTER, "spec/rayVersion", ABSENT),
    ("rayservice-gcs-fault-tolerance", "prod", RAY_SERVICE, FAULT_TOLERANCE, ABSENT),
    ("raycluster-own-redis-namespace", "prod", RAY_SERVICE, f"{FAULT_TOLERANCE}/externalStorageNamespace", "llm"),
    (
        "raycluster-own-redis-namespace",
        "prod",
        RAY_SERVICE,
        "metadata/annotations/ray.io~external-storage-namespace",
        "llm",
    ),
    ("rayservice-exclude-head", "prod", RAY_SERVICE, "spec/excludeHeadPodFromServeSvc", False),
    ("rayservice-exclude-head", "prod", RAY_SERVICE, "spec/excludeHeadPodFromServeSvc", ABSENT),
    (
        "rayservice-no-initializing-timeout",
        "prod",
        RAY_SERVICE,
        "metadata/annotations/ray.io~initializing-timeout",
        "10m",
    ),
    ("raycluster-autoscaler-v2", "staging", RAY_SERVICE, "spec/rayClusterConfig/autoscalerOptions/version", "v1"),
    ("raycluster-autoscaler-v2", "staging", RAY_SERVICE, "spec/rayClusterConfig/autoscalerOptions", ABSENT),
    ("pod-no-privileged-containers", "prod", RAY_SERVICE, f"{WORKER}/securityContext/privileged", True),
    ("pod-no-privileged-containers", "prod", RAY_SERVICE, f"{WORKER}/securityContext/capabilities/add", ["SYS_ADMIN"]),
    (
        "pod-no-privileged-containers",
        "prod",
        CRON_JOB,
        "spec/jobTemplate/spec/template/spec/containers/0",
        {
            **CONTAINER,
            "securityContext": {"allowPrivilegeEscalation": True},
        },
    ),
    ("pod-no-host-access", "prod", RAY_SERVICE, f"{WORKER_POD}/hostNetwork", True),
    ("pod-no-host-access", "prod", RAY_SERVICE, f"{WORKER_POD}/hostPID", True),
    ("pod-no-host-access", "prod", RAY_SERVICE, f"{WORKER_POD}/volumes/0", {"name": "x", "hostPath": {"path": "/"}}),
    ("pod-no-host-access", "prod", RAY_SERVICE, f"{WORKER}/ports/0/hostPort", 8000),
    ("pod-image-digest", "prod", RAY_SERVICE, f"{HEAD}/image", "rayproject/ray-llm:2.56.0"),
    ("pod-image-digest", "prod", RAY_SERVICE, f"{WORKER}/image", "rayproject/ray-llm:latest"),
    ("pod-image-digest", "prod", DEPLOYMENT, "spec/template/spec/initContainers/0/image", "us-docker.pkg.dev/p/r/i"),
    (
        "pod-image-digest",
        "prod",
        CRON_JOB,
        "spec/jobTemplate/spec/template/spec/containers/0",
        {
            "image": "us-docker.pkg.dev/p/r/i:1",
        },
    ),
    ("pod-image-registry", "prod", RAY_SERVICE, f"{WORKER}/image", f"someone/ray-llm{DIGEST}"),
    ("pod-image-registry", "prod", DEPLOYMENT, "spec/template/spec/containers/0/image", f"pkg.dev.x.io/i{DIGEST}"),
    ("nodepool-resource-labels", "prod", NODE_POOL, f"{NODE}/resourceLabels/owner", ABSENT),
    ("nodepool-resource-labels", "prod", NODE_POOL, f"{NODE}/resourceLabels", ABSENT),
    ("provider-default-labels", "prod", GOOGLE_PROVIDER, "defaultLabels", ABSENT),
    ("provider-default-labels", "prod", GOOGLE_PROVIDER, "defaultLabels", json.dumps({"owner": "serving"})),
)
"""(policy, entry of STACKS, type, path, value): the policy that this value at this path violates."""
MISSING = {
    "rayservice-network-policy": ("prod", ("us-east4-llm-ingress",)),
    "rayservice-disruption-budget": ("prod", ("us-east4-llm-worker-budget",)),
    "route-backend-policies": ("prod", ("prod-healthcheckpolicy-llm-serve-svc",)),
    "gpu-min-regions": ("prod", ("prod-us-east4-a4",)),
}
"""Policy -> (entry of STACKS, names): the policy that a stack without these resources violates."""
NOT_ALLOWED = {
    "iam-no-service-account-keys": Resource(SERVICE_ACCOUNT_KEY, "by-hand", {}),
    "ingress-not-allowed": Resource(INGRESS, "by-hand", {}),
}
"""Policy -> a resource that violates it with any inputs."""
