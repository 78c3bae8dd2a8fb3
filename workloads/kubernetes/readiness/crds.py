"""Wait until the API server has established the CRDs that GKE installs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi import Input, ResourceOptions
from pulumi.dynamic import Resource

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.kube_api import KubeApi, condition, connect
from workloads.kubernetes.readiness.wait import InProgress, Props, State, Succeeded, WaitProvider, wait_for

CRD_API = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

REQUIRED_CRDS = (
    "rayservices.ray.io",
    "rayclusters.ray.io",
    "gateways.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "healthcheckpolicies.networking.gke.io",
    "gcpbackendpolicies.networking.gke.io",
)
"""CRDs that every cluster of this stack uses."""
REQUIRED_CRDS_IN_FLEET = (*REQUIRED_CRDS, "serviceexports.net.gke.io", "serviceimports.net.gke.io")
"""CRDs of a cluster that shares its Gateway with other clusters of the fleet."""
CRD_SOURCES = {
    "ray.io": "the cluster's Ray Operator add-on",
    "gateway.networking.k8s.io": "the cluster's Gateway API (gateway_api_config)",
    "networking.gke.io": "the cluster's Gateway API (gateway_api_config)",
    "net.gke.io": "the fleet's feature multiclusterservicediscovery, in clusters that are members",
    "monitoring.googleapis.com": "managed Prometheus",
}
"""API group -> the GKE feature that installs its CRDs."""
CRDS_LIMIT_S = 900
"""GKE installs the CRDs some minutes after it has enabled the feature."""


class CrdsEstablishedProvider(WaitProvider):
    """Waits for CRDs."""

    update_keys = ("kubeconfig", "crds")

    def resource_id(self, props: Props) -> str:
        """Return a constant: there is one such wait in each cluster."""
        return "established"

    def observe(self, api: KubeApi, props: Props) -> Props | None:
        """Return the outputs, or None if a CRD is not established."""
        return None if missing_crds(api, props["crds"]) else props

    def run(self, props: Props) -> Props:
        """Wait until every CRD is established. Raises OperationFailed, which names the feature to enable."""

        def observe() -> State:
            missing = missing_crds(api, props["crds"])
            if not missing:
                return Succeeded("all established")
            text = ", ".join(f"{crd} ({problem})" for crd, problem in missing.items())
            return InProgress(text, outputs={"missing": missing})

        with connect(props["kubeconfig"]) as api:
            state = wait_for("GKE's CRDs", CRDS_LIMIT_S, observe)
        if isinstance(state, InProgress):
            sources = [
                f"{crd} comes with {CRD_SOURCES.get(crd.partition('.')[2], 'a feature of GKE')}"
                for crd in state.outputs.get("missing", ())
            ]
            fix = f"{'; '.join(sources)}. Enable it." if sources else ""
            parts = (f"GKE's CRDs are not established after {CRDS_LIMIT_S} s: {state.text}.", fix, state.remedy)
            raise OperationFailed(" ".join(part for part in parts if part))
        return {**props, "status": "Established"}


class CrdsEstablished(Resource, module="rayllm", name="CrdsEstablished"):
    """Wait until the API server has established `crds`.

    GKE installs and owns them: it does so some minutes after an add-on or a fleet feature is enabled. This stack never
    installs a CRD.
    """

    status: pulumi.Output[str]
    """`Established`."""

    def __init__(
        self, name: str, *, kubeconfig: Input[str], crds: Sequence[str], opts: ResourceOptions | None = None
    ) -> None:
        super().__init__(
            CrdsEstablishedProvider(), name, {"kubeconfig": kubeconfig, "crds": list(crds), "status": None}, opts
        )


def missing_crds(api: KubeApi, crds: Sequence[str]) -> Mapping[str, str]:
    """Return each CRD that is not established -> `not installed` or `not established`."""
    missing: dict[str, str] = {}
    for crd in crds:
        found = api.get(f"{CRD_API}/{crd}")
        if found is None:
            missing[crd] = "not installed"
        elif condition(found.get("status", {}).get("conditions", []), "Established").get("status") != "True":
            missing[crd] = "not established"
    return missing
