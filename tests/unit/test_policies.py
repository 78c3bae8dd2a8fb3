"""Each policy is silent about what this stack makes, and alone says what breaks it."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockMonitor

import versions
from config.google import pricing
from config.google.machine_types import GPU_MACHINE_TYPES, CapacityKind
from config.stack import check
from infra.google.provision import provision
from paths import CHECKOUT
from policies.base import PROTECT, Resource
from policies.inputs import UNKNOWN, each, plain
from policies.pack import POLICIES, STACK_POLICIES
from policies.reliability import HAPROXY_SERVER_TIMEOUT
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
from tests.golden.inventory import scenarios
from tests.unit.case import blocks, edited
from tests.unit.test_google_provision import Cloud
from tests.unit.test_google_settings import PUBLIC
from workloads.kubernetes.deploy import deploy

PROJECT_GRANT = "gcp:projects/iAMMember:IAMMember"
PROJECT_GRANTS = "gcp:projects/iAMBinding:IAMBinding"
BUCKET_GRANT = "gcp:storage/bucketIAMMember:BucketIAMMember"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
KEY = "gcp:serviceaccount/key:Key"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CRON_JOB = "kubernetes:batch/v1:CronJob"
RAY_CLUSTER = "kubernetes:ray.io/v1:RayCluster"
ABSENT = object()

UNGATED = {"serving.model.gated": False}
"""Without a token: the environments of this repository have none yet."""
EDITS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "prod": ("prod", {}),
    "staging": ("staging", {}),
    "dev": ("dev", {}),
    "public": ("prod", {"infra.gateway": PUBLIC}),
}
"""Stack -> the environment that it is made from, and what is written differently in it."""


class Google(Cloud):
    """Assigns what this program reads on top."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        name, outputs = super().new_resource(args)
        proof = {"dnsResourceRecords": [{"name": "proof", "type": "CNAME", "data": "proof"}]}
        return name, {**outputs, **(proof if args.typ.endswith(":DnsAuthorization") else {})}


class Recorder(MockMonitor):
    """Keeps what the engine is asked for, as the pack would see it."""

    def __init__(self, mocks: pulumi.runtime.Mocks) -> None:
        super().__init__(mocks)
        self.made: list[Resource] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, the engine's own name
        if request.custom:
            inputs = {**rpc.deserialize_properties(request.object), PROTECT: request.protect}
            self.made.append(Resource(request.type, request.name, inputs, request.name, request.provider))
        return super().RegisterResource(request)


def record(stack: str, edit: Mapping[str, Any]) -> Sequence[Resource]:
    """Everything that an environment is made of."""
    settings = check(stack, edited(blocks(stack), dict(edit)))
    recorder = Recorder(Google())
    pulumi.runtime.set_mocks(recorder.mocks, project="rayllm", stack=stack, preview=False, monitor=recorder)

    def program() -> None:
        platform = provision(settings.infra, stack)  # type: ignore[arg-type]
        if settings.serving is not None:
            deploy(settings.serving, platform, None)

    pulumi.runtime.test(program)()
    return sorted(recorder.made, key=lambda one: (one.type, one.name))


@functools.cache
def made(name: str) -> Sequence[Resource]:
    """The stack of that name in EDITS, recorded once."""
    stack, edit = EDITS[name]
    return record(stack, {**UNGATED, **edit})


def fired(resources: Sequence[Resource], environment: str = "prod") -> set[str]:
    """Names of the policies that stop it."""
    return {name for name, _ in told(resources, environment)} - {each.name for each in STACK_POLICIES if each.advisory}


def told(resources: Sequence[Resource], environment: str = "prod") -> Iterator[tuple[str, str]]:
    """(policy, sentence) of all that the pack says."""
    written = json.loads((CHECKOUT / "policies" / f"{environment}.json").read_text())
    for policy in POLICIES:
        for resource in resources:
            if resource.type in policy.types:
                yield from ((policy.name, sentence) for sentence in policy.violations(resource.inputs))
    for policy in STACK_POLICIES:
        seen = [resource for resource in resources if resource.type in policy.types]
        for sentence, about in policy.violations(seen, written.get(policy.name, {})):
            assert about is None or about in seen
            yield policy.name, sentence


def changed(resources: Sequence[Resource], token: str, *edits: tuple[str, Any]) -> list[Resource]:
    """All of it, with something else at each path (a JSON pointer, `~` for a slash in a name) of the last resource of
    that type; of pools, one with GPUs."""
    (at,) = [
        i for i, one in enumerate(resources) if one.type == token and (token != NODE_POOL or "gpu" in str(one.inputs))
    ][-1:]
    inputs = copy.deepcopy(dict(resources[at].inputs))
    for path, value in edits:
        *way, last = (step.replace("~", "/") for step in path.split("/"))
        inside: Any = inputs
        for step in way:
            inside = inside[int(step)] if isinstance(inside, list) else inside.setdefault(step, {})
        if value is ABSENT:
            del inside[last]
        elif last == "-":
            inside.append(value)
        else:
            inside[int(last) if isinstance(inside, list) else last] = value
    return [*resources[:at], replace(resources[at], inputs=inputs), *resources[at + 1 :]]


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
"""What this stack has none of, made by somebody beside it."""

POD = "spec/rayClusterConfig/{}/template/spec/{}"
HEAD = POD.format("headGroupSpec", "containers/0")
WORKER = POD.format("workerGroupSpecs/0", "containers/0")
WORKER_POD = "spec/rayClusterConfig/workerGroupSpecs/0/template/spec"
NODE = "nodeConfig"
PLAIN_TOKEN = [{"name": "HF_TOKEN", "value": "hf_" + 30 * "x"}]
API = "masterAuthorizedNetworksConfig"
ADDRESS = "controlPlaneEndpointsConfig/ipEndpointsConfig/enabled"
RESERVATION = f"{NODE}/reservationAffinity"
GCS = "spec/rayClusterConfig/gcsFaultToleranceOptions"
RULE = "spec/rules/0/backendRefs/0"
BACKEND = "spec/default"

Mutant = tuple[str, str, str, str, Any]
MUTANTS: tuple[Mutant, ...] = (
    ("cluster-authorized-networks", "prod", CLUSTER, API, {"cidrBlocks": [{"cidrBlock": "0.0.0.0/0"}]}),
    ("cluster-authorized-networks", "prod", CLUSTER, API, {"cidrBlocks": [{"cidrBlock": "128.0.0.0/1"}]}),
    ("cluster-authorized-networks", "prod", CLUSTER, API, {"cidrBlocks": [{"cidrBlock": "::/0"}]}),
    ("cluster-authorized-networks", "prod", CLUSTER, API, {"gcpPublicCidrsAccessEnabled": True}),
    ("cluster-dns-endpoint-only", "prod", CLUSTER, ADDRESS, True),
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
    ("pod-no-plain-text-secrets", "prod", RAY_SERVICE, f"{GCS}/redisPassword", {"value": "anything"}),
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
    ("raycluster-min-ray-version", "prod", RAY_SERVICE, "spec/rayClusterConfig/rayVersion", "2.55.1"),
    ("raycluster-min-ray-version", "prod", RAY_CLUSTER, "spec/rayVersion", ABSENT),
    ("rayservice-gcs-fault-tolerance", "prod", RAY_SERVICE, GCS, ABSENT),
    ("raycluster-own-redis-namespace", "prod", RAY_SERVICE, f"{GCS}/externalStorageNamespace", "llm"),
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


def by_hand(name: str) -> list[Resource]:
    """The stack of that name with what is made by hand in it."""
    return [*made(name), *(Resource(token, "by-hand", inputs) for token, inputs in HAND_MADE.items())]


def without(resources: Sequence[Resource], *names: str) -> list[Resource]:
    """All but those of these names; each is there."""
    assert {each.name for each in resources} >= set(names)
    return [each for each in resources if each.name not in names]


@pytest.mark.parametrize("name", ["prod", "staging", "public"])
def test_silent_about_what_this_stack_makes(name: str) -> None:
    assert fired(by_hand(name), EDITS[name][0]) == set()


def test_dev_keeps_nothing_and_the_pack_says_so() -> None:
    assert fired(made("dev"), "dev") == {
        "stateful-deletion-protection",
        "stateful-pulumi-protect",
        "rayservice-gcs-fault-tolerance",
    }


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_silent_about_whatever_settings_allow(scenario: Any) -> None:
    """In the environments of the golden inventories."""
    resources = record(scenario.stack, {"serving": None, **scenario.edit})
    advised = {
        "stateful-deletion-protection",
        "stateful-pulumi-protect",
        "redis-high-availability",
        "gpu-monthly-budget",
    }
    assert fired(resources, scenario.stack) - (advised if scenario.stack == "dev" else set()) == set()


@pytest.mark.parametrize(("name", "stack", "token", "path", "value"), MUTANTS)
def test_exactly_the_policy_meant_speaks(name: str, stack: str, token: str, path: str, value: Any) -> None:
    assert fired(changed(by_hand(stack), token, (path, value)), EDITS[stack][0]) == {name}


MISSING = {
    "rayservice-network-policy": ("prod", ("us-east4-llm-ingress",)),
    "rayservice-disruption-budget": ("prod", ("us-east4-llm-worker-budget",)),
    "route-backend-policies": ("prod", ("prod-healthcheckpolicy-llm-serve-svc",)),
    "gpu-min-regions": ("prod", ("prod-us-east4-a4",)),
}


@pytest.mark.parametrize("name", MISSING)
def test_exactly_the_policy_meant_misses_what_is_not_there(name: str) -> None:
    stack, gone = MISSING[name]
    assert fired(without(made(stack), *gone), EDITS[stack][0]) == {name}


ALWAYS = {
    "iam-no-service-account-keys": Resource(KEY, "by-hand", {}),
    "ingress-not-allowed": Resource(INGRESS, "by-hand", {}),
}


@pytest.mark.parametrize("name", ALWAYS)
def test_what_is_always_wrong(name: str) -> None:
    assert fired([*made("prod"), ALWAYS[name]]) == {name}


def test_haproxy_off_for_everyone() -> None:
    """On both, so that they do not differ."""
    flags = tuple((f"{group}/env/0/value", "0") for group in (HEAD, WORKER))
    assert fired(changed(made("prod"), RAY_SERVICE, *flags)) == {"raycluster-haproxy-streaming"}


def test_what_is_asked_of_haproxy_alone_breaks_the_chain() -> None:
    """A longer answer, written in the pods and not at the gateway."""
    found = [i for i, one in enumerate(variables("prod")) if one["name"] == HAPROXY_SERVER_TIMEOUT]
    longer = tuple((f"{group}/env/{found[0]}/value", "4000") for group in (HEAD, WORKER))
    assert fired(changed(made("prod"), RAY_SERVICE, *longer)) == {"backendpolicy-timeout-order"}


def variables(stack: str) -> list[dict[str, Any]]:
    """Of the head of a RayService."""
    (service, *_) = [one for one in made(stack) if one.type == RAY_SERVICE]
    return service.inputs["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]


def test_a_range_in_two_zones_or_blue_and_green_is_not_compact() -> None:
    compact = ("placementPolicy", {"type": "COMPACT"})
    assert fired(changed(made("prod"), NODE_POOL, compact)) == set()
    zones = ("nodeLocations", ["us-east4-a", "us-east4-b"])
    assert fired(changed(made("prod"), NODE_POOL, compact, zones)) == {"nodepool-valid-capacity"}
    colours = ("upgradeSettings/strategy", "BLUE_GREEN")
    assert fired(changed(made("prod"), NODE_POOL, compact, colours)) == {"nodepool-valid-capacity"}


def test_a_machine_that_comes_with_gpus_needs_no_word_of_them() -> None:
    edits = ((f"{NODE}/guestAccelerators", ABSENT), (f"{NODE}/taints", ABSENT))
    assert fired(changed(made("prod"), NODE_POOL, *edits)) == {"nodepool-gpu-taint"}


def test_flex_start_with_a_fixed_size_is_a_contradiction() -> None:
    edits = (("autoscaling", ABSENT), ("nodeCount", 0))
    assert fired(changed(made("staging"), NODE_POOL, *edits), "staging") == {"nodepool-valid-capacity"}


def test_an_address_that_only_the_network_reaches_is_no_way_in() -> None:
    edits = ((ADDRESS, True), ("privateClusterConfig/enablePrivateEndpoint", True))
    assert fired(changed(made("prod"), CLUSTER, *edits)) == set()


def test_a_rule_that_denies_everyone_opens_nothing() -> None:
    edits = (("sourceRanges", ["0.0.0.0/0"]), ("denies", [{"protocol": "all"}]), ("allows", ABSENT))
    assert fired(changed(made("prod"), FIREWALL, *edits)) == set()


def test_googles_own_agents_may_have_what_google_asks_for() -> None:
    agent = "serviceAccount:service-1@gcp-sa-multiclusteringress.iam.gserviceaccount.com"
    edits = (("role", "roles/container.admin"), ("members", [agent]))
    assert fired(changed(by_hand("prod"), PROJECT_GRANTS, *edits)) == set()
    edits = (("role", "roles/container.admin"), ("members", [agent, "user:someone@example.com"]))
    assert fired(changed(by_hand("prod"), PROJECT_GRANTS, *edits)) == {"iam-no-broad-roles"}


def test_the_autoscaler_of_a_head_may_call_the_kubernetes_api() -> None:
    path = POD.format("headGroupSpec", "automountServiceAccountToken")
    assert fired(changed(made("staging"), RAY_SERVICE, (path, True)), "staging") == set()


def test_no_secret_is_repeated_in_a_sentence() -> None:
    secret = "hf_" + 30 * "z"
    env = [{"name": "VLLM_API_KEY", "value": secret}, {"name": "RAY_TOKEN", "value": secret}]
    resources = changed(made("prod"), RAY_SERVICE, (f"{WORKER}/env", [*variables("prod"), *env]))
    sentences = [sentence for _, sentence in told(resources)]
    assert any("VLLM_API_KEY" in sentence for sentence in sentences)
    assert [sentence for sentence in sentences if secret in sentence] == []


def test_an_environment_above_its_ceiling_is_told_by_how_much() -> None:
    nodes = ("autoscaling/totalMaxNodeCount", 20)
    dear = changed(made("staging"), NODE_POOL, nodes)
    assert fired(dear, "staging") == {"gpu-monthly-budget"}
    price = GPU_MACHINE_TYPES["a4-highgpu-8g"].price(CapacityKind.FLEX_START)
    assert price is not None
    assert f"{20 * price.usd * pricing.HOURS:,.0f} USD" in dict(told(dear, "staging"))["gpu-monthly-budget"]


def test_what_has_no_price_is_named_and_hides_nothing() -> None:
    assert "prod-us-east4-a4 (a4-highgpu-8g, reservation)" in dict(told(made("prod")))["gpu-known-price"]
    assert "gpu-known-price" not in dict(told(made("staging"), "staging"))
    known = [one for one in made("staging") if one.type == NODE_POOL]
    dear = changed(known, NODE_POOL, ("autoscaling/totalMaxNodeCount", 400))
    both = [*dear, *made("prod")]
    said = dict(told(both))
    assert {"gpu-monthly-budget", "gpu-known-price"} <= said.keys()
    assert "prod-us-east4-a4" in said["gpu-monthly-budget"]


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_what_an_environment_writes_is_what_policies_read(environment: str) -> None:
    written = json.loads((CHECKOUT / "policies" / f"{environment}.json").read_text())
    assert written.pop("all", "mandatory") == ("advisory" if environment == "dev" else "mandatory")
    assert {name: set(values) for name, values in written.items()}.items() <= {
        policy.name: set(policy.config_schema) for policy in STACK_POLICIES if policy.config_schema
    }.items()


def test_every_policy_has_a_way_to_be_broken() -> None:
    tried = {name for name, *_ in MUTANTS} | ALWAYS.keys() | MISSING.keys()
    tried |= {"raycluster-haproxy-streaming", "gpu-monthly-budget", "gpu-known-price"}
    assert {policy.name for policy in (*POLICIES, *STACK_POLICIES)} == tried


def test_names_are_told_apart() -> None:
    names = [policy.name for policy in (*POLICIES, *STACK_POLICIES)]
    assert len(set(names)) == len(names)


def blurred(value: Any, depth: int) -> Any:
    """`value` of a preview that knows nothing below that depth."""
    if depth == 0:
        return UNKNOWN
    if isinstance(value, Mapping):
        return {key: blurred(inside, depth - 1) for key, inside in value.items()}
    return [blurred(inside, depth - 1) for inside in value] if isinstance(value, list) else value


@pytest.mark.parametrize("depth", range(1, 12))
def test_what_is_unknown_breaks_nothing(depth: int) -> None:
    """In a preview in which inputs, from some depth on, are yet to be made."""
    for name in ("prod", "staging", "public"):
        inventory = [replace(one, inputs=blurred(one.inputs, depth)) for one in by_hand(name)]
        assert fired(inventory, EDITS[name][0]) == set()


def test_inputs_become_plain() -> None:
    assert plain({"a": [{"b": 1}], "c": "text"}) == {"a": [{"b": 1}], "c": "text"}
    assert list(_texts(plain({"a": ["x", "y"]}))) == ["x", "y"]


def _texts(value: Any) -> Iterator[str]:
    yield from each(value, "a")
