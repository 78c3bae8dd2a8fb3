"""The inference gateway: one GKE Gateway, the routes to the models behind it, and the load balancer's settings for each
model. All of it is in the config cluster; a region joins with a ServiceExport in its own cluster.

Shapes: sigs.k8s.io/gateway-api (v1) and GoogleCloudPlatform/gke-gateway-api (networking.gke.io/v1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import Input, Output, ResourceOptions
from pulumi_kubernetes.apiextensions import CustomResource

from config.kuberay import HEALTH_CHECK_PATH, SERVE_PORT, SERVE_SERVICE_SUFFIX
from config.routes import HeaderRoute, HostRoute, PathRoute, Route
from config.timeouts import Timeouts
from infra.contract import GatewayFrontend, RegionalAddress
from workloads.kubernetes.ray_service import spec_digest

Manifest = dict[str, Any]

GATEWAY = "inference-gateway"
"""Name of the Gateway, and of the first HTTPRoute."""
LOG_EVERY_REQUEST = 1_000_000
"""LoggingConfig.sampleRate, in parts per million."""
DELETE_TIMEOUT = "20m"
"""Google takes minutes to delete forwarding rules and network endpoint groups, and the VPC cannot be deleted before."""
SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}
"""These kinds have no condition Ready; readiness/ waits for their own conditions. Pulumi still waits for their
deletion: the provider skips that for a few built-in kinds only (pulumi-kubernetes, allowsSkipAwaitWithDelete)."""


def serve_service(ray_service: str) -> str:
    """Return the name of the Service that KubeRay creates for a RayService."""
    return f"{ray_service}{SERVE_SERVICE_SUFFIX}"


@dataclass(frozen=True)
class Backend:
    """One RayService behind the gateway."""

    name: str
    route: Route | None
    """Requests that go to it; None: all requests that no other route matches."""
    max_rate_per_endpoint: int
    """Requests per second that one worker pod can serve, as measured."""

    @property
    def service(self) -> str:
        """Name of the Service that KubeRay creates for it, and of its ServiceImport."""
        return serve_service(self.name)


@dataclass(frozen=True)
class InferenceGatewayArgs:
    """Inputs of InferenceGateway."""

    frontend: GatewayFrontend
    backends: Sequence[Backend]
    namespace: str
    """The same in every cluster: a ServiceImport has the name and namespace of the exported Service."""
    timeouts: Timeouts


class InferenceGateway(pulumi.ComponentResource):
    """Creates the Gateway, its HTTPRoutes, and for each model a HealthCheckPolicy and a GCPBackendPolicy.

    Does not create addresses, certificate or DNS record (infra does), and does not wait until the load balancer is
    programmed. A change of the gateway class replaces the Gateway; every other edit is applied in place. Pulumi creates
    the policies before the routes and deletes them after the routes, so that Google's defaults (30 s, no draining, no
    rate limit) never apply to a request.
    """

    def __init__(self, name: str, args: InferenceGatewayArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:workloads:InferenceGateway", name, {}, opts)
        child = ResourceOptions.merge(opts, ResourceOptions(parent=self))  # children inherit no dependencies
        timeouts = pulumi.CustomTimeouts(delete=DELETE_TIMEOUT)
        policies = [_create(name, each, child) for each in (*health_checks(args), *backend_policies(args))]
        gateway_resource = _create(
            name,
            gateway(args),
            ResourceOptions.merge(
                child,
                ResourceOptions(
                    replace_on_changes=["spec.gatewayClassName"], delete_before_replace=True, custom_timeouts=timeouts
                ),
            ),
        )
        for route in routes(args):
            route_opts = ResourceOptions(depends_on=[gateway_resource, *policies], custom_timeouts=timeouts)
            _create(name, route, ResourceOptions.merge(child, route_opts))
        self.gateway = GATEWAY
        self.routes = [str(route["metadata"]["name"]) for route in routes(args)]
        self.endpoint = endpoint(args.frontend)
        """URL that clients call."""
        self.spec_digest = spec_digest([gateway(args), *routes(args)])
        """Digest of Gateway and HTTPRoutes; a wait starts again when it changes."""
        self.register_outputs({})


@dataclass(frozen=True)
class ServiceExportsArgs:
    """Inputs of ServiceExports."""

    namespace: str
    backends: Sequence[str]
    """Names of the region's RayServices."""


class ServiceExports(pulumi.ComponentResource):
    """Creates a ServiceExport for each RayService of one region. A region without them receives no requests.

    Does not wait for the Service, which KubeRay creates when the model answers; until then the ServiceExport reports
    that the Service is missing. ServiceExports have no fields to edit.
    """

    def __init__(self, name: str, args: ServiceExportsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:workloads:ServiceExports", name, {}, opts)
        export_opts = ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(delete=DELETE_TIMEOUT))
        for backend in args.backends:
            manifest = service_export(serve_service(backend), args.namespace)
            _create(name, manifest, ResourceOptions.merge(opts, export_opts))
        self.register_outputs({})


def service_export(service: str, namespace: str) -> Manifest:
    """Return a ServiceExport. It exports KubeRay's own Service: an alias Service could not select the RayCluster."""
    return _manifest("net.gke.io/v1", "ServiceExport", service, namespace)


def endpoint(frontend: GatewayFrontend) -> Input[str]:
    """Return the URL that clients call: by hostname, or else by the address of the first region."""
    scheme = "http" if frontend.certificate is None else "https"
    return (
        f"{scheme}://{frontend.hostname}"
        if frontend.hostname
        else Output.format("{}://{}", scheme, frontend.addresses[0].value)
    )


def gateway(args: InferenceGatewayArgs) -> Manifest:
    """Return the Gateway. It has one listener: HTTPS if there is a certificate, else HTTP."""
    frontend = args.frontend
    annotations: dict[str, Input[str]] = {}
    listener: dict[str, Any] = {"name": "http", "protocol": "HTTP", "port": 80}
    if frontend.certificate is not None:
        listener = {"name": "https", "protocol": "HTTPS", "port": 443}
        if _global_external(frontend):
            annotations["networking.gke.io/certmap"] = frontend.certificate
        else:  # internal load balancers do not support certificate maps (GKE, "Secure a Gateway")
            options = {"networking.gke.io/cert-manager-certs": frontend.certificate}
            listener["tls"] = {"mode": "Terminate", "options": options}
    if frontend.hostname and not any(isinstance(backend.route, HostRoute) for backend in args.backends):
        listener["hostname"] = frontend.hostname
    listener["allowedRoutes"] = {"namespaces": {"from": "Same"}}
    return _manifest(
        "gateway.networking.k8s.io/v1",
        "Gateway",
        GATEWAY,
        args.namespace,
        {
            "gatewayClassName": frontend.gateway_class,
            "addresses": [_address(frontend, address) for address in frontend.addresses],
            "listeners": [listener],
        },
        annotations,
    )


def routes(args: InferenceGatewayArgs) -> list[Manifest]:
    """Return one HTTPRoute for the gateway's own hostname, and one for each additional hostname.

    The Gateway API defines which rule matches, independent of their order: the hostname first, then the longest path,
    then headers. The rules are written in that order.
    """
    shared_host: list[Backend] = []
    own_host: list[Manifest] = []
    for backend in args.backends:
        if isinstance(backend.route, HostRoute):
            name = f"{GATEWAY}-{backend.name}"
            own_host.append(_route(args, name, backend.route.hostname, [_rule(args, backend)]))
        else:
            shared_host.append(backend)
    rules = [_rule(args, backend) for backend in sorted(shared_host, key=_precedence)]
    return [_route(args, GATEWAY, args.frontend.hostname, rules), *own_host]


def health_checks(args: InferenceGatewayArgs) -> list[Manifest]:
    """Return a HealthCheckPolicy for each model. Google's default path is `/`, which no Serve application answers with
    200."""
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
                        "requestPath": HEALTH_CHECK_PATH,
                    },
                },
            },
        )
        for backend in args.backends
    ]


def backend_policies(args: InferenceGatewayArgs) -> list[Manifest]:
    """Return a GCPBackendPolicy for each model, always with timeout, draining and rate limit.

    Google's defaults cut streams, and never send requests from a full region to another one.
    """
    security_policy = args.frontend.security_policy
    return [
        _policy(
            args,
            "GCPBackendPolicy",
            backend,
            {
                "timeoutSec": args.timeouts.backend_timeout_s,
                "connectionDraining": {"drainingTimeoutSec": args.timeouts.connection_draining_s},
                "maxRatePerEndpoint": backend.max_rate_per_endpoint,
                "logging": {"enabled": True, "sampleRate": LOG_EVERY_REQUEST},
                **({} if security_policy is None else {"securityPolicy": security_policy}),
            },
        )
        for backend in args.backends
    ]


def _address(frontend: GatewayFrontend, address: RegionalAddress) -> dict[str, str]:
    """Return a reserved address, by name.

    Google documents `NamedAddress` ("Deploying Gateways"); with a domain before the name GKE rejects it (GWCER106). For
    cross-regional classes Google documents only ephemeral addresses
    (networking.gke.io/ephemeral-ipv4-address/REGION). The type of a reserved one is not verified:
    docs/decisions/0009-what-the-gateway-routes-by.md.
    """
    if "cross-regional" in frontend.gateway_class:
        value = f"regions/{address.region}/addresses/{address.name}"
        return {"type": "networking.gke.io/named-address-with-region", "value": value}
    return {"type": "NamedAddress", "value": address.name}


def _global_external(frontend: GatewayFrontend) -> bool:
    return "global-external" in frontend.gateway_class


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
    match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": prefix}}
    if isinstance(backend.route, HeaderRoute):
        match["headers"] = [{"type": "Exact", "name": backend.route.name, "value": backend.route.value}]
    rule: dict[str, Any] = {"matches": [match]}
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
    """Return the reference of routes and policies to a backend."""
    multi_cluster = args.frontend.multi_cluster
    kind = {"group": "net.gke.io", "kind": "ServiceImport"} if multi_cluster else {"group": "", "kind": "Service"}
    return {**kind, "name": backend.service}


def _manifest(
    version: str,
    kind: str,
    name: str,
    namespace: str,
    spec: Manifest | None = None,
    annotations: dict[str, Input[str]] | None = None,
) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "annotations": {**SKIP_AWAIT, **(annotations or {})}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **({} if spec is None else {"spec": spec})}


def _create(owner: str, manifest: Manifest, opts: ResourceOptions) -> CustomResource:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    return CustomResource(
        f"{owner}-{kind}-{name}".lower(),
        api_version=manifest["apiVersion"],
        kind=kind,
        metadata=manifest["metadata"],
        spec=manifest.get("spec"),
        opts=opts,
    )
