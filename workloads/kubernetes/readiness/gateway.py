"""Wait until the load balancer behind a Gateway is programmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import KubeApi, Object, Unreachable, condition, connect, last_seen
from workloads.kubernetes.readiness.objects import GATEWAY, READY, any_changed
from workloads.kubernetes.readiness.ray_service_status import RESUME_HINT, last_spec_update
from workloads.kubernetes.readiness.wait import InProgress, State, Succeeded, WarningEvents, wait_for


class GatewayProgrammedProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['namespace']}/{props['gateway']}", _await_entrance(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        replaced = [key for key in ("namespace", "gateway") if olds.get(key) != news.get(key)]
        changed = any_changed(olds, news, "kubeconfig", "routes", "spec_digest", "wait")
        again = bool(news.get("wait")) and olds.get("status") != READY
        return DiffResult(changes=bool(replaced) or changed or again, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(_await_entrance(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with connect(props["kubeconfig"]) as api:
            try:
                gateway, routes = _entrance(api, props)
            except Unreachable:
                return ReadResult(id_, props)
        if gateway is None:
            return ReadResult("", props)
        state = gateway_status(props["gateway"], gateway, routes)
        status = READY if isinstance(state, Succeeded) else state.text
        return ReadResult(id_, {**props, "status": status} if props["wait"] else props)


class GatewayProgrammed(Resource, module="rayllm", name="GatewayProgrammed"):
    """Waits until the load balancer is programmed: the Gateway says so, and each HTTPRoute is accepted and finds what
    it points to. `routes`: names of HTTPRoutes. `generation_key`: a digest of what they say, as for RayServiceReady.
    """

    status: pulumi.Output[str]

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
    """A Gateway and the HTTPRoutes by name; None for what is not there."""
    waiting: list[str] = []
    if gateway is None:
        waiting.append(f"Gateway {name} is not there")
    else:
        waiting += _unmet(f"Gateway {name}", gateway, gateway.get("status", {}), "Accepted", "Programmed")
    for route, found in routes.items():
        parents = [
            parent
            for parent in (found or {}).get("status", {}).get("parents", [])
            if parent.get("parentRef", {}).get("name") == name
        ]
        if found is None:
            waiting.append(f"HTTPRoute {route} is not there")
        elif not parents:
            waiting.append(f"HTTPRoute {route}: the load balancer's controller has not looked at it")
        for parent in parents:
            waiting += _unmet(f"HTTPRoute {route}", found or {}, parent, "Accepted", "ResolvedRefs")
    if not waiting:
        return Succeeded(f"Gateway {name} is programmed", {})
    return InProgress(
        "; ".join(waiting),
        "A load balancer takes about ten minutes. See that a region is active, that its serve Service exists and is "
        f"imported (`kubectl get serviceimports -A`), and that addresses and certificate are there. {RESUME_HINT}",
    )


def _await_entrance(props: dict[str, Any]) -> dict[str, Any]:
    if not props["wait"]:
        return {**props, "status": "declared"}
    limit_s = int(props["limit_s"])
    what = f"Gateway {props['gateway']}"
    warnings = WarningEvents(what)

    def look() -> State:
        gateway, routes = _entrance(api, props)
        if gateway is not None:
            names = {props["gateway"], *props["routes"]}
            events = api.items(f"/api/v1/namespaces/{props['namespace']}/events", fieldSelector="type=Warning")
            ours = [each for each in events if each["involvedObject"].get("name") in names]
            warnings.show(each for each in ours if last_seen(each) >= last_spec_update(gateway))
        return gateway_status(props["gateway"], gateway, routes)

    with connect(props["kubeconfig"]) as api:
        state = wait_for(what, limit_s, look)
    if isinstance(state, InProgress):
        raise OperationFailed(f"The entrance was not ready after {limit_s} s: {state.text}. {state.remedy}")
    return {**props, "status": READY}


def _entrance(api: KubeApi, props: Mapping[str, Any]) -> tuple[Object | None, dict[str, Object | None]]:
    base = f"{GATEWAY}/namespaces/{props['namespace']}"
    routes = {route: api.get(f"{base}/httproutes/{route}") for route in props["routes"]}
    return api.get(f"{base}/gateways/{props['gateway']}"), routes


def _unmet(what: str, of: Object, status: Object, *kinds: str) -> list[str]:
    """Conditions that are not True of this generation of `of`."""
    generation = of["metadata"].get("generation", 0)
    found: list[str] = []
    for kind in kinds:
        there = condition(status.get("conditions", []), kind)
        if there.get("status") == "True" and there.get("observedGeneration", generation) >= generation:
            continue
        said = f" ({there.get('reason')}: {' '.join(there.get('message', '').split())[:240]})" if there else ""
        found.append(f"{what} is not {kind}{said}")
    return found
