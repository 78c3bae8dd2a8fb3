"""Waits, as dynamic resources: what one step of `up` needs of the step before, and a preview shows.

Each polls the cluster's API server, tells how things are when that changes and every ten seconds, shows the Warning
events of the operators as they come, and ends with one sentence when it fails. None makes anything, and deleting one
does nothing, but for RayServiceGone, which waits when it is deleted.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from config.timeouts import DETACH_S
from workloads.dynamic_provider import Failure, say
from workloads.kubernetes.kube_api import (
    Api,
    Done,
    Object,
    Pending,
    State,
    Unreachable,
    Warnings,
    condition,
    connected,
    last_seen,
    wait_for,
)
from workloads.kubernetes.readiness.ray_service_status import (
    GO_ON,
    OF_CLUSTER,
    OF_SERVICE,
    judge,
    relevant,
    written,
)

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RAY, GATEWAY, EXPORTS = "/apis/ray.io/v1", "/apis/gateway.networking.k8s.io/v1", "/apis/net.gke.io/v1"

NEEDED = (
    "rayservices.ray.io",
    "rayclusters.ray.io",
    "gateways.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "healthcheckpolicies.networking.gke.io",
    "gcpbackendpolicies.networking.gke.io",
)
"""What this stack uses in every cluster."""
NEEDED_IN_FLEET = (*NEEDED, "serviceexports.net.gke.io", "serviceimports.net.gke.io")
"""Where several clusters stand behind one entrance."""
BROUGHT_BY = {
    "ray.io": "the cluster's Ray Operator add-on",
    "gateway.networking.k8s.io": "the cluster's Gateway API (gateway_api_config)",
    "networking.gke.io": "the cluster's Gateway API (gateway_api_config)",
    "net.gke.io": "the fleet's feature multiclusterservicediscovery, in clusters that are members",
    "monitoring.googleapis.com": "managed Prometheus",
}
CRDS_LIMIT_S = 900
"""GKE installs them some minutes after a cluster or fleet feature is there."""

READY = "Ready"
STEADY_S = 10
"""KubeRay asks Serve for its state before it hands over a changed configuration, and says then that it has seen the
change: for a round or two everything looks as before."""

GONE_LIMIT_S = 900
"""KubeRay gives its clean-up of Redis five minutes and lets go then; pods have their grace before."""
GONE_STEADY_S = 5
"""KubeRay goes on with a RayService that is being deleted and may make one more RayCluster for it."""

STATS_PORT = 8404
"""HAProxy's statistics on every Ray pod (RAY_SERVE_HAPROXY_STATS_PORT)."""
STREAMS_EVERY_S = 5.0


class _CrdsProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult("established", _await_crds(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_differ(olds, news, "kubeconfig", "crds"))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(_await_crds(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with connected(props["kubeconfig"]) as api:
            try:
                gone = _missing(api, props["crds"])
            except Unreachable:
                return ReadResult(id_, props)
        return ReadResult("" if gone else id_, props)


class CrdsReady(Resource, module="rayllm", name="CrdsReady"):
    """Waits until the cluster knows the kinds that GKE brings with an add-on or a feature, some time after that was
    switched on. GKE owns them: they are never installed from here."""

    status: pulumi.Output[str]

    def __init__(
        self, name: str, *, kubeconfig: Input[str], crds: Sequence[str], opts: ResourceOptions | None = None
    ) -> None:
        super().__init__(_CrdsProvider(), name, {"kubeconfig": kubeconfig, "crds": list(crds), "status": None}, opts)


class _RayServiceProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['namespace']}/{props['service']}", _await_service(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        replaced = [key for key in ("namespace", "service") if olds.get(key) != news.get(key)]
        changed = _differ(olds, news, "kubeconfig", "generation_key", "wait")
        again = bool(news.get("wait")) and olds.get("status") != READY
        return DiffResult(changes=bool(replaced) or changed or again, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(_await_service(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with connected(props["kubeconfig"]) as api:
            try:
                look = _look(api, props["namespace"], props["service"])
            except Unreachable as error:
                return ReadResult(id_, {**props, "status": f"unknown: {error}"} if props["wait"] else props)
        if look is None:
            return ReadResult("", props)
        if not props["wait"]:
            return ReadResult(id_, props)
        state = look[0]
        if isinstance(state, Done):
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
        generation_key: Input[str],
        wait: bool,
        limit_s: int,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            _RayServiceProvider(),
            name,
            {
                "kubeconfig": kubeconfig,
                "namespace": namespace,
                "service": service,
                "generation_key": generation_key,
                "wait": wait,
                "limit_s": limit_s,
                "status": None,
                "cluster": None,
                "endpoints": None,
            },
            opts,
        )


class _GoneProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['namespace']}/{props['service']}", props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_differ(olds, news, "kubeconfig", "namespace", "service"))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(news)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        _await_nothing(props)


class RayServiceGone(Resource, module="rayllm", name="RayServiceGone"):
    """Stands between a RayService and what its pods and KubeRay's clean-up of Redis need (accounts, secrets, policies):
    deleted after the one and before the others, it waits until no RayCluster of that RayService is left.

    The deletion of a RayService does not see to that: KubeRay goes on while it lasts, and a RayCluster that it makes
    then outlives it. Without its account and password that one cannot be cleaned up, and holds its namespace.
    """

    def __init__(
        self,
        name: str,
        *,
        kubeconfig: Input[str],
        namespace: Input[str],
        service: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        given = {"kubeconfig": kubeconfig, "namespace": namespace, "service": service}
        super().__init__(_GoneProvider(), name, given, opts)


class _DrainedProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['namespace']}/drained", _drain(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        changed = _differ(olds, news, "kubeconfig", "namespace", "services") or olds.get("status") != "drained"
        return DiffResult(changes=changed)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(_drain(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with connected(props["kubeconfig"]) as api:
            try:
                exported = [n for n in props["services"] if api.get(_export(props["namespace"], n)) is not None]
            except Unreachable:
                return ReadResult(id_, props)
        return ReadResult(id_, {**props, "status": f"exported: {', '.join(exported)}" if exported else "drained"})


class Drained(Resource, module="rayllm", name="Drained"):
    """Declared for a region with `traffic: drained`: takes its services from the entrance and waits until the streams
    that they have are over.

    A resource, because of the order: the engine deletes at the end of an `up` what is no longer declared, the
    ServiceExports too, and by then the region's RayServices may have been changed. They depend on this, so that in the
    same `up` the region is first drained and then changed; and a preview shows that it will be. Deleting it, when the
    region becomes active again, does nothing: the exports are declared again, then.

    `settle_s`: no stream for so long means that none comes any more; the load balancer goes on sending until it has
    let go everywhere. At `limit_s` it is done in any case, and says how many streams are left. HAProxy's statistics
    are read through the API server (pods/proxy). They leave out what an older process finishes after Serve has had
    HAProxy reloaded. Where there are none (`python_proxy` has no HAProxy) it waits for `limit_s`.
    """

    status: pulumi.Output[str]
    streams_left: pulumi.Output[int]
    """Streams that were open at the limit; -1: not known."""

    def __init__(
        self,
        name: str,
        *,
        kubeconfig: Input[str],
        namespace: Input[str],
        services: Sequence[Input[str]],
        limit_s: int,
        settle_s: int = DETACH_S,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            _DrainedProvider(),
            name,
            {
                "kubeconfig": kubeconfig,
                "namespace": namespace,
                "services": list(services),
                "limit_s": limit_s,
                "settle_s": settle_s,
                "status": None,
                "streams_left": None,
            },
            opts,
        )


class _EntranceProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['namespace']}/{props['gateway']}", _await_entrance(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        replaced = [key for key in ("namespace", "gateway") if olds.get(key) != news.get(key)]
        changed = _differ(olds, news, "kubeconfig", "routes", "generation_key", "wait")
        again = bool(news.get("wait")) and olds.get("status") != READY
        return DiffResult(changes=bool(replaced) or changed or again, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(_await_entrance(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with connected(props["kubeconfig"]) as api:
            try:
                gateway, routes = _entrance(api, props)
            except Unreachable:
                return ReadResult(id_, props)
        if gateway is None:
            return ReadResult("", props)
        state = judge_entrance(props["gateway"], gateway, routes)
        status = READY if isinstance(state, Done) else state.text
        return ReadResult(id_, {**props, "status": status} if props["wait"] else props)


class EntranceReady(Resource, module="rayllm", name="EntranceReady"):
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
        generation_key: Input[str] = "",
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            _EntranceProvider(),
            name,
            {
                "kubeconfig": kubeconfig,
                "namespace": namespace,
                "gateway": gateway,
                "routes": list(routes),
                "generation_key": generation_key,
                "wait": wait,
                "limit_s": limit_s,
                "status": None,
            },
            opts,
        )


def judge_entrance(name: str, gateway: Object | None, routes: Mapping[str, Object | None]) -> Done | Pending:
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
        return Done(f"Gateway {name} is programmed", {})
    return Pending(
        "; ".join(waiting),
        "A load balancer takes about ten minutes. See that a region is active, that its serve Service exists and is "
        f"imported (`kubectl get serviceimports -A`), and that addresses and certificate are there. {GO_ON}",
    )


def streams(statistics: str) -> int:
    """Open streams in HAProxy's statistics (CSV): the sessions that its back ends have. Those of front ends include
    idle connections of the load balancer."""
    rows = csv.DictReader(statistics.removeprefix("# ").splitlines())
    if "scur" not in (rows.fieldnames or ()):
        raise ValueError(f"not HAProxy's statistics: {statistics[:80]!r}")
    return sum(int(row["scur"] or 0) for row in rows if row["svname"] == "BACKEND" and row["pxname"] != "stats")


def _differ(olds: Mapping[str, Any], news: Mapping[str, Any], *keys: str) -> bool:
    return any(olds.get(key) != news.get(key) for key in keys)


def _await_crds(props: dict[str, Any]) -> dict[str, Any]:
    def look() -> State:
        if missing := _missing(api, props["crds"]):
            return Pending(", ".join(missing))
        return Done("all there", {})

    with connected(props["kubeconfig"]) as api:
        state = wait_for("Kinds of GKE", CRDS_LIMIT_S, look)
    if isinstance(state, Pending):
        missing = [crd for crd in props["crds"] if crd in state.text]
        brought = [f"{crd} comes with {BROUGHT_BY.get(crd.partition('.')[2], 'a feature of GKE')}" for crd in missing]
        raise Failure(
            f"After {CRDS_LIMIT_S} s the cluster does not know these kinds: {state.text}. {'; '.join(brought)}: see "
            f"that it is switched on. {state.remedy}".rstrip()
        )
    return {**props, "status": "Established"}


def _missing(api: Api, crds: Sequence[str]) -> list[str]:
    found = {crd: api.get(f"{CRDS}/{crd}") for crd in crds}
    return [
        f"{crd} ({'not there' if there is None else 'not established'})"
        for crd, there in found.items()
        if condition((there or {}).get("status", {}).get("conditions", []), "Established").get("status") != "True"
    ]


def _await_service(props: dict[str, Any]) -> dict[str, Any]:
    if not props["wait"]:
        return {**props, "status": "declared", "cluster": "", "endpoints": 0}
    name, limit_s = props["service"], int(props["limit_s"])
    what = f"RayService {name}"
    warnings = Warnings(what)

    def look() -> State:
        found = _look(api, props["namespace"], name)
        if found is None:
            return Pending("not there", "See why it was not made.")
        warnings.show(found[1])
        return found[0]

    with connected(props["kubeconfig"]) as api:
        state = wait_for(what, limit_s, look, steady_s=STEADY_S)
    if isinstance(state, Pending):
        raise Failure(f"{what} was not ready after {limit_s} s: {state.text}. {state.remedy or GO_ON}")
    return {**props, "status": READY, **state.outputs}


def _await_nothing(props: dict[str, Any]) -> None:
    namespace, name = props["namespace"], props["service"]
    what = f"What is left of RayService {name}"

    def look() -> State:
        left = [f"RayCluster {each['metadata']['name']}" for each in _clusters(api, namespace, [name])]
        if api.get(f"{RAY}/namespaces/{namespace}/rayservices/{name}") is not None:
            left.append(f"RayService {name}")
        return Pending(", ".join(left)) if left else Done("nothing", {})

    with connected(props["kubeconfig"]) as api:
        state = wait_for(what, GONE_LIMIT_S, look, steady_s=GONE_STEADY_S)
    if isinstance(state, Pending):
        raise Failure(
            f"{what} after {GONE_LIMIT_S} s: {state.text}. Nothing that it needs was deleted; see what holds it "
            f"(`kubectl -n {namespace} describe rayclusters,jobs,pods`), and run this again. {state.remedy}".rstrip()
        )


def _look(api: Api, namespace: str, name: str) -> tuple[State, list[Object]] | None:
    """How it is, and what was warned of; None where there is no such RayService."""
    service = api.get(f"{RAY}/namespaces/{namespace}/rayservices/{name}")
    if service is None:
        return None
    clusters = _clusters(api, namespace, [name])
    pods = _pods(api, namespace, clusters)
    events = api.items(f"/api/v1/namespaces/{namespace}/events", fieldSelector="type=Warning")
    serves = api.get(f"/api/v1/namespaces/{namespace}/services/{name}-serve-svc") is not None
    return judge(service, clusters, pods, events, serves), relevant(service, clusters, pods, events)


def _clusters(api: Api, namespace: str, services: Sequence[str]) -> list[Object]:
    labels = f"{OF_SERVICE} in ({','.join(services)})"
    return api.items(f"{RAY}/namespaces/{namespace}/rayclusters", labelSelector=labels)


def _pods(api: Api, namespace: str, clusters: Sequence[Object]) -> list[Object]:
    if not clusters:
        return []
    names = ",".join(cluster["metadata"]["name"] for cluster in clusters)
    return api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"{OF_CLUSTER} in ({names})")


def _export(namespace: str, service: str) -> str:
    return f"{EXPORTS}/namespaces/{namespace}/serviceexports/{service}-serve-svc"


def _drain(props: dict[str, Any]) -> dict[str, Any]:
    namespace, services, limit_s = props["namespace"], props["services"], int(props["limit_s"])
    what = f"Draining {', '.join(services)}"
    left = -1

    def take_away() -> State:
        taken = [name for name in services if api.delete(_export(namespace, name))]
        return Done(f"taken from the entrance: {', '.join(taken) or 'none was in it'}", {})

    def look() -> State:
        nonlocal left
        left = -1
        pods = _running(api, namespace, services)
        counts: dict[str, int] = {}
        for pod in pods:
            try:
                said = api.text(f"/api/v1/namespaces/{namespace}/pods/{pod}:{STATS_PORT}/proxy/stats;csv")
                counts[pod] = streams(said or "")
            except (Unreachable, ValueError) as error:
                return Pending(f"HAProxy's statistics of pod {pod} cannot be read ({error})")
        left = sum(counts.values())
        if left:
            busy = sum(1 for count in counts.values() if count)
            return Pending(f"{left} stream(s) open on {busy} of {len(pods)} pod(s)")
        return Done(f"no stream is open on {len(pods)} pod(s)", {})

    with connected(props["kubeconfig"]) as api:
        gone = wait_for(what, limit_s, take_away)
        if isinstance(gone, Pending):
            raise Failure(f"{what} did not begin within {limit_s} s: {gone.text}. {gone.remedy}")
        quiet = 0 if _nothing_runs(api, namespace, services) else int(props["settle_s"])
        state = wait_for(what, limit_s, look, steady_s=quiet, every_s=STREAMS_EVERY_S)
    if isinstance(state, Pending):
        known = (
            f"{left} stream(s) were still open" if left >= 0 else f"not known how many streams were open: {state.text}"
        )
        say(f"{what}: {known} after {limit_s} s; a change of pods cuts them")
        return {**props, "status": "drained", "streams_left": left}
    return {**props, "status": "drained", "streams_left": 0}


def _nothing_runs(api: Api, namespace: str, services: Sequence[str]) -> bool:
    try:
        return not _running(api, namespace, services)
    except Unreachable:
        return False


def _running(api: Api, namespace: str, services: Sequence[str]) -> list[str]:
    """Names of pods with a container that runs, those that are about to end included."""
    return [
        pod["metadata"]["name"]
        for pod in _pods(api, namespace, _clusters(api, namespace, services))
        if any("running" in each.get("state", {}) for each in pod.get("status", {}).get("containerStatuses", []))
    ]


def _await_entrance(props: dict[str, Any]) -> dict[str, Any]:
    if not props["wait"]:
        return {**props, "status": "declared"}
    limit_s = int(props["limit_s"])
    what = f"Gateway {props['gateway']}"
    warnings = Warnings(what)

    def look() -> State:
        gateway, routes = _entrance(api, props)
        if gateway is not None:
            names = {props["gateway"], *props["routes"]}
            events = api.items(f"/api/v1/namespaces/{props['namespace']}/events", fieldSelector="type=Warning")
            ours = [each for each in events if each["involvedObject"].get("name") in names]
            warnings.show(each for each in ours if last_seen(each) >= written(gateway))
        return judge_entrance(props["gateway"], gateway, routes)

    with connected(props["kubeconfig"]) as api:
        state = wait_for(what, limit_s, look)
    if isinstance(state, Pending):
        raise Failure(f"The entrance was not ready after {limit_s} s: {state.text}. {state.remedy}")
    return {**props, "status": READY}


def _entrance(api: Api, props: Mapping[str, Any]) -> tuple[Object | None, dict[str, Object | None]]:
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
