"""Wait, when it is deleted, until no RayCluster of a RayService is left."""

from __future__ import annotations

from pulumi import Input, ResourceOptions
from pulumi.dynamic import ReadResult, Resource

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import connect
from workloads.kubernetes.readiness.objects import RAY_API, ray_clusters
from workloads.kubernetes.readiness.wait import InProgress, Props, State, Succeeded, WaitProvider, wait_for

DELETION_LIMIT_S = 900
"""Limit of a state from before `limit_s` existed."""
DELETED_FOR_S = 5
"""KubeRay reconciles a RayService until its deletion ends, and may create one more RayCluster for it."""


class RayServiceDeletedProvider(WaitProvider):
    """Waits when the resource is deleted, and never before."""

    update_keys = ("kubeconfig", "namespace", "service", "limit_s")

    def resource_id(self, props: Props) -> str:
        """Return `NAMESPACE/SERVICE`."""
        return f"{props['namespace']}/{props['service']}"

    def run(self, props: Props) -> Props:
        """Return at once: the RayService does not exist yet."""
        return props

    def read(self, id_: str, props: Props) -> ReadResult:
        """Return the state as it is, without a request."""
        return ReadResult(id_, props)

    def delete(self, _id: str, props: Props) -> None:
        """Wait until the RayService and its RayClusters are gone. Raises OperationFailed."""
        namespace, name = props["namespace"], props["service"]
        subject = f"Deletion of RayService {name}"

        def observe() -> State:
            remaining = [f"RayCluster {each['metadata']['name']}" for each in ray_clusters(api, namespace, [name])]
            if api.get(f"{RAY_API}/namespaces/{namespace}/rayservices/{name}") is not None:
                remaining.append(f"RayService {name}")
            return InProgress(f"waiting for {', '.join(remaining)}") if remaining else Succeeded("complete")

        limit_s = int(props.get("limit_s", DELETION_LIMIT_S))
        with connect(props["kubeconfig"]) as api:
            state = wait_for(subject, limit_s, observe, stable_for_s=DELETED_FOR_S)
        if isinstance(state, InProgress):
            raise OperationFailed(
                f"{subject} is not complete after {limit_s} s: {state.text}. Pulumi deleted nothing that the "
                f"pods need. Find out what blocks the deletion (`kubectl -n {namespace} describe "
                f"rayclusters,jobs,pods`), then run the command again. {state.remedy}".rstrip()
            )


class RayServiceDeleted(Resource, module="rayllm", name="RayServiceDeleted"):
    """Wait, when this resource is deleted, until KubeRay has deleted the RayClusters of a RayService.

    Pulumi deletes it after the RayService, and before the accounts, secrets and policies that the pods and KubeRay's
    clean-up of Redis need. The deletion of the RayService alone does not ensure that: KubeRay reconciles during the
    deletion, and a RayCluster that it creates then outlives the RayService. Without its service account and password
    KubeRay cannot clean that RayCluster up, and it blocks the deletion of the namespace.
    """

    def __init__(
        self,
        name: str,
        *,
        kubeconfig: Input[str],
        namespace: Input[str],
        service: Input[str],
        limit_s: int,
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {"kubeconfig": kubeconfig, "namespace": namespace, "service": service, "limit_s": limit_s}
        super().__init__(RayServiceDeletedProvider(), name, props, opts)
