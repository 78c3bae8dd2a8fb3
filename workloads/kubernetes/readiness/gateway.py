"""Wait until the load balancer behind a Gateway is programmed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import Resource

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import KubeApi, Object, Unreachable, connect, last_seen
from workloads.kubernetes.readiness.gateway_status import GatewaySnapshot, evaluate
from workloads.kubernetes.readiness.objects import (
    GATEWAY_API,
    GKE_API,
    SERVICE_EXPORT_API,
    last_spec_update,
    warning_events,
)
from workloads.kubernetes.readiness.wait import (
    DECLARED,
    READY,
    InProgress,
    Props,
    State,
    Succeeded,
    WaitProvider,
    WarningEvents,
    wait_for,
)

BACKEND_PATHS = {
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceImport": f"{SERVICE_EXPORT_API}/namespaces/{{}}/serviceimports",
}
"""Kind of an HTTPRoute's backend -> path of a namespace's objects of this kind."""
POLICY_PATHS = {
    "HealthCheckPolicy": f"{GKE_API}/namespaces/{{}}/healthcheckpolicies",
    "GCPBackendPolicy": f"{GKE_API}/namespaces/{{}}/gcpbackendpolicies",
}
"""Kind of a backend's policy -> the same. A policy has the name of its backend (workloads/kubernetes/gateway.py)."""


class GatewayProgrammedProvider(WaitProvider):
    """Waits for a Gateway and its HTTPRoutes."""

    replace_keys = ("namespace", "gateway")
    update_keys = ("kubeconfig", "routes", "spec_digest", "wait")

    def resource_id(self, props: Props) -> str:
        """Return `NAMESPACE/GATEWAY`."""
        return f"{props['namespace']}/{props['gateway']}"

    def final_status(self, props: Props) -> str | None:
        """Return `Ready`, or None with `wait: false`."""
        return READY if props.get("wait") else None

    def observe(self, api: KubeApi, props: Props) -> Props | None:
        """Return the outputs with the current status, or None if the Gateway does not exist."""
        snapshot = _observe(api, props)
        if snapshot.gateway is None:
            return None
        state = evaluate(snapshot)
        status = READY if isinstance(state, Succeeded) else state.text
        return {**props, "status": status} if props["wait"] else props

    def run(self, props: Props) -> Props:
        """Wait until the Gateway is programmed. Raises OperationFailed."""
        if not props["wait"]:
            return {**props, "status": DECLARED}
        limit_s = int(props["limit_s"])
        subject = f"Gateway {props['gateway']}"
        warnings = WarningEvents(subject)

        def observe() -> State:
            snapshot = _observe(api, props)
            if (gateway := snapshot.gateway) is not None:
                names = {props["gateway"], *props["routes"]}
                warnings.show(
                    event
                    for event in warning_events(api, props["namespace"])
                    if event["involvedObject"].get("name") in names and last_seen(event) >= last_spec_update(gateway)
                )
            return evaluate(snapshot)

        with connect(props["kubeconfig"]) as api:
            state = wait_for(subject, limit_s, observe)
        if isinstance(state, InProgress):
            raise OperationFailed(f"{subject} is not programmed after {limit_s} s: {state.text}. {state.remedy}")
        return {**props, "status": READY}


class GatewayProgrammed(Resource, module="rayllm", name="GatewayProgrammed"):
    """Wait until the load balancer is programmed: the Gateway has the conditions Accepted and Programmed, and each
    HTTPRoute has Accepted and ResolvedRefs. Fail after three minutes if GKE refuses one of them, a policy of a backend,
    or a ServiceExport.

    `routes`: names of the HTTPRoutes. `exports`: region -> kubeconfig, for each region with ServiceExports.
    `spec_digest`: a digest of Gateway and HTTPRoutes, so that a change of them waits again. With `wait` false the
    status is `declared` and nothing is awaited. `limit_s`: whole seconds.
    """

    status: pulumi.Output[str]
    """`Ready` or `declared`; after a refresh the unmet conditions."""

    def __init__(
        self,
        name: str,
        *,
        kubeconfig: Input[str],
        namespace: Input[str],
        gateway: Input[str],
        routes: Sequence[Input[str]],
        wait: bool,
        limit_s: int,
        spec_digest: Input[str] = "",
        exports: Mapping[str, Input[str]] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            GatewayProgrammedProvider(),
            name,
            {
                "kubeconfig": kubeconfig,
                "namespace": namespace,
                "gateway": gateway,
                "routes": list(routes),
                "spec_digest": spec_digest,
                "exports": dict(exports or {}),
                "wait": wait,
                "limit_s": limit_s,
                "status": None,
            },
            opts,
        )


def _observe(api: KubeApi, props: Mapping[str, Any]) -> GatewaySnapshot:
    namespace, name = props["namespace"], props["gateway"]
    base = f"{GATEWAY_API}/namespaces/{namespace}"
    routes = {route: api.get(f"{base}/httproutes/{route}") for route in props["routes"]}
    references = {
        (reference.get("kind", "Service"), reference["name"])
        for route in routes.values()
        for rule in (route or {}).get("spec", {}).get("rules", [])
        for reference in rule.get("backendRefs", [])
    }
    found = [(kind, each, api.get(f"{BACKEND_PATHS[kind].format(namespace)}/{each}")) for kind, each in references]
    policies = [
        {"kind": kind, **policy}
        for _, backend, _ in sorted(found, key=lambda each: each[1])
        for kind, path in POLICY_PATHS.items()
        if (policy := api.get(f"{path.format(namespace)}/{backend}")) is not None
    ]
    return GatewaySnapshot(
        name=name,
        gateway=api.get(f"{base}/gateways/{name}"),
        routes=routes,
        existing_backends=frozenset(backend for _, backend, body in found if body is not None),
        policies=tuple(policies),
        exports=_exports(namespace, props.get("exports") or {}),
    )


def _exports(namespace: str, kubeconfigs: Mapping[str, str]) -> dict[str, tuple[Object, ...]]:
    """Return the ServiceExports of each region. A region whose API server does not answer has none: it cannot keep the
    gateway from serving with the others."""
    found: dict[str, tuple[Object, ...]] = {}
    for region, kubeconfig in kubeconfigs.items():
        with connect(kubeconfig) as api, contextlib.suppress(Unreachable):
            found[region] = tuple(api.items(f"{SERVICE_EXPORT_API}/namespaces/{namespace}/serviceexports"))
    return found
