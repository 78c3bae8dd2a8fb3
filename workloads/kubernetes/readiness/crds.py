"""Wait until the API server has established the CRDs that GKE installs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import KubeApi, Unreachable, condition, connect
from workloads.kubernetes.readiness.objects import any_changed
from workloads.kubernetes.readiness.wait import InProgress, State, Succeeded, wait_for

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

REQUIRED_CRDS = (
    "rayservices.ray.io",
    "rayclusters.ray.io",
    "gateways.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "healthcheckpolicies.networking.gke.io",
    "gcpbackendpolicies.networking.gke.io",
)
"""What this stack uses in every cluster."""
REQUIRED_CRDS_IN_FLEET = (*REQUIRED_CRDS, "serviceexports.net.gke.io", "serviceimports.net.gke.io")
"""Where several clusters stand behind one entrance."""
CRD_SOURCES = {
    "ray.io": "the cluster's Ray Operator add-on",
    "gateway.networking.k8s.io": "the cluster's Gateway API (gateway_api_config)",
    "networking.gke.io": "the cluster's Gateway API (gateway_api_config)",
    "net.gke.io": "the fleet's feature multiclusterservicediscovery, in clusters that are members",
    "monitoring.googleapis.com": "managed Prometheus",
}
CRDS_LIMIT_S = 900
"""GKE installs them some minutes after a cluster or fleet feature is there."""


class CrdsEstablishedProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult("established", _await_crds(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=any_changed(olds, news, "kubeconfig", "crds"))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(_await_crds(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with connect(props["kubeconfig"]) as api:
            try:
                gone = _missing(api, props["crds"])
            except Unreachable:
                return ReadResult(id_, props)
        return ReadResult("" if gone else id_, props)


class CrdsEstablished(Resource, module="rayllm", name="CrdsEstablished"):
    """Waits until the cluster knows the kinds that GKE brings with an add-on or a feature, some time after that was
    switched on. GKE owns them: they are never installed from here."""

    status: pulumi.Output[str]

    def __init__(
        self, name: str, *, kubeconfig: Input[str], crds: Sequence[str], opts: ResourceOptions | None = None
    ) -> None:
        super().__init__(
            CrdsEstablishedProvider(), name, {"kubeconfig": kubeconfig, "crds": list(crds), "status": None}, opts
        )


def _await_crds(props: dict[str, Any]) -> dict[str, Any]:
    def look() -> State:
        if missing := _missing(api, props["crds"]):
            return InProgress(", ".join(missing))
        return Succeeded("all there", {})

    with connect(props["kubeconfig"]) as api:
        state = wait_for("Kinds of GKE", CRDS_LIMIT_S, look)
    if isinstance(state, InProgress):
        missing = [crd for crd in props["crds"] if crd in state.text]
        brought = [f"{crd} comes with {CRD_SOURCES.get(crd.partition('.')[2], 'a feature of GKE')}" for crd in missing]
        raise OperationFailed(
            f"After {CRDS_LIMIT_S} s the cluster does not know these kinds: {state.text}. {'; '.join(brought)}: see "
            f"that it is switched on. {state.remedy}".rstrip()
        )
    return {**props, "status": "Established"}


def _missing(api: KubeApi, crds: Sequence[str]) -> list[str]:
    found = {crd: api.get(f"{CRDS}/{crd}") for crd in crds}
    return [
        f"{crd} ({'not there' if there is None else 'not established'})"
        for crd, there in found.items()
        if condition((there or {}).get("status", {}).get("conditions", []), "Established").get("status") != "True"
    ]
