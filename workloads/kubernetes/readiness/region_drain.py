"""Drain a region before its pods change."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from config.timeouts import LOAD_BALANCER_PROPAGATION_S
from workloads.dynamic_provider import OperationFailed, log_progress
from workloads.kubernetes.kube_api import KubeApi, Unreachable, connect
from workloads.kubernetes.readiness.objects import EXPORTS, any_changed, ray_clusters, ray_pods
from workloads.kubernetes.readiness.wait import InProgress, State, Succeeded, wait_for

STATS_PORT = 8404
"""HAProxy's statistics on every Ray pod (RAY_SERVE_HAPROXY_STATS_PORT)."""
STREAMS_EVERY_S = 5.0


class RegionDrainedProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['namespace']}/drained", _drain(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        changed = any_changed(olds, news, "kubeconfig", "namespace", "services") or olds.get("status") != "drained"
        return DiffResult(changes=changed)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(_drain(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with connect(props["kubeconfig"]) as api:
            try:
                exported = [n for n in props["services"] if api.get(_export(props["namespace"], n)) is not None]
            except Unreachable:
                return ReadResult(id_, props)
        return ReadResult(id_, {**props, "status": f"exported: {', '.join(exported)}" if exported else "drained"})


class RegionDrained(Resource, module="rayllm", name="RegionDrained"):
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
        settle_s: int = LOAD_BALANCER_PROPAGATION_S,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            RegionDrainedProvider(),
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


def open_streams(statistics: str) -> int:
    """Open streams in HAProxy's statistics (CSV): the sessions that its back ends have. Those of front ends include
    idle connections of the load balancer."""
    rows = csv.DictReader(statistics.removeprefix("# ").splitlines())
    if "scur" not in (rows.fieldnames or ()):
        raise ValueError(f"not HAProxy's statistics: {statistics[:80]!r}")
    return sum(int(row["scur"] or 0) for row in rows if row["svname"] == "BACKEND" and row["pxname"] != "stats")


def _export(namespace: str, service: str) -> str:
    return f"{EXPORTS}/namespaces/{namespace}/serviceexports/{service}-serve-svc"


def _drain(props: dict[str, Any]) -> dict[str, Any]:
    namespace, services, limit_s = props["namespace"], props["services"], int(props["limit_s"])
    what = f"Draining {', '.join(services)}"
    left = -1

    def take_away() -> State:
        taken = [name for name in services if api.delete(_export(namespace, name))]
        return Succeeded(f"taken from the entrance: {', '.join(taken) or 'none was in it'}", {})

    def look() -> State:
        nonlocal left
        left = -1
        pods = _running(api, namespace, services)
        counts: dict[str, int] = {}
        for pod in pods:
            try:
                said = api.text(f"/api/v1/namespaces/{namespace}/pods/{pod}:{STATS_PORT}/proxy/stats;csv")
                counts[pod] = open_streams(said or "")
            except (Unreachable, ValueError) as error:
                return InProgress(f"HAProxy's statistics of pod {pod} cannot be read ({error})")
        left = sum(counts.values())
        if left:
            busy = sum(1 for count in counts.values() if count)
            return InProgress(f"{left} stream(s) open on {busy} of {len(pods)} pod(s)")
        return Succeeded(f"no stream is open on {len(pods)} pod(s)", {})

    with connect(props["kubeconfig"]) as api:
        gone = wait_for(what, limit_s, take_away)
        if isinstance(gone, InProgress):
            raise OperationFailed(f"{what} did not begin within {limit_s} s: {gone.text}. {gone.remedy}")
        quiet = 0 if _nothing_runs(api, namespace, services) else int(props["settle_s"])
        state = wait_for(what, limit_s, look, steady_s=quiet, every_s=STREAMS_EVERY_S)
    if isinstance(state, InProgress):
        known = (
            f"{left} stream(s) were still open" if left >= 0 else f"not known how many streams were open: {state.text}"
        )
        log_progress(f"{what}: {known} after {limit_s} s; a change of pods cuts them")
        return {**props, "status": "drained", "streams_left": left}
    return {**props, "status": "drained", "streams_left": 0}


def _nothing_runs(api: KubeApi, namespace: str, services: Sequence[str]) -> bool:
    try:
        return not _running(api, namespace, services)
    except Unreachable:
        return False


def _running(api: KubeApi, namespace: str, services: Sequence[str]) -> list[str]:
    """Names of pods with a container that runs, those that are about to end included."""
    return [
        pod["metadata"]["name"]
        for pod in ray_pods(api, namespace, ray_clusters(api, namespace, services))
        if any("running" in each.get("state", {}) for each in pod.get("status", {}).get("containerStatuses", []))
    ]
