"""Stand-ins for the kinds that GKE brings into a cluster: strict, and no larger than what this stack writes.

Fields and bounds are those of GoogleCloudPlatform/gke-gateway-api (apis/networking/v1) and of GKE's "Multi-cluster
Services" page. An unknown field is refused, as GKE's own schemas do.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _number(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


TARGET = _object(("group", "kind", "name"), group=TEXT, kind=TEXT, name=TEXT, namespace=TEXT)
SECONDS = _number(1, 2147483647)
HTTP_CHECK = _object(
    portSpecification=_one_of("USE_FIXED_PORT", "USE_NAMED_PORT", "USE_SERVING_PORT"),
    port=_number(1, 65535),
    portName=TEXT,
    host=TEXT,
    requestPath=TEXT,
    response=TEXT,
)
HEALTH_CHECK = _object(
    checkIntervalSec=_number(1, 300),
    timeoutSec=_number(1, 300),
    healthyThreshold=_number(1, 10),
    unhealthyThreshold=_number(1, 10),
    logConfig=_object(enabled=FLAG),
    config=_object(
        type=_one_of("TCP", "HTTP", "HTTPS", "HTTP2", "GRPC"), httpHealthCheck=HTTP_CHECK, httpsHealthCheck=HTTP_CHECK
    ),
)
BACKEND = _object(
    timeoutSec=SECONDS,
    maxRatePerEndpoint=_number(1, 1_000_000_000),
    securityPolicy=TEXT,
    backendPreference=_one_of("DEFAULT", "PREFERRED"),
    connectionDraining=_object(drainingTimeoutSec=_number(0, 3600)),
    logging=_object(enabled=FLAG, sampleRate=_number(0, 1_000_000)),
    sessionAffinity=_object(type=TEXT, cookieTtlSec=_number(0, 1_209_600)),
    iap=_object(enabled=FLAG, clientID=TEXT, oauth2ClientSecret=_object(name=TEXT)),
)
PORT = _object(("port",), name=TEXT, port=_number(1, 65535), protocol=TEXT, appProtocol=TEXT)

SPECS: dict[tuple[str, str, str], Schema | None] = {
    ("networking.gke.io", "HealthCheckPolicy", "healthcheckpolicies"): _object(
        ("targetRef",), targetRef=TARGET, default=HEALTH_CHECK
    ),
    ("networking.gke.io", "GCPBackendPolicy", "gcpbackendpolicies"): _object(
        ("targetRef",), targetRef=TARGET, default=BACKEND
    ),
    ("networking.gke.io", "GCPGatewayPolicy", "gcpgatewaypolicies"): _object(
        ("targetRef",), targetRef=TARGET, default=_object(sslPolicy=TEXT, allowGlobalAccess=FLAG, region=TEXT)
    ),
    ("net.gke.io", "ServiceExport", "serviceexports"): None,
    ("net.gke.io", "ServiceImport", "serviceimports"): _object(
        ("ports", "type"),
        type=_one_of("ClusterSetIP", "Headless"),
        ports={"type": "array", "items": PORT},
        ips={"type": "array", "items": TEXT},
        sessionAffinity=TEXT,
    ),
    ("monitoring.googleapis.com", "PodMonitoring", "podmonitorings"): _object(
        ("selector", "endpoints"),
        selector=ANYTHING,
        endpoints={"type": "array", "items": _object(("port",), port=TEXT, path=TEXT, interval=TEXT)},
    ),
}


def definitions() -> list[dict[str, Any]]:
    """CustomResourceDefinitions, marked as stand-ins."""
    return [_definition(group, kind, plural, spec) for (group, kind, plural), spec in SPECS.items()]


def _definition(group: str, kind: str, plural: str, spec: Schema | None) -> dict[str, Any]:
    whole = _object(
        ("spec",) if spec else (),
        apiVersion=TEXT,
        kind=TEXT,
        metadata={"type": "object"},
        status=ANYTHING,
        **({"spec": spec} if spec else {}),
    )
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": whole}}
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
