"""Each policy is silent about what this stack makes, and alone says what breaks it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from policies.kit import BUCKET, CLUSTER, NODE_POOL, RAY_SERVICE, REDIS, UNKNOWN, each, plain
from policies.pack import POLICIES
from tests.unit import ray_services

SERVICE = "kubernetes:core/v1:Service"
FIREWALL = "gcp:compute/firewall:Firewall"
PROJECT_GRANT = "gcp:projects/iAMMember:IAMMember"
BUCKET_GRANT = "gcp:storage/bucketIAMMember:BucketIAMMember"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
KEY = "gcp:serviceaccount/key:Key"
ABSENT = object()
GCS = "gcsFaultToleranceOptions"


def _ray_service() -> dict[str, Any]:
    spec = ray_services.spec(ray_services.args("prod"))
    spec["rayClusterConfig"][GCS] = {"redisAddress": "10.0.0.1:6379"}
    return {"spec": spec}


GOOD: Mapping[str, dict[str, Any]] = {
    CLUSTER: {
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": {"allowExternalTraffic": True},
            "ipEndpointsConfig": {"enabled": False},
        },
        "deletionPolicy": "PREVENT",
        "masterAuthorizedNetworksConfig": {"cidrBlocks": [{"cidrBlock": "198.51.100.0/24"}]},
        "network": UNKNOWN,
        "privateClusterConfig": {"enablePrivateNodes": True},
        "workloadIdentityConfig": {"workloadPool": "example.svc.id.goog"},
    },
    NODE_POOL: {
        "cluster": UNKNOWN,
        "networkConfig": {"enablePrivateNodes": True},
        "nodeConfig": {
            "guestAccelerators": [{"count": 8, "type": "nvidia-b200"}],
            "reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION", "values": ["ours"]},
            "resourceLabels": {"environment": "prod", "owner": "serving"},
            "serviceAccount": "prod-nodes@example.iam.gserviceaccount.com",
            "taints": [{"effect": "NO_SCHEDULE", "key": "nvidia.com/gpu", "value": "present"}],
            "workloadMetadataConfig": {"mode": "GKE_METADATA"},
        },
        "nodeCount": 2,
    },
    BUCKET: {"deletionPolicy": "PREVENT", "forceDestroy": False, "publicAccessPrevention": "enforced"},
    REDIS: {"authEnabled": True, "deletionPolicy": "PREVENT"},
    FIREWALL: {"direction": "INGRESS", "sourceRanges": ["35.191.0.0/16"]},
    PROJECT_GRANT: {"member": "serviceAccount:nodes", "role": "roles/container.defaultNodeServiceAccount"},
    BUCKET_GRANT: {"member": "principal://ray-worker", "role": "roles/storage.objectViewer"},
    ROLE: {"rules": [{"resources": ["pods"], "verbs": ["get", "list"]}]},
    SERVICE: {"spec": {"type": "ClusterIP"}},
    RAY_SERVICE: _ray_service(),
}
HEAD = "spec.rayClusterConfig.headGroupSpec.template.spec.containers.0"
WORKER = "spec.rayClusterConfig.workerGroupSpecs.0.template.spec.containers.0"
DIGEST = "@sha256:" + 64 * "1"
MUTANTS: tuple[tuple[str, str, str, Any], ...] = (
    ("api-open-to-all", CLUSTER, "masterAuthorizedNetworksConfig.cidrBlocks.0.cidrBlock", "0.0.0.0/0"),
    ("api-open-to-all", CLUSTER, "masterAuthorizedNetworksConfig.cidrBlocks.0.cidrBlock", "::/0"),
    ("api-by-address", CLUSTER, "controlPlaneEndpointsConfig.ipEndpointsConfig.enabled", True),
    ("api-by-address", CLUSTER, "controlPlaneEndpointsConfig", ABSENT),
    ("firewall-open-to-all", FIREWALL, "sourceRanges.0", "0.0.0.0/0"),
    ("nodes-private", CLUSTER, "privateClusterConfig.enablePrivateNodes", False),
    ("nodes-private", CLUSTER, "privateClusterConfig", ABSENT),
    ("pool-private", NODE_POOL, "networkConfig", ABSENT),
    ("service-beside-the-gateway", SERVICE, "spec.type", "LoadBalancer"),
    ("service-beside-the-gateway", SERVICE, "spec.type", "NodePort"),
    ("workload-identity", CLUSTER, "workloadIdentityConfig", ABSENT),
    ("metadata-of-the-node", NODE_POOL, "nodeConfig.workloadMetadataConfig", ABSENT),
    ("metadata-of-the-node", NODE_POOL, "nodeConfig.workloadMetadataConfig.mode", "GCE_METADATA"),
    ("node-account", NODE_POOL, "nodeConfig.serviceAccount", ABSENT),
    ("node-account", NODE_POOL, "nodeConfig.serviceAccount", "default"),
    ("role-too-broad", PROJECT_GRANT, "role", "roles/editor"),
    ("role-too-broad", PROJECT_GRANT, "role", "roles/owner"),
    ("granted-to-all", BUCKET_GRANT, "member", "allUsers"),
    ("granted-to-all", PROJECT_GRANT, "members", ["allAuthenticatedUsers"]),
    ("role-makes-pods", ROLE, "rules.0.verbs", ["create"]),
    ("role-makes-pods", ROLE, "rules.0", {"resources": ["*"], "verbs": ["*"]}),
    ("deletion-prevented", CLUSTER, "deletionPolicy", "DELETE"),
    ("deletion-prevented", BUCKET, "deletionPolicy", ABSENT),
    ("deletion-prevented", REDIS, "deletionPolicy", ABSENT),
    ("bucket-emptied", BUCKET, "forceDestroy", True),
    ("bucket-public", BUCKET, "publicAccessPrevention", "inherited"),
    ("redis-without-password", REDIS, "authEnabled", False),
    ("gpu-untainted", NODE_POOL, "nodeConfig.taints", []),
    ("gpu-unbounded", NODE_POOL, "nodeCount", ABSENT),
    ("gpu-any-reservation", NODE_POOL, "nodeConfig.reservationAffinity.consumeReservationType", "ANY_RESERVATION"),
    ("ray-flags-differ", RAY_SERVICE, f"{WORKER}.env.3.value", "0"),
    ("ray-flags-differ", RAY_SERVICE, f"{HEAD}.env.2.value", "0"),
    ("head-state-in-the-pod", RAY_SERVICE, f"spec.rayClusterConfig.{GCS}", ABSENT),
    ("image-by-tag", RAY_SERVICE, f"{HEAD}.image", "rayproject/ray-llm:2.56.0"),
    ("image-by-tag", RAY_SERVICE, f"{WORKER}.image", "rayproject/ray-llm:latest"),
    ("ray-privileged", RAY_SERVICE, f"{WORKER}.securityContext.privileged", True),
    ("machines-unlabelled", NODE_POOL, "nodeConfig.resourceLabels.owner", ABSENT),
    ("machines-unlabelled", NODE_POOL, "nodeConfig.resourceLabels", ABSENT),
)


def fired(token: str, inputs: Mapping[str, Any]) -> set[str]:
    return {policy.name for policy in POLICIES if token in policy.types and list(policy.broken(inputs))}


def changed(token: str, *edits: tuple[str, Any]) -> dict[str, Any]:
    """The good inputs of that type with something else at each path."""
    inputs = copy.deepcopy(GOOD[token])
    for path, value in edits:
        *way, last = path.split(".")
        inside: Any = inputs
        for step in way:
            inside = inside[int(step)] if isinstance(inside, list) else inside.setdefault(step, {})
        if value is ABSENT:
            del inside[last]
        else:
            inside[int(last) if isinstance(inside, list) else last] = value
    return inputs


@pytest.mark.parametrize("token", GOOD)
def test_silent_about_what_is_good(token: str) -> None:
    assert fired(token, GOOD[token]) == set()


@pytest.mark.parametrize(("name", "token", "path", "value"), MUTANTS)
def test_exactly_the_policy_meant_speaks(name: str, token: str, path: str, value: Any) -> None:
    assert fired(token, changed(token, (path, value))) == {name}


def test_haproxy_off_for_everyone() -> None:
    """On both, so that they do not differ."""
    flags = tuple((f"{group}.env.0.value", "0") for group in (HEAD, WORKER))
    assert fired(RAY_SERVICE, changed(RAY_SERVICE, *flags)) == {"ray-without-haproxy"}


def test_googles_own_agents_may_have_what_google_asks_for() -> None:
    agent = "serviceAccount:service-1@gcp-sa-multiclusteringress.iam.gserviceaccount.com"
    edits = (("role", "roles/container.admin"), ("member", agent))
    assert fired(PROJECT_GRANT, changed(PROJECT_GRANT, *edits)) == set()
    assert fired(PROJECT_GRANT, changed(PROJECT_GRANT, edits[0])) == {"role-too-broad"}


def test_a_key_is_always_wrong() -> None:
    assert fired(KEY, {}) == {"account-key"}


def test_every_policy_has_a_way_to_be_broken() -> None:
    tried = {name for name, *_ in MUTANTS} | {"ray-without-haproxy", "account-key"}
    assert {policy.name for policy in POLICIES} == tried


def test_names_are_told_apart() -> None:
    names = [policy.name for policy in POLICIES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("token", GOOD)
def test_what_is_unknown_breaks_nothing(token: str) -> None:
    """Of a preview in which every input is yet to be made."""
    for policy in POLICIES:
        if token in policy.types:
            assert list(policy.broken(dict.fromkeys(GOOD[token], UNKNOWN))) == [], policy.name


def test_inputs_become_plain() -> None:
    assert plain({"a": [{"b": 1}], "c": "text"}) == {"a": [{"b": 1}], "c": "text"}
    assert list(_texts(plain({"a": ["x", "y"]}))) == ["x", "y"]


def _texts(value: Any) -> Iterator[str]:
    yield from each(value, "a")
