"""Drain a region: remove it from the load balancer, then wait until its open requests have ended."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import Resource

from config.kuberay import HAPROXY_STATS_PORT, SERVE_SERVICE_SUFFIX
from config.timeouts import LOAD_BALANCER_PROPAGATION_S
from workloads.dynamic_provider import OperationFailed, log_progress
from workloads.kubernetes.kube_api import KubeApi, Unreachable, connect
from workloads.kubernetes.pod_scripts.haproxy_client import open_requests
from workloads.kubernetes.readiness.objects import SERVICE_EXPORT_API, ray_clusters, ray_pods
from workloads.kubernetes.readiness.wait import InProgress, Props, State, Succeeded, WaitProvider, wait_for

STATS_POLL_INTERVAL_S = 5.0
DRAINED = "drained"
UNKNOWN = -1
"""`requests_left` if HAProxy's statistics could not be read."""


class RegionDrainedProvider(WaitProvider):
    """Drains a region."""

    update_keys = ("kubeconfig", "namespace", "services")

    def resource_id(self, props: Props) -> str:
        """Return `NAMESPACE/drained`."""
        return f"{props['namespace']}/drained"

    def final_status(self, props: Props) -> str:
        """Return `drained`: a region that was exported again is drained again."""
        return DRAINED

    def observe(self, api: KubeApi, props: Props) -> Props:
        """Return the outputs, with the services that have a ServiceExport in `status`."""
        exported = [name for name in props["services"] if api.get(_export_path(props["namespace"], name)) is not None]
        return {**props, "status": f"exported: {', '.join(exported)}" if exported else DRAINED}

    def run(self, props: Props) -> Props:
        """Delete the ServiceExports, then wait for the open requests. Raises OperationFailed if a deletion fails."""
        namespace, services, limit_s = props["namespace"], props["services"], int(props["limit_s"])
        subject = f"Draining {', '.join(services)}"

        def unexport() -> State:
            deleted = [name for name in services if api.delete(_export_path(namespace, name))]
            return Succeeded(
                f"deleted the ServiceExports of {', '.join(deleted)}" if deleted else "no ServiceExport to delete"
            )

        with connect(props["kubeconfig"]) as api:
            unexported = wait_for(subject, limit_s, unexport)
            if isinstance(unexported, InProgress):
                raise OperationFailed(
                    f"{subject} did not start within {limit_s} s: {unexported.text}. {unexported.remedy}"
                )
            settle_s = 0 if _no_pod_runs(api, namespace, services) else int(props["settle_s"])
            state = wait_for(
                subject,
                limit_s,
                lambda: _observe_requests(api, namespace, services),
                stable_for_s=settle_s,
                poll_interval_s=STATS_POLL_INTERVAL_S,
            )
        if isinstance(state, Succeeded):
            return {**props, "status": DRAINED, "requests_left": 0}
        left = state.outputs.get("open_requests", UNKNOWN)
        number = f"{left} request(s) are still open" if left != UNKNOWN else f"open requests unknown: {state.text}"
        log_progress(f"{subject}: {number} after {limit_s} s; a change of pods ends them early")
        return {**props, "status": DRAINED, "requests_left": left}


class RegionDrained(Resource, module="rayllm", name="RegionDrained"):
    """Drain a region: delete its ServiceExports, then wait until HAProxy reports no open request or `limit_s` has
    passed.

    The RayServices depend on this resource, so one `up` drains the region before it changes pods, and the preview shows
    it. Without it, Pulumi would delete the ServiceExports at the end of the `up`, after it has changed the RayServices.
    Deleting this resource does nothing: when the region becomes active again, its ServiceExports are declared again.

    `settle_s`: seconds without an open request after which the region counts as drained; until then load balancer
    proxies may still send new requests. At `limit_s` the wait ends in any case and prints how many requests are left.
    HAProxy's statistics come through the API server (pods/proxy). They leave out the requests that an older HAProxy
    process finishes after a reload. Without HAProxy (`python_proxy`) this resource waits for `limit_s`.
    """

    status: pulumi.Output[str]
    """`drained`; after a refresh `exported: SERVICES` if ServiceExports exist again."""
    requests_left: pulumi.Output[int]
    """Open requests at the limit; -1 if unknown."""

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
                "requests_left": None,
            },
            opts,
        )


def _export_path(namespace: str, service: str) -> str:
    return f"{SERVICE_EXPORT_API}/namespaces/{namespace}/serviceexports/{service}{SERVE_SERVICE_SUFFIX}"


def _observe_requests(api: KubeApi, namespace: str, services: Sequence[str]) -> State:
    pods = _running_pods(api, namespace, services)
    counts: list[int] = []
    for pod in pods:
        try:
            stats = api.text(f"/api/v1/namespaces/{namespace}/pods/{pod}:{HAPROXY_STATS_PORT}/proxy/stats;csv")
            counts.append(open_requests(stats or ""))
        except (Unreachable, ValueError) as error:
            return InProgress(f"cannot read HAProxy's statistics of pod {pod} ({error})")
    total = sum(counts)
    outputs = {"open_requests": total}
    if total:
        busy = sum(1 for count in counts if count)
        return InProgress(f"{total} open request(s) on {busy} of {len(pods)} pod(s)", outputs=outputs)
    return Succeeded(f"no open request on {len(pods)} pod(s)", outputs)


def _no_pod_runs(api: KubeApi, namespace: str, services: Sequence[str]) -> bool:
    try:
        return not _running_pods(api, namespace, services)
    except Unreachable:
        return False


def _running_pods(api: KubeApi, namespace: str, services: Sequence[str]) -> list[str]:
    """Return the names of the pods with a running container, including the pods that are terminating."""
    return [
        pod["metadata"]["name"]
        for pod in ray_pods(api, namespace, ray_clusters(api, namespace, services))
        if any("running" in each.get("state", {}) for each in pod.get("status", {}).get("containerStatuses", []))
    ]
