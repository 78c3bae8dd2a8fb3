"""Wait until the load balancer behind a Gateway is programmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import Resource

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import KubeApi, Object, condition, connect, last_seen
from workloads.kubernetes.readiness.objects import GATEWAY_API, last_spec_update, warning_events
from workloads.kubernetes.readiness.wait import (
    DECLARED,
    READY,
    RESUME_HINT,
    InProgress,
    Props,
    State,
    Succeeded,
    WaitProvider,
    WarningEvents,
    wait_for,
)


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
        gateway, routes = _read_objects(api, props)
        if gateway is None:
            return None
        state = gateway_status(props["gateway"], gateway, routes)
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
            gateway, routes = _read_objects(api, props)
            if gateway is not None:
                names = {props["gateway"], *props["routes"]}
                warnings.show(
                    event
                    for event in warning_events(api, props["namespace"])
                    if event["involvedObject"].get("name") in names and last_seen(event) >= last_spec_update(gateway)
                )
            return gateway_status(props["gateway"], gateway, routes)

        with connect(props["kubeconfig"]) as api:
            state = wait_for(subject, limit_s, observe)
        if isinstance(state, InProgress):
            raise OperationFailed(f"{subject} is not programmed after {limit_s} s: {state.text}. {state.remedy}")
        return {**props, "status": READY}


class GatewayProgrammed(Resource, module="rayllm", name="GatewayProgrammed"):
    """Wait until the load balancer is programmed: the Gateway has the conditions Accepted and Programmed, and each
    HTTPRoute has Accepted and ResolvedRefs.

    `routes`: names of the HTTPRoutes. `spec_digest`: a digest of Gateway and HTTPRoutes, so that a change of them waits
    again. With `wait` false the status is `declared` and nothing is awaited. `limit_s`: whole seconds.
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
                "wait": wait,
                "limit_s": limit_s,
                "status": None,
            },
            opts,
        )


def gateway_status(name: str, gateway: Object | None, routes: Mapping[str, Object | None]) -> Succeeded | InProgress:
    """Return whether Gateway `name` and its HTTPRoutes (by name) are programmed. None stands for a missing object."""
    unmet: list[str] = []
    if gateway is None:
        unmet.append(f"Gateway {name} does not exist")
    else:
        unmet += _unmet_conditions(f"Gateway {name}", gateway, gateway.get("status", {}), "Accepted", "Programmed")
    for route, found in routes.items():
        parents = [
            parent
            for parent in (found or {}).get("status", {}).get("parents", [])
            if parent.get("parentRef", {}).get("name") == name
        ]
        if found is None:
            unmet.append(f"HTTPRoute {route} does not exist")
        elif not parents:
            unmet.append(f"HTTPRoute {route} has no status yet from the load balancer's controller")
        for parent in parents:
            unmet += _unmet_conditions(f"HTTPRoute {route}", found or {}, parent, "Accepted", "ResolvedRefs")
    if not unmet:
        return Succeeded(f"Gateway {name} is programmed")
    return InProgress(
        "; ".join(unmet),
        "GKE needs about ten minutes to program a load balancer. Check that one region has `traffic: active`, that its "
        "serve Service exists and is imported (`kubectl get serviceimports -A`), and that the addresses and the "
        f"certificate exist. {RESUME_HINT}",
    )


def _read_objects(api: KubeApi, props: Mapping[str, Any]) -> tuple[Object | None, dict[str, Object | None]]:
    base = f"{GATEWAY_API}/namespaces/{props['namespace']}"
    routes = {route: api.get(f"{base}/httproutes/{route}") for route in props["routes"]}
    return api.get(f"{base}/gateways/{props['gateway']}"), routes


def _unmet_conditions(subject: str, resource: Object, status: Object, *types: str) -> list[str]:
    """Return a text for each condition of these types that is not True for the resource's current generation."""
    generation = resource["metadata"].get("generation", 0)
    unmet: list[str] = []
    for kind in types:
        found = condition(status.get("conditions", []), kind)
        if found.get("status") == "True" and found.get("observedGeneration", generation) >= generation:
            continue
        detail = f" ({found.get('reason')}: {' '.join(found.get('message', '').split())[:240]})" if found else ""
        unmet.append(f"{subject} is not {kind}{detail}")
    return unmet
