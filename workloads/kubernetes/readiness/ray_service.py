"""Waits, as dynamic resources: what one step of `up` needs of the step before, and a preview shows.

Each polls the cluster's API server, tells how things are when that changes and every ten seconds, shows the Warning
events of the operators as they come, and ends with one sentence when it fails. None makes anything, and deleting one
does nothing, but for RayServiceGone, which waits when it is deleted.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import KubeApi, Object, Unreachable, connect
from workloads.kubernetes.readiness.objects import RAY, READY, any_changed, ray_clusters, ray_pods
from workloads.kubernetes.readiness.ray_service_status import (
    RESUME_HINT,
    evaluate,
    events_since_update,
)
from workloads.kubernetes.readiness.wait import InProgress, State, Succeeded, WarningEvents, wait_for

STABLE_FOR_S = 10
"""KubeRay asks Serve for its state before it hands over a changed configuration, and says then that it has seen the
change: for a round or two everything looks as before."""


class RayServiceReadyProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['namespace']}/{props['service']}", _await_service(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        replaced = [key for key in ("namespace", "service") if olds.get(key) != news.get(key)]
        changed = any_changed(olds, news, "kubeconfig", "spec_digest", "wait")
        again = bool(news.get("wait")) and olds.get("status") != READY
        return DiffResult(changes=bool(replaced) or changed or again, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(_await_service(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with connect(props["kubeconfig"]) as api:
            try:
                look = _look(api, props["namespace"], props["service"])
            except Unreachable as error:
                return ReadResult(id_, {**props, "status": f"unknown: {error}"} if props["wait"] else props)
        if look is None:
            return ReadResult("", props)
        if not props["wait"]:
            return ReadResult(id_, props)
        state = look[0]
        if isinstance(state, Succeeded):
            return ReadResult(id_, {**props, "status": READY, "cluster": state.outputs["cluster"]})
        return ReadResult(id_, {**props, "status": state.text})


class RayServiceReady(Resource, module="rayllm", name="RayServiceReady"):
    """Waits until a RayService answers as declared: KubeRay has taken up this very spec, its one RayCluster is what the
    spec asks for, Serve's applications run, and pods stand behind `<service>-serve-svc`.

    `generation_key`: a digest of the spec, so that each change is waited for again. With `wait` false it says
    "declared" and waits for nothing: nodes may come in hours. After a refresh that found it not ready, the next `up`
    waits again. `limit_s`: whole seconds.
    """

    status: pulumi.Output[str]
    """`Ready` or `declared`; after a refresh what is the matter."""
    cluster: pulumi.Output[str]
    """Name of the RayCluster that serves."""
    endpoints: pulumi.Output[int]
    """Pods that served when it became ready."""

    def __init__(
        self,
        name: str,
        *,
        kubeconfig: Input[str],
        namespace: Input[str],
        service: Input[str],
        spec_digest: Input[str],
        wait: bool,
        limit_s: int,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            RayServiceReadyProvider(),
            name,
            {
                "kubeconfig": kubeconfig,
                "namespace": namespace,
                "service": service,
                "spec_digest": spec_digest,
                "wait": wait,
                "limit_s": limit_s,
                "status": None,
                "cluster": None,
                "endpoints": None,
            },
            opts,
        )


def _await_service(props: dict[str, Any]) -> dict[str, Any]:
    if not props["wait"]:
        return {**props, "status": "declared", "cluster": "", "endpoints": 0}
    name, limit_s = props["service"], int(props["limit_s"])
    what = f"RayService {name}"
    warnings = WarningEvents(what)

    def look() -> State:
        found = _look(api, props["namespace"], name)
        if found is None:
            return InProgress("not there", "See why it was not made.")
        warnings.show(found[1])
        return found[0]

    with connect(props["kubeconfig"]) as api:
        state = wait_for(what, limit_s, look, steady_s=STABLE_FOR_S)
    if isinstance(state, InProgress):
        raise OperationFailed(f"{what} was not ready after {limit_s} s: {state.text}. {state.remedy or RESUME_HINT}")
    return {**props, "status": READY, **state.outputs}


def _look(api: KubeApi, namespace: str, name: str) -> tuple[State, list[Object]] | None:
    """How it is, and what was warned of; None where there is no such RayService."""
    service = api.get(f"{RAY}/namespaces/{namespace}/rayservices/{name}")
    if service is None:
        return None
    clusters = ray_clusters(api, namespace, [name])
    pods = ray_pods(api, namespace, clusters)
    events = api.items(f"/api/v1/namespaces/{namespace}/events", fieldSelector="type=Warning")
    serves = api.get(f"/api/v1/namespaces/{namespace}/services/{name}-serve-svc") is not None
    return evaluate(service, clusters, pods, events, serves), events_since_update(service, clusters, pods, events)
