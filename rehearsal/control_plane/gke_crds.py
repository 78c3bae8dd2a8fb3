"""Stand-ins for the CRDs that GKE installs: strict schemas with the fields that this stack writes.

Fields and bounds are those of GoogleCloudPlatform/gke-gateway-api (apis/networking/v1) and of GKE's "Multi-cluster
Services" page. The schemas refuse an unknown field, as GKE's do.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
ANYTHING: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _number(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


TARGET = _object(("group", "kind", "name"), group=STRING, kind=STRING, name=STRING, namespace=STRING)
SECONDS = _number(1, 2147483647)
HTTP_CHECK = _object(
    portSpecification=_one_of("USE_FIXED_PORT", "USE_NAMED_PORT", "USE_SERVING_PORT"),
    port=_number(1, 65535),
    portName=STRING,
    host=STRING,
    requestPath=STRING,
    response=STRING,
)
HEALTH_CHECK = _object(
    checkIntervalSec=_number(1, 300),
    timeoutSec=_number(1, 300),
    healthyThreshold=_number(1, 10),
    unhealthyThreshold=_number(1, 10),
    logConfig=_object(enabled=BOOLEAN),
    config=_object(
        type=_one_of("TCP", "HTTP", "HTTPS", "HTTP2", "GRPC"), httpHealthCheck=HTTP_CHECK, httpsHealthCheck=HTTP_CHECK
    ),
)
BACKEND = _object(
    timeoutSec=SECONDS,
    maxRatePerEndpoint=_number(1, 1_000_000_000),
    securityPolicy=STRING,
    backendPreference=_one_of("DEFAULT", "PREFERRED"),
    connectionDraining=_object(drainingTimeoutSec=_number(0, 3600)),
    logging=_object(enabled=BOOLEAN, sampleRate=_number(0, 1_000_000)),
    sessionAffinity=_object(type=STRING, cookieTtlSec=_number(0, 1_209_600)),
    iap=_object(enabled=BOOLEAN, clientID=STRING, oauth2ClientSecret=_object(name=STRING)),
)
PORT = _object(("port",), name=STRING, port=_number(1, 65535), protocol=STRING, appProtocol=STRING)

SPECS: dict[tuple[str, str, str], Schema | None] = {
    ("networking.gke.io", "HealthCheckPolicy", "healthcheckpolicies"): _object(
        ("targetRef",), targetRef=TARGET, default=HEALTH_CHECK
    ),
    ("networking.gke.io", "GCPBackendPolicy", "gcpbackendpolicies"): _object(
        ("targetRef",), targetRef=TARGET, default=BACKEND
    ),
    ("networking.gke.io", "GCPGatewayPolicy", "gcpgatewaypolicies"): _object(
        ("targetRef",), targetRef=TARGET, default=_object(sslPolicy=STRING, allowGlobalAccess=BOOLEAN, region=STRING)
    ),
    ("net.gke.io", "ServiceExport", "serviceexports"): None,
    ("net.gke.io", "ServiceImport", "serviceimports"): _object(
        ("ports", "type"),
        type=_one_of("ClusterSetIP", "Headless"),
        ports={"type": "array", "items": PORT},
        ips={"type": "array", "items": STRING},
        sessionAffinity=STRING,
    ),
    ("monitoring.googleapis.com", "PodMonitoring", "podmonitorings"): _object(
        ("selector", "endpoints"),
        selector=ANYTHING,
        endpoints={"type": "array", "items": _object(("port",), port=STRING, path=STRING, interval=STRING)},
    ),
}
"""(Group, kind, plural) -> schema of the spec; None: the kind has no spec."""


def crds() -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions, labelled as stand-ins."""
    return [_crd(group, kind, plural, spec) for (group, kind, plural), spec in SPECS.items()]


def _crd(group: str, kind: str, plural: str, spec: Schema | None) -> dict[str, Any]:
    schema = _object(
        ("spec",) if spec else (),
        apiVersion=STRING,
        kind=STRING,
        metadata={"type": "object"},
        status=ANYTHING,
        **({"spec": spec} if spec else {}),
    )
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "labels": {"rayllm/stand-in": "true"}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [{**version, "subresources": {"status": {}}}],
        },
    }
