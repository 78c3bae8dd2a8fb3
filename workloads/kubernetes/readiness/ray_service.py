"""Wait until a RayService serves as declared."""

from __future__ import annotations

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import Resource

from config.kuberay import SERVE_SERVICE_SUFFIX
from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import KubeApi, Object, Unreachable, connect
from workloads.kubernetes.readiness.objects import RAY_API, ray_clusters, ray_pods, warning_events
from workloads.kubernetes.readiness.ray_service_snapshot import events_since_update
from workloads.kubernetes.readiness.ray_service_status import evaluate
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

STABLE_FOR_S = 10
"""KubeRay reads Serve's status before it submits a changed configuration, and already reports the change as observed.
For one or two reconciliations the status still describes the old configuration."""


class RayServiceReadyProvider(WaitProvider):
    """Waits for a RayService."""

    replace_keys = ("namespace", "service")
    update_keys = ("kubeconfig", "spec_digest", "wait")

    def resource_id(self, props: Props) -> str:
        """Return `NAMESPACE/SERVICE`."""
        return f"{props['namespace']}/{props['service']}"

    def final_status(self, props: Props) -> str | None:
        """Return `Ready`, or None with `wait: false`."""
        return READY if props.get("wait") else None

    def observe(self, api: KubeApi, props: Props) -> Props | None:
        """Return the outputs with the current status, or None if the RayService does not exist."""
        observed = _observe(api, props["namespace"], props["service"])
        if observed is None:
            return None
        if not props["wait"]:
            return props
        state = observed[0]
        if isinstance(state, Succeeded):
            return {**props, "status": READY, "cluster": state.outputs["cluster"]}
        return {**props, "status": state.text}

    def unreachable(self, props: Props, error: Unreachable) -> Props:
        """Return the outputs with an unknown status, so that the next `up` waits again."""
        return {**props, "status": f"unknown: {error}"} if props["wait"] else props

    def run(self, props: Props) -> Props:
        """Wait until the RayService is ready. Raises OperationFailed."""
        if not props["wait"]:
            return {**props, "status": DECLARED, "cluster": "", "endpoints": 0}
        name, limit_s = props["service"], int(props["limit_s"])
        subject = f"RayService {name}"
        warnings = WarningEvents(subject)

        def observe() -> State:
            observed = _observe(api, props["namespace"], name)
            if observed is None:
                return InProgress("does not exist", "Find out why it was not created.")
            state, events = observed
            warnings.show(events)
            return state

        with connect(props["kubeconfig"]) as api:
            state = wait_for(subject, limit_s, observe, stable_for_s=STABLE_FOR_S)
        if isinstance(state, InProgress):
            raise OperationFailed(
                f"{subject} is not ready after {limit_s} s: {state.text}. {state.remedy or RESUME_HINT}"
            )
        return {**props, "status": READY, **state.outputs}


class RayServiceReady(Resource, module="rayllm", name="RayServiceReady"):
    """Wait until a RayService serves as declared.

    KubeRay has observed this spec, its only RayCluster has that spec, Serve's applications run, and pods stand behind
    `<service>-serve-svc`. `spec_digest`: a digest of the spec, so that every change waits again. With `wait` false the
    status is `declared` and nothing is awaited, because nodes may take hours. If a refresh finds the RayService not
    ready, the next `up` waits again. `limit_s`: whole seconds.
    """

    status: pulumi.Output[str]
    """`Ready` or `declared`; after a refresh the problem."""
    cluster: pulumi.Output[str]
    """Name of the RayCluster that serves."""
    endpoints: pulumi.Output[int]
    """Number of pods that served when the RayService became ready."""

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


def _observe(api: KubeApi, namespace: str, name: str) -> tuple[State, list[Object]] | None:
    """Return the state of a RayService and its warnings, or None if it does not exist."""
    service = api.get(f"{RAY_API}/namespaces/{namespace}/rayservices/{name}")
    if service is None:
        return None
    clusters = ray_clusters(api, namespace, [name])
    pods = ray_pods(api, namespace, clusters)
    events = warning_events(api, namespace)
    serve_service = api.get(f"/api/v1/namespaces/{namespace}/services/{name}{SERVE_SERVICE_SUFFIX}")
    state = evaluate(service, clusters, pods, events, serve_service is not None)
    return state, events_since_update(service, clusters, pods, events)
