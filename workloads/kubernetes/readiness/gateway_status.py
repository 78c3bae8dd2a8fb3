"""Decide whether a Gateway is programmed, in progress or refused by GKE. Makes no request.

Condition types and reasons: sigs.k8s.io/gateway-api (apis/v1), kubernetes-sigs/mcs-api (ServiceExport) and
GoogleCloudPlatform/gke-gateway-api (policies).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from workloads.kubernetes.kube_api import Object, condition
from workloads.kubernetes.readiness.wait import RESUME_HINT, Failed, InProgress, State, Succeeded

REFUSED_GRACE_S = 180
"""Seconds that a refusal must last: GKE tries again, and a status may describe objects before the last update."""
TRANSIENT_REASONS = ("Pending", "NotReconciled", "Waiting", "AddressNotAssigned", "NoResources")
"""Reasons with which a controller says that it has not finished."""
MISSING_BACKEND_REASONS = ("BackendNotFound", "TargetNotFound", "ServiceNotFound", "NoService")
"""Reasons that end when the model answers and KubeRay creates the Service. A refusal only if the backend exists."""
REMEDIES = {
    "Gateway": "Check the addresses, the certificate and the proxy-only subnet of `infra.gateway`",
    "HTTPRoute": "Check the routes of `serving.models`",
    "ServiceExport": "Remove the other ServiceExport of this name, or make both Services alike",
    "HealthCheckPolicy": "Remove the other policy of this backend",
    "GCPBackendPolicy": "Remove the other policy of this backend, or check `infra.gateway.cloud_armor`",
}
"""Kind -> what to do when GKE refuses an object of this kind."""


@dataclass(frozen=True)
class GatewaySnapshot:
    """A Gateway and what belongs to it, as the API servers return it at one moment. None stands for a missing
    object."""

    name: str
    gateway: Object | None
    routes: Mapping[str, Object | None]
    """Name -> HTTPRoute."""
    existing_backends: frozenset[str] = frozenset()
    """Names of the routes' backends that exist."""
    policies: tuple[Object, ...] = ()
    """HealthCheckPolicies and GCPBackendPolicies of the backends."""
    exports: Mapping[str, tuple[Object, ...]] = field(default_factory=dict)
    """Region -> its ServiceExports."""


@dataclass(frozen=True)
class Refusal:
    """A condition with which GKE refuses an object."""

    kind: str
    subject: str
    condition: Object
    expected: str
    """What the condition should be: `Accepted`, or `not Conflict`."""

    @property
    def text(self) -> str:
        """The object, its condition, and GKE's words."""
        return f"{self.subject} is not {self.expected}{_detail(self.condition)}".replace("is not not", "is in")


def evaluate(snapshot: GatewaySnapshot) -> State:
    """Return Failed if GKE refuses an object, Succeeded if Gateway and HTTPRoutes have their conditions, else
    InProgress."""
    refusals = list(_refusals(snapshot))
    if refusals:
        first = refusals[0]
        text = "; ".join(dict.fromkeys(each.text for each in refusals))
        remedy = REMEDIES[first.kind]
        return Failed(
            text,
            f"GKE refuses what belongs to Gateway {snapshot.name}: {text}. {remedy}, then run `pulumi up` again.",
            REFUSED_GRACE_S,
        )
    unmet = list(_unmet(snapshot))
    if not unmet:
        return Succeeded(f"Gateway {snapshot.name} is programmed")
    return InProgress(
        "; ".join(unmet),
        "GKE needs about ten minutes to program a load balancer. Check that one region has `traffic: active`, that its "
        "serve Service exists and is imported (`kubectl get serviceimports -A`), and that the addresses and the "
        f"certificate exist. {RESUME_HINT}",
    )


def _unmet(snapshot: GatewaySnapshot) -> Iterator[str]:
    name, gateway = snapshot.name, snapshot.gateway
    if gateway is None:
        yield f"Gateway {name} does not exist"
    else:
        yield from _unmet_conditions(f"Gateway {name}", gateway, gateway.get("status", {}), "Accepted", "Programmed")
    for route, found in snapshot.routes.items():
        parents = _parents(found, name)
        if found is None:
            yield f"HTTPRoute {route} does not exist"
        elif not parents:
            yield f"HTTPRoute {route} has no status yet from the load balancer's controller"
        for parent in parents:
            yield from _unmet_conditions(f"HTTPRoute {route}", found or {}, parent, "Accepted", "ResolvedRefs")


def _refusals(snapshot: GatewaySnapshot) -> Iterator[Refusal]:
    """Yield the conditions with which a controller refuses the current generation of an object."""
    name, gateway = snapshot.name, snapshot.gateway
    if gateway is not None:
        status = gateway.get("status", {})
        yield from _false("Gateway", f"Gateway {name}", gateway, status, "Accepted", "Programmed")
        for listener in status.get("listeners", []):
            subject = f"listener {listener.get('name')} of Gateway {name}"
            yield from _false("Gateway", subject, gateway, listener, "Accepted", "ResolvedRefs")
    for route, found in snapshot.routes.items():
        backends_exist = all(backend in snapshot.existing_backends for backend in backends(found))
        for parent in _parents(found, name):
            for refusal in _false("HTTPRoute", f"HTTPRoute {route}", found or {}, parent, "Accepted", "ResolvedRefs"):
                if backends_exist or refusal.condition.get("reason") not in MISSING_BACKEND_REASONS:
                    yield refusal
    yield from _policy_refusals(snapshot)
    yield from _export_refusals(snapshot)


def _policy_refusals(snapshot: GatewaySnapshot) -> Iterator[Refusal]:
    for policy in snapshot.policies:
        kind, name = policy.get("kind", ""), policy["metadata"]["name"]
        status = policy.get("status", {})
        for part in (status, *status.get("ancestors", [])):
            for refusal in _false(kind, f"{kind} {name}", policy, part, "Attached", "Accepted"):
                if name in snapshot.existing_backends or refusal.condition.get("reason") not in MISSING_BACKEND_REASONS:
                    yield refusal


def _export_refusals(snapshot: GatewaySnapshot) -> Iterator[Refusal]:
    for region, exports in snapshot.exports.items():
        for export in exports:
            subject = f"ServiceExport {export['metadata']['name']} of {region}"
            conflict = condition(export.get("status", {}).get("conditions", []), "Conflict")
            if conflict.get("status") == "True":
                yield Refusal("ServiceExport", subject, conflict, "not Conflict")
            for refusal in _false("ServiceExport", subject, export, export.get("status", {}), "Valid", "Exported"):
                if refusal.condition.get("reason") not in MISSING_BACKEND_REASONS:
                    yield refusal


def backends(route: Object | None) -> list[str]:
    """Return the names of an HTTPRoute's backends."""
    rules = (route or {}).get("spec", {}).get("rules", [])
    return [reference["name"] for rule in rules for reference in rule.get("backendRefs", [])]


def _parents(route: Object | None, gateway: str) -> list[Object]:
    """Return the parts of an HTTPRoute's status that are about this Gateway."""
    parents = (route or {}).get("status", {}).get("parents", [])
    return [parent for parent in parents if parent.get("parentRef", {}).get("name") == gateway]


def _false(kind: str, subject: str, resource: Object, status: Object, *types: str) -> Iterator[Refusal]:
    """Yield the conditions of these types that are False for the resource's current generation, and will stay so."""
    generation = resource.get("metadata", {}).get("generation", 0)
    for each in types:
        found = condition(status.get("conditions", []), each)
        current = found.get("observedGeneration", generation) >= generation
        if found.get("status") == "False" and current and found.get("reason") not in TRANSIENT_REASONS:
            yield Refusal(kind, subject, found, each)


def _unmet_conditions(subject: str, resource: Object, status: Object, *types: str) -> Iterator[str]:
    """Yield a text for each condition of these types that is not True for the resource's current generation."""
    generation = resource["metadata"].get("generation", 0)
    for kind in types:
        found = condition(status.get("conditions", []), kind)
        if found.get("status") != "True" or found.get("observedGeneration", generation) < generation:
            yield f"{subject} is not {kind}{_detail(found)}"


def _detail(found: Object) -> str:
    """Return reason and message of a condition in brackets."""
    return f" ({found.get('reason')}: {' '.join(found.get('message', '').split())[:240]})" if found else ""
