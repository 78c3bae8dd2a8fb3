"""Reliability: what a request and a region need to get through an upgrade, an eviction or a lost zone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.base import Policy, Resource, StackPolicy, Violation
from policies.gpu_node_pools import has_gpus
from policies.inputs import UNKNOWN, at, each, number, pods, ray_cluster
from policies.network import BACKEND_POLICY, NETWORK_POLICY, ROUTES, SERVE, SERVE_PORT
from policies.resource_types import NODE_POOL, RAY_SERVICE

HEALTH_CHECK = "kubernetes:networking.gke.io/v1:HealthCheckPolicy"
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
HEALTH = "/-/healthz"
NODE_TYPE = "ray.io/node-type"
"""KubeRay's label on pods: head or worker."""
SERVER_S = "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"
HARD_STOP_S = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"
GOOGLES_TIMEOUT_S = 30
DRAINING_LIMIT_S = 3600
"""GCPBackendPolicy takes no more."""


def _flag(pod: Mapping[str, Any], name: str) -> float | None:
    """A number in the environment of a pod's Ray container."""
    for one in each(pod, "containers.0.env"):
        if at(one, "name") == name:
            return number(one, "value")
    return None


def _above(inputs: Any, path: str, least: float) -> bool:
    return at(inputs, path) == UNKNOWN or (number(inputs, path) or 0) > least


def _backend_defaults(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Google's: 30 s for a whole answer, no draining, a rate that no region ever reaches."""
    default = at(inputs, "spec.default")
    if not _above(default, "timeoutSec", GOOGLES_TIMEOUT_S):
        yield "Answers are cut after half a minute: write spec.default.timeoutSec, the longest answer and more."
    if not _above(default, "connectionDraining.drainingTimeoutSec", 0):
        yield "Answers are cut when a pod leaves: write spec.default.connectionDraining.drainingTimeoutSec."
    if not _above(default, "maxRatePerEndpoint", 0):
        yield "A full region never spills into the next: write spec.default.maxRatePerEndpoint, as you measured it."


def _health_check(inputs: Mapping[str, Any]) -> Iterator[str]:
    check = at(inputs, "spec.default.config.httpHealthCheck")
    port, path = at(check, "port"), at(check, "requestPath")
    if UNKNOWN not in (port, path) and (port != SERVE_PORT or path != HEALTH):
        yield f"It asks {port}{path}: write httpHealthCheck with port {SERVE_PORT} and requestPath {HEALTH}."


def _cut(inputs: Mapping[str, Any]) -> Iterator[str]:
    for where, pod in pods(ray_cluster(inputs)):
        ends, needs = number(pod, "terminationGracePeriodSeconds"), _flag(pod, HARD_STOP_S)
        if needs is not None and at(pod, "terminationGracePeriodSeconds") != UNKNOWN and (ends or 0) < needs:
            yield (
                f"{where} ends within {ends or 30:g} s, and HAProxy drains for {needs:g}: write "
                "terminationGracePeriodSeconds above that."
            )


def _chain(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    """From the gateway to the pod: whoever is nearer to the tokens gives up first."""
    services = [one for one in resources if one.type == RAY_SERVICE]
    for policy in (one for one in resources if one.type == BACKEND_POLICY):
        named = [one for one in services if f"{one.k8s_name}{SERVE}" == at(policy.inputs, "spec.targetRef.name")]
        waits = number(policy.inputs, "spec.default.timeoutSec")
        drains = number(policy.inputs, "spec.default.connectionDraining.drainingTimeoutSec")
        silence = [_flag(pod, SERVER_S) for one in named for _, pod in pods(ray_cluster(one.inputs))]
        longest = max((one for one in silence if one is not None), default=0.0)
        if waits is not None and GOOGLES_TIMEOUT_S < waits < longest:
            yield (
                f"timeoutSec is {waits:g}, and HAProxy bears {longest:g} s ({SERVER_S}): write more than that.",
                policy,
            )
        if drains and drains < min(longest, DRAINING_LIMIT_S):
            yield (
                f"drainingTimeoutSec is {drains:g}, and an answer may take {longest:g} s: write more than that.",
                policy,
            )
        for service in named:
            stays = number(service.inputs, "spec.rayClusterDeletionDelaySeconds") or 60  # KubeRay's default
            if drains is not None and stays < drains:
                yield (
                    f"The old RayCluster goes after {stays:g} s, while the gateway drains it for {drains:g}: write "
                    "rayClusterDeletionDelaySeconds above that.",
                    service,
                )


def _labels(service: Resource, kind: str) -> list[Mapping[str, Any]]:
    """What its pods of that kind carry, one group each."""
    spec = ray_cluster(service.inputs)
    groups = [at(spec, "headGroupSpec")] if kind == "head" else each(spec, "workerGroupSpecs")
    written = [at(group, "template.metadata.labels") or {} for group in groups]
    return [{**(one if isinstance(one, Mapping) else {UNKNOWN: UNKNOWN}), NODE_TYPE: kind} for one in written]


def _chosen(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Whether pods with `labels` are meant; what a preview does not know might mean them."""
    if UNKNOWN in (selector, at(selector, "matchLabels"), at(selector, "matchExpressions"), *labels.values()):
        return True
    wanted = at(selector, "matchLabels") or {}
    for one in each(selector, "matchExpressions"):
        values = each(one, "values")
        if at(one, "operator") == "In" and UNKNOWN not in values and labels.get(str(at(one, "key"))) not in values:
            return False
    return all(value in (labels.get(key), UNKNOWN) for key, value in wanted.items())


def _without_budget(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    """Whole numbers alone: a percentage, and maxUnavailable, need a controller with a scale, which a RayCluster is
    not (kubernetes/kubernetes, disruption controller)."""
    for service in (one for one in resources if one.type == RAY_SERVICE):
        for labels in _labels(service, "worker"):
            budgets = [
                one
                for one in resources
                if one.type == BUDGET
                and one.same_namespace(service)
                and _chosen(at(one.inputs, "spec.selector"), labels)
            ]
            if not budgets:
                yield "Nothing keeps its workers: write a PodDisruptionBudget with minAvailable.", service
            for budget in budgets:
                least = at(budget.inputs, "spec.minAvailable")
                if isinstance(least, str) and least != UNKNOWN:
                    yield f"minAvailable is {least}, which holds for no RayCluster: write a whole number.", budget
                if least is None:
                    yield "maxUnavailable holds for no RayCluster: write minAvailable, a whole number.", budget


def _without_network_policy(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    for service in (one for one in resources if one.type == RAY_SERVICE):
        for labels in (*_labels(service, "head"), *_labels(service, "worker")):
            if not any(
                one.type == NETWORK_POLICY
                and one.same_namespace(service)
                and any(kind in (at(one.inputs, "spec.policyTypes") or ()) for kind in ("Ingress", UNKNOWN))
                and _chosen(at(one.inputs, "spec.podSelector"), labels)
                for one in resources
            ):
                kind = labels[NODE_TYPE]
                yield f"Every pod reaches its {kind}: write a NetworkPolicy with Ingress for its pods.", service


def _without_policy(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    for route in (one for one in resources if one.type in ROUTES):
        for rule in each(route.inputs, "spec.rules"):
            for name in {at(back, "name") for back in each(rule, "backendRefs")} - {UNKNOWN}:
                for kind in (BACKEND_POLICY, HEALTH_CHECK):
                    if not any(
                        one.type == kind
                        and one.same_namespace(route)
                        and at(one.inputs, "spec.targetRef.name") in (name, UNKNOWN)
                        for one in resources
                    ):
                        yield f"{name} has Google's defaults: write a {kind.split(':')[-1]} for it.", route


def _few_regions(resources: Sequence[Resource], settings: Mapping[str, Any]) -> Iterator[Violation]:
    least = number(settings, "min_regions") or 0
    pools = [one.inputs for one in resources if one.type == NODE_POOL]
    places = {at(pool, "location") for pool in pools if has_gpus(pool)}
    hidden = UNKNOWN in (*places, *(at(pool, "nodeConfig.machineType") for pool in pools))
    if not hidden and len(places) < least:
        yield (
            f"GPUs are in {len(places)} region(s) ({', '.join(sorted(places))}): write {least:g} in infra.regions.",
            None,
        )


POLICIES = (
    Policy(
        "backendpolicy-explicit-limits",
        "high",
        "Streams are cut, and a full region never spills.",
        [BACKEND_POLICY],
        _backend_defaults,
    ),
    Policy(
        "healthcheckpolicy-serve-endpoint",
        "high",
        "Pods without a replica get requests, or none does.",
        [HEALTH_CHECK],
        _health_check,
    ),
    Policy("rayservice-termination-grace-period", "high", "Answers are cut whenever a pod ends.", [RAY_SERVICE], _cut),
)
STACK_POLICIES = (
    StackPolicy(
        "backendpolicy-timeout-order",
        "high",
        "Whoever is nearer to the tokens does not give up first: answers are cut, and nobody knows why.",
        [BACKEND_POLICY, RAY_SERVICE],
        _chain,
    ),
    StackPolicy(
        "rayservice-disruption-budget",
        "high",
        "An upgrade of nodes evicts all workers at once.",
        [RAY_SERVICE, BUDGET],
        _without_budget,
    ),
    StackPolicy(
        "rayservice-network-policy",
        "high",
        "Every pod of the cluster reaches Ray's dashboard and GCS.",
        [RAY_SERVICE, NETWORK_POLICY],
        _without_network_policy,
    ),
    StackPolicy(
        "route-backend-policies",
        "high",
        "Google's defaults cut streams and ask for a path that answers 404.",
        [*ROUTES, BACKEND_POLICY, HEALTH_CHECK],
        _without_policy,
    ),
    StackPolicy(
        "gpu-min-regions",
        "high",
        "One lost region is an outage.",
        [NODE_POOL],
        _few_regions,
        config_schema={"min_regions": {"type": "integer", "description": "fewest regions with GPUs"}},
    ),
)
