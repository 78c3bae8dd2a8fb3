"""Wait, when it is deleted, until no RayCluster of a RayService is left."""

from __future__ import annotations

from typing import Any

from pulumi import Input, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import connect
from workloads.kubernetes.readiness.objects import RAY, any_changed, ray_clusters
from workloads.kubernetes.readiness.wait import InProgress, State, Succeeded, wait_for

GONE_LIMIT_S = 900
"""KubeRay gives its clean-up of Redis five minutes and lets go then; pods have their grace before."""
GONE_STEADY_S = 5
"""KubeRay goes on with a RayService that is being deleted and may make one more RayCluster for it."""


class RayServiceDeletedProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['namespace']}/{props['service']}", props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=any_changed(olds, news, "kubeconfig", "namespace", "service"))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(news)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        _await_nothing(props)


class RayServiceDeleted(Resource, module="rayllm", name="RayServiceDeleted"):
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
        super().__init__(RayServiceDeletedProvider(), name, given, opts)


def _await_nothing(props: dict[str, Any]) -> None:
    namespace, name = props["namespace"], props["service"]
    what = f"What is left of RayService {name}"

    def look() -> State:
        left = [f"RayCluster {each['metadata']['name']}" for each in ray_clusters(api, namespace, [name])]
        if api.get(f"{RAY}/namespaces/{namespace}/rayservices/{name}") is not None:
            left.append(f"RayService {name}")
        return InProgress(", ".join(left)) if left else Succeeded("nothing", {})

    with connect(props["kubeconfig"]) as api:
        state = wait_for(what, GONE_LIMIT_S, look, steady_s=GONE_STEADY_S)
    if isinstance(state, InProgress):
        raise OperationFailed(
            f"{what} after {GONE_LIMIT_S} s: {state.text}. Nothing that it needs was deleted; see what holds it "
            f"(`kubectl -n {namespace} describe rayclusters,jobs,pods`), and run this again. {state.remedy}".rstrip()
        )
