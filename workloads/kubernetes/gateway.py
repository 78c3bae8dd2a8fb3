"""The entrance: one Gateway of GKE's, how requests find their model behind it, and what the load balancer must know of
each model. All of it is in the config cluster; a region takes part by a ServiceExport in its own cluster.

Shapes: sigs.k8s.io/gateway-api (v1) and GoogleCloudPlatform/gke-gateway-api (networking.gke.io/v1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import Input, Output, ResourceOptions
from pulumi_kubernetes.apiextensions import CustomResource

from config.routes import HeaderRoute, HostRoute, PathRoute, Route
from config.timeouts import Timeouts
from infra.contract import GatewayFrontend, RegionalAddress
from workloads.kubernetes.ray_service import HEALTH_PATH, SERVE_PORT, spec_digest

Manifest = dict[str, Any]

GATEWAY = "inference-gateway"
MATCH_ALL = 1_000_000
"""LoggingConfig.sampleRate: parts of a million."""
RELEASE_LIMIT = "20m"
"""Google takes minutes to give up forwarding rules and network endpoint groups, and the VPC stays until it has."""
NOT_AWAITED = {"pulumi.com/skipAwait": "true"}
"""These kinds never say Ready; readiness.py waits, and knows what for. Deletion of them is awaited all the same: the
provider leaves that out for a few built-in kinds only (pulumi-kubernetes, allowsSkipAwaitWithDelete)."""


@dataclass(frozen=True)
class Backend:
    """One RayService behind the entrance."""

    name: str
    route: Route | None
    """Which requests are its own; None: all that no other backend claims."""
    max_rate_per_endpoint: int
    """Requests per second that one worker pod was measured to bear."""

    @property
    def service(self) -> str:
        """The Service that KubeRay makes for it, and its ServiceImport."""
        return f"{self.name}-serve-svc"


@dataclass(frozen=True)
class InferenceGatewayArgs:
    frontend: GatewayFrontend
    backends: Sequence[Backend]
    namespace: str
    """The same in every cluster: a ServiceImport appears under the name and namespace of what was exported."""
    timeouts: Timeouts


class InferenceGateway(pulumi.ComponentResource):
    """Makes: the Gateway, its HTTPRoutes, and for each model a HealthCheckPolicy and a GCPBackendPolicy.

    Does not: make addresses, certificate or DNS record (infra does), or wait until the load balancer is programmed.
    Replaces: the Gateway when its class changes. Policies come before routes and go after them, so that no request
    meets Google's defaults (30 s, no draining, no limit on the rate).
    """

    def __init__(self, name: str, args: InferenceGatewayArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:workloads:InferenceGateway", name, {}, opts)
        child = ResourceOptions.merge(opts, ResourceOptions(parent=self))  # children inherit no dependencies
        slow = pulumi.CustomTimeouts(delete=RELEASE_LIMIT)
        policies = [_make(name, each, child) for each in (*health_checks(args), *backend_policies(args))]
        front = _make(
            name,
            gateway(args),
            ResourceOptions.merge(
                child,
                ResourceOptions(
                    replace_on_changes=["spec.gatewayClassName"], delete_before_replace=True, custom_timeouts=slow
                ),
            ),
        )
        for route in routes(args):
            after = ResourceOptions(depends_on=[front, *policies], custom_timeouts=slow)
            _make(name, route, ResourceOptions.merge(child, after))
        self.gateway = GATEWAY
        self.routes = [str(route["metadata"]["name"]) for route in routes(args)]
        self.endpoint = endpoint(args.frontend)
        """What clients call."""
        self.spec_digest = spec_digest([gateway(args), *routes(args)])
        """Of what was asked for: whoever waits for it waits again when it changes."""
        self.register_outputs({})


@dataclass(frozen=True)
class ServiceExportsArgs:
    namespace: str
    backends: Sequence[str]
    """Names of the region's RayServices."""


class ServiceExports(pulumi.ComponentResource):
    """Makes: a ServiceExport for each RayService of one region. A region without them gets no requests.

    Does not: wait for the Service, which KubeRay makes when the model answers; until then the export only says so.
    """

    def __init__(self, name: str, args: ServiceExportsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:workloads:ServiceExports", name, {}, opts)
        slow = ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(delete=RELEASE_LIMIT))
        for backend in args.backends:
            manifest = service_export(Backend(backend, None, 1).service, args.namespace)
            _make(name, manifest, ResourceOptions.merge(opts, slow))
        self.register_outputs({})


def service_export(service: str, namespace: str) -> Manifest:
    """Nothing but a name: that of KubeRay's own Service. An alias could not name the RayCluster that it selects."""
    return _manifest("net.gke.io/v1", "ServiceExport", service, namespace)


def endpoint(entrance: GatewayFrontend) -> Input[str]:
    """The URL that clients call: the hostname, or the address of the first region."""
    scheme = "http" if entrance.certificate is None else "https"
    return (
        f"{scheme}://{entrance.hostname}"
        if entrance.hostname
        else Output.format("{}://{}", scheme, entrance.addresses[0].value)
    )


def gateway(args: InferenceGatewayArgs) -> Manifest:
    """One listener: HTTPS where there is a certificate, and then nothing on port 80."""
    entrance = args.frontend
    annotations: dict[str, Input[str]] = {}
    listener: dict[str, Any] = {"name": "http", "protocol": "HTTP", "port": 80}
    if entrance.certificate is not None:
        listener = {"name": "https", "protocol": "HTTPS", "port": 443}
        if _global_external(entrance):
            annotations["networking.gke.io/certmap"] = entrance.certificate
        else:  # internal load balancers take no map (GKE, "Secure a Gateway")
            options = {"networking.gke.io/cert-manager-certs": entrance.certificate}
            listener["tls"] = {"mode": "Terminate", "options": options}
    further = [backend for backend in args.backends if isinstance(backend.route, HostRoute)]
    if entrance.hostname and not further:
        listener["hostname"] = entrance.hostname
    listener["allowedRoutes"] = {"namespaces": {"from": "Same"}}
    return _manifest(
        "gateway.networking.k8s.io/v1",
        "Gateway",
        GATEWAY,
        args.namespace,
        {
            "gatewayClassName": entrance.gateway_class,
            "addresses": [_address(entrance, each) for each in entrance.addresses],
            "listeners": [listener],
        },
        annotations,
    )


def routes(args: InferenceGatewayArgs) -> list[Manifest]:
    """One HTTPRoute for the entrance's own name, one for each further name.

    Which rule takes a request is the Gateway API's business, whatever their order: the host first, then the longest
    path, then headers. They are written in that order.
    """
    own: list[Backend] = []
    found: list[Manifest] = []
    for backend in args.backends:
        if isinstance(backend.route, HostRoute):
            name = f"{GATEWAY}-{backend.name}"
            found.append(_route(args, name, backend.route.hostname, [_rule(args, backend)]))
        else:
            own.append(backend)
    rules = [_rule(args, backend) for backend in sorted(own, key=_precedence)]
    return [_route(args, GATEWAY, args.frontend.hostname, rules), *found]


def health_checks(args: InferenceGatewayArgs) -> list[Manifest]:
    """Google's own default would ask for `/`, which no Serve application answers with 200."""
    return [
        _policy(
            args,
            "HealthCheckPolicy",
            backend,
            {
                "checkIntervalSec": 5,
                "timeoutSec": 5,
                "healthyThreshold": 2,
                "unhealthyThreshold": 2,
                "logConfig": {"enabled": True},
                "config": {
                    "type": "HTTP",
                    "httpHealthCheck": {
                        "portSpecification": "USE_FIXED_PORT",
                        "port": SERVE_PORT,
                        "requestPath": HEALTH_PATH,
                    },
                },
            },
        )
        for backend in args.backends
    ]


def backend_policies(args: InferenceGatewayArgs) -> list[Manifest]:
    """Time-out, draining and rate are always written: Google's defaults cut streams and never leave a full region."""
    armor = args.frontend.security_policy
    return [
        _policy(
            args,
            "GCPBackendPolicy",
            backend,
            {
                "timeoutSec": args.timeouts.backend_timeout_s,
                "connectionDraining": {"drainingTimeoutSec": args.timeouts.connection_draining_s},
                "maxRatePerEndpoint": backend.max_rate_per_endpoint,
                "logging": {"enabled": True, "sampleRate": MATCH_ALL},
                **({} if armor is None else {"securityPolicy": armor}),
            },
        )
        for backend in args.backends
    ]


def _address(entrance: GatewayFrontend, address: RegionalAddress) -> dict[str, str]:
    """A reserved address, by name.

    `NamedAddress` is in Google's pages ("Deploying Gateways"); with a domain in front GKE refuses it (GWCER106). For
    cross-regional classes only ephemeral addresses were found in what Google publishes
    (networking.gke.io/ephemeral-ipv4-address/REGION); the type of a reserved one is not verified:
    docs/decisions/0009-what-the-gateway-routes-by.md.
    """
    if "cross-regional" in entrance.gateway_class:
        value = f"regions/{address.region}/addresses/{address.name}"
        return {"type": "networking.gke.io/named-address-with-region", "value": value}
    return {"type": "NamedAddress", "value": address.name}


def _global_external(entrance: GatewayFrontend) -> bool:
    return "global-external" in entrance.gateway_class


def _precedence(backend: Backend) -> tuple[int, int]:
    match backend.route:
        case PathRoute() as path:
            return (0, -len(path.prefix))
        case HeaderRoute():
            return (1, 0)
        case _:
            return (2, 0)


def _rule(args: InferenceGatewayArgs, backend: Backend) -> dict[str, Any]:
    prefix = backend.route.prefix if isinstance(backend.route, PathRoute) else "/"
    matching: dict[str, Any] = {"path": {"type": "PathPrefix", "value": prefix}}
    if isinstance(backend.route, HeaderRoute):
        matching["headers"] = [{"type": "Exact", "name": backend.route.name, "value": backend.route.value}]
    rule: dict[str, Any] = {"matches": [matching]}
    if prefix != "/":
        rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": rewrite}]
    return {**rule, "backendRefs": [{**_target(args, backend), "port": SERVE_PORT}]}


def _route(args: InferenceGatewayArgs, name: str, hostname: str | None, rules: Sequence[Manifest]) -> Manifest:
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY}
    spec = {"parentRefs": [parent], **({"hostnames": [hostname]} if hostname else {}), "rules": list(rules)}
    return _manifest("gateway.networking.k8s.io/v1", "HTTPRoute", name, args.namespace, spec)


def _policy(args: InferenceGatewayArgs, kind: str, backend: Backend, default: Manifest) -> Manifest:
    spec = {"default": default, "targetRef": _target(args, backend)}
    return _manifest("networking.gke.io/v1", kind, backend.service, args.namespace, spec)


def _target(args: InferenceGatewayArgs, backend: Backend) -> dict[str, Any]:
    """What routes and policies point to."""
    many = args.frontend.multi_cluster
    kind = {"group": "net.gke.io", "kind": "ServiceImport"} if many else {"group": "", "kind": "Service"}
    return {**kind, "name": backend.service}


def _manifest(
    version: str,
    kind: str,
    name: str,
    namespace: str,
    spec: Manifest | None = None,
    annotations: dict[str, Input[str]] | None = None,
) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "annotations": {**NOT_AWAITED, **(annotations or {})}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **({} if spec is None else {"spec": spec})}


def _make(owner: str, manifest: Manifest, opts: ResourceOptions) -> CustomResource:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    return CustomResource(
        f"{owner}-{kind}-{name}".lower(),
        api_version=manifest["apiVersion"],
        kind=kind,
        metadata=manifest["metadata"],
        spec=manifest.get("spec"),
        opts=opts,
    )
