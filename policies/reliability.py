"""Reliability: settings that keep requests alive through an upgrade, an eviction and the loss of a zone or region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config.kuberay import (
    HEALTH_CHECK_PATH,
    MAX_CONNECTION_DRAINING_S,
    NODE_TYPE_LABEL,
    SERVE_PORT,
    SERVE_SERVICE_SUFFIX,
)
from policies.base import Policy, Resource, StackPolicy, Violation
from policies.gpu_node_pools import has_gpus
from policies.inputs import UNKNOWN, at, display, each, number, pods, ray_cluster
from policies.resource_types import (
    BACKEND_POLICY,
    DISRUPTION_BUDGET,
    HEALTH_CHECK_POLICY,
    NETWORK_POLICY,
    NODE_POOL,
    RAY_SERVICE,
    ROUTES,
)

HAPROXY_SERVER_TIMEOUT = "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"
HAPROXY_HARD_STOP = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"
DEFAULT_BACKEND_TIMEOUT_S = 30
"""Google's default for `timeoutSec`: the seconds for a whole response."""
DEFAULT_DELETION_DELAY_S = 60
"""KubeRay's default for `rayClusterDeletionDelaySeconds`."""
DEFAULT_GRACE_PERIOD_S = 30
"""Kubernetes' default for `terminationGracePeriodSeconds`."""


def _flag(pod: Mapping[str, Any], name: str) -> float | None:
    """Return the number in variable `name` of the pod's Ray container, which is the first one."""
    for variable in each(pod, "containers.0.env"):
        if at(variable, "name") == name:
            return number(variable, "value")
    return None


def _is_above(inputs: Any, path: str, limit: float) -> bool:
    """Return True if the number at a path is above `limit` or not known yet."""
    return at(inputs, path) == UNKNOWN or (number(inputs, path) or 0) > limit


def _explicit_limits(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `spec.default` of a GCPBackendPolicy.

    Google's defaults are 30 s for a whole response, no connection draining, and a rate that no region reaches.
    """
    default = at(inputs, "spec.default")
    if not _is_above(default, "timeoutSec", DEFAULT_BACKEND_TIMEOUT_S):
        yield "The load balancer cuts responses after 30 s. Set spec.default.timeoutSec above the longest response."
    if not _is_above(default, "connectionDraining.drainingTimeoutSec", 0):
        yield (
            "The load balancer cuts responses of a pod that stops. Set "
            "spec.default.connectionDraining.drainingTimeoutSec."
        )
    if not _is_above(default, "maxRatePerEndpoint", 0):
        yield (
            "The load balancer never sends requests of a full region to the next region. Set "
            "spec.default.maxRatePerEndpoint to the rate that you measured."
        )


def _health_check(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `spec.default.config.httpHealthCheck` of a HealthCheckPolicy."""
    check = at(inputs, "spec.default.config.httpHealthCheck")
    port, path = at(check, "port"), at(check, "requestPath")
    if UNKNOWN not in (port, path) and (port != SERVE_PORT or path != HEALTH_CHECK_PATH):
        yield (
            f"The health check has port {display(port)} and path {display(path)}. Set httpHealthCheck with "
            f"port: {SERVE_PORT} and requestPath: {HEALTH_CHECK_PATH}."
        )


def _termination_grace_period(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Compare `terminationGracePeriodSeconds` of each pod with the time that HAProxy needs to drain."""
    for where, pod in pods(ray_cluster(inputs)):
        grace, drain = number(pod, "terminationGracePeriodSeconds"), _flag(pod, HAPROXY_HARD_STOP)
        if drain is not None and at(pod, "terminationGracePeriodSeconds") != UNKNOWN and (grace or 0) < drain:
            yield (
                f"Kubernetes kills {where} after {grace or DEFAULT_GRACE_PERIOD_S:g} s, and HAProxy drains for up to "
                f"{drain:g} s. Set terminationGracePeriodSeconds above {drain:g}."
            )


def _timeout_order(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    """Compare the timeouts of each GCPBackendPolicy with those of the RayServices behind it.

    The layer nearest to the replica must give up first. KubeRay must keep an old RayCluster until the load balancer
    has drained it.
    """
    services = [resource for resource in resources if resource.type == RAY_SERVICE]
    for policy in (resource for resource in resources if resource.type == BACKEND_POLICY):
        target = at(policy.inputs, "spec.targetRef.name")
        targets = [service for service in services if f"{service.k8s_name}{SERVE_SERVICE_SUFFIX}" == target]
        timeout = number(policy.inputs, "spec.default.timeoutSec")
        draining = number(policy.inputs, "spec.default.connectionDraining.drainingTimeoutSec")
        flags = [
            _flag(pod, HAPROXY_SERVER_TIMEOUT) for service in targets for _, pod in pods(ray_cluster(service.inputs))
        ]
        server_timeout = max((flag for flag in flags if flag is not None), default=0.0)
        if timeout is not None and DEFAULT_BACKEND_TIMEOUT_S < timeout < server_timeout:
            yield (
                f"timeoutSec is {timeout:g}, and HAProxy waits up to {server_timeout:g} s "
                f"({HAPROXY_SERVER_TIMEOUT}). Set timeoutSec above {server_timeout:g}.",
                policy,
            )
        least_draining = min(server_timeout, MAX_CONNECTION_DRAINING_S)
        if draining and draining < least_draining:
            yield (
                f"drainingTimeoutSec is {draining:g}, and a response can take {server_timeout:g} s. Set "
                f"drainingTimeoutSec to {least_draining:g} or more.",
                policy,
            )
        for service in targets:
            delay = number(service.inputs, "spec.rayClusterDeletionDelaySeconds") or DEFAULT_DELETION_DELAY_S
            if draining is not None and delay < draining:
                yield (
                    f"KubeRay deletes the old RayCluster after {delay:g} s, and the load balancer drains it for "
                    f"{draining:g} s. Set rayClusterDeletionDelaySeconds above {draining:g}.",
                    service,
                )


def _pod_labels(service: Resource, node_type: str) -> list[Mapping[str, Any]]:
    """Return the pod labels of each group of a RayService whose node type is `head` or `worker`."""
    cluster = ray_cluster(service.inputs)
    groups = [at(cluster, "headGroupSpec")] if node_type == "head" else each(cluster, "workerGroupSpecs")
    labels = [at(group, "template.metadata.labels") or {} for group in groups]
    return [{**(own if isinstance(own, Mapping) else {UNKNOWN: UNKNOWN}), NODE_TYPE_LABEL: node_type} for own in labels]


def _selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Return True if a label selector matches `labels`. Anything that a preview does not know yet counts as a match."""
    if UNKNOWN in (selector, at(selector, "matchLabels"), at(selector, "matchExpressions"), *labels.values()):
        return True
    required = at(selector, "matchLabels") or {}
    for expression in each(selector, "matchExpressions"):
        values, key = each(expression, "values"), str(at(expression, "key"))
        if at(expression, "operator") == "In" and UNKNOWN not in values and labels.get(key) not in values:
            return False
    return all(value in (labels.get(key), UNKNOWN) for key, value in required.items())


def _disruption_budget(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    """Check that each worker group has a PodDisruptionBudget with a whole number in `spec.minAvailable`.

    A percentage or maxUnavailable needs a controller with a scale subresource, and a RayCluster has none
    (kubernetes/kubernetes, disruption controller).
    """
    for service in (resource for resource in resources if resource.type == RAY_SERVICE):
        for labels in _pod_labels(service, "worker"):
            budgets = [
                resource
                for resource in resources
                if resource.type == DISRUPTION_BUDGET
                and resource.same_namespace(service)
                and _selects(at(resource.inputs, "spec.selector"), labels)
            ]
            if not budgets:
                yield "A node upgrade can evict all workers. Add a PodDisruptionBudget with minAvailable.", service
            for budget in budgets:
                min_available = at(budget.inputs, "spec.minAvailable")
                if isinstance(min_available, str) and min_available != UNKNOWN:
                    yield (
                        f"minAvailable {min_available} has no effect on pods of a RayCluster. Set a whole number.",
                        budget,
                    )
                if min_available is None:
                    yield (
                        "maxUnavailable has no effect on pods of a RayCluster. Set minAvailable to a whole number.",
                        budget,
                    )


def _network_policy(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    """Check that a NetworkPolicy with policy type Ingress selects the head and each worker group."""
    for service in (resource for resource in resources if resource.type == RAY_SERVICE):
        for labels in (*_pod_labels(service, "head"), *_pod_labels(service, "worker")):
            if not any(
                resource.type == NETWORK_POLICY
                and resource.same_namespace(service)
                and any(kind in (at(resource.inputs, "spec.policyTypes") or ()) for kind in ("Ingress", UNKNOWN))
                and _selects(at(resource.inputs, "spec.podSelector"), labels)
                for resource in resources
            ):
                yield (
                    f"Every pod can connect to its {labels[NODE_TYPE_LABEL]} pods. Add a NetworkPolicy with policy "
                    "type Ingress that selects them.",
                    service,
                )


def _backend_policies(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    """Check that each Service in `backendRefs` of a route is the target of both of GKE's policies for it."""
    for route in (resource for resource in resources if resource.type in ROUTES):
        for rule in each(route.inputs, "spec.rules"):
            for name in {at(backend, "name") for backend in each(rule, "backendRefs")} - {UNKNOWN}:
                for token in (BACKEND_POLICY, HEALTH_CHECK_POLICY):
                    if not any(
                        resource.type == token
                        and resource.same_namespace(route)
                        and at(resource.inputs, "spec.targetRef.name") in (name, UNKNOWN)
                        for resource in resources
                    ):
                        kind = token.rpartition(":")[2]
                        yield f"The load balancer uses Google's defaults for {name}. Add a {kind} for it.", route


def _min_regions(resources: Sequence[Resource], settings: Mapping[str, Any]) -> Iterator[Violation]:
    """Compare the number of regions with GPU node pools (`location`) with setting `min_regions`."""
    minimum = number(settings, "min_regions") or 0
    pools = [resource.inputs for resource in resources if resource.type == NODE_POOL]
    regions = {at(pool, "location") for pool in pools if has_gpus(pool)}
    unknown = UNKNOWN in (*regions, *(at(pool, "nodeConfig.machineType") for pool in pools))
    if not unknown and len(regions) < minimum:
        yield (
            f"{len(regions)} region(s) have GPUs ({', '.join(sorted(regions))}). Set at least {minimum:g} regions in "
            "infra.regions.",
            None,
        )


POLICIES = (
    Policy(
        "backendpolicy-explicit-limits",
        "high",
        "The load balancer cuts streams, and a full region's requests never go to the next region.",
        [BACKEND_POLICY],
        _explicit_limits,
    ),
    Policy(
        "healthcheckpolicy-serve-endpoint",
        "high",
        "The load balancer sends requests to pods without a replica, or to no pod.",
        [HEALTH_CHECK_POLICY],
        _health_check,
    ),
    Policy(
        "rayservice-termination-grace-period",
        "high",
        "Kubernetes kills a pod before it has finished its responses.",
        [RAY_SERVICE],
        _termination_grace_period,
    ),
)
STACK_POLICIES = (
    StackPolicy(
        "backendpolicy-timeout-order",
        "high",
        "An outer layer times out before the layer behind it. The load balancer cuts responses, and no log shows the "
        "cause.",
        [BACKEND_POLICY, RAY_SERVICE],
        _timeout_order,
    ),
    StackPolicy(
        "rayservice-disruption-budget",
        "high",
        "A node upgrade evicts all workers at once.",
        [RAY_SERVICE, DISRUPTION_BUDGET],
        _disruption_budget,
    ),
    StackPolicy(
        "rayservice-network-policy",
        "high",
        "Every pod of the cluster can connect to Ray's dashboard and GCS.",
        [RAY_SERVICE, NETWORK_POLICY],
        _network_policy,
    ),
    StackPolicy(
        "route-backend-policies",
        "high",
        "The load balancer cuts streams, and its health check requests a path that returns 404.",
        [*ROUTES, BACKEND_POLICY, HEALTH_CHECK_POLICY],
        _backend_policies,
    ),
    StackPolicy(
        "gpu-min-regions",
        "high",
        "When one region fails, the whole service fails.",
        [NODE_POOL],
        _min_regions,
        config_schema={
            "min_regions": {"type": "integer", "description": "smallest number of regions with GPU node pools"}
        },
    ),
)
