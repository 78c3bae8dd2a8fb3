"""Network exposure: what hosts on the internet can reach, and where the gateway may forward requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from config.kuberay import SERVE_PORT, SERVE_SERVICE_SUFFIX
from policies.base import Policy, Resource, StackPolicy, Violation
from policies.inputs import UNKNOWN, at, display, each, require
from policies.resource_types import (
    BACKEND_POLICY,
    CLUSTER,
    FIREWALL,
    FIREWALL_POLICY_RULES,
    GATEWAY,
    INGRESS,
    NETWORK_POLICY,
    NODE_POOL,
    RAY,
    ROUTES,
    SERVICE,
    SERVICE_EXPORT,
)

SERVE_SERVICE = f"NAME{SERVE_SERVICE_SUFFIX}"
"""KubeRay's Service of the pods that serve. Dashboard, GCS and metrics are behind other Services."""
PUBLIC_GATEWAY_CLASSES = ("external", "gxlb")
"""Part of the name of each GKE GatewayClass whose load balancer has a public address."""
MIN_PREFIX_LENGTH = 8
"""A range with a shorter prefix counts as the internet: no office has one, and two /1 ranges are the internet."""


def _covers_internet(cidr: Any) -> bool:
    try:
        network = ip_network(str(cidr), strict=False)
    except ValueError:
        return False
    return network.prefixlen < MIN_PREFIX_LENGTH


def _authorized_networks(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `masterAuthorizedNetworksConfig` of a Cluster."""
    for block in each(inputs, "masterAuthorizedNetworksConfig.cidrBlocks"):
        if _covers_internet(cidr := at(block, "cidrBlock")):
            yield (
                f"Authorized network {cidr} covers the internet. Set masterAuthorizedNetworksConfig.cidrBlocks to the "
                "ranges of your offices and CI runners."
            )
    if at(inputs, "masterAuthorizedNetworksConfig.gcpPublicCidrsAccessEnabled") is True:
        yield (
            "Every VM in Google Cloud can connect to the Kubernetes API. Set "
            "masterAuthorizedNetworksConfig.gcpPublicCidrsAccessEnabled: false."
        )


def _dns_endpoint_only(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `controlPlaneEndpointsConfig` of a Cluster. A private endpoint is reachable from its network only."""
    if at(inputs, "privateClusterConfig.enablePrivateEndpoint") is not True:
        yield from require(
            "controlPlaneEndpointsConfig.ipEndpointsConfig.enabled",
            value=False,
            message="The control plane has a public IP endpoint. Set "
            "controlPlaneEndpointsConfig.ipEndpointsConfig.enabled: false; clients use the DNS endpoint.",
        )(inputs)


def _firewall_sources(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `sourceRanges` of a VPC firewall rule that allows ingress."""
    if inputs.get("direction", "INGRESS") != "INGRESS" or not inputs.get("allows"):
        return
    for source in each(inputs, "sourceRanges"):
        if _covers_internet(source):
            yield (
                f"Source range {source} covers the internet. Set sourceRanges to the ranges of the load balancer's "
                "proxies and health checks."
            )
    if not any(inputs.get(name) for name in ("sourceRanges", "sourceTags", "sourceServiceAccounts")):
        yield "The rule has no source, so it allows every source. Set sourceRanges."


def _firewall_policy_sources(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `match.srcIpRanges` of a network firewall policy rule that allows ingress."""
    if inputs.get("direction") == "INGRESS" and inputs.get("action") == "allow":
        for source in each(inputs, "match.srcIpRanges"):
            if _covers_internet(source):
                yield (
                    f"Source range {source} covers the internet. Set match.srcIpRanges to the ranges of the load "
                    "balancer's proxies and health checks."
                )


def _service(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `spec.type` and `spec.externalIPs` of a Service."""
    if (kind := at(inputs, "spec.type")) in ("LoadBalancer", "NodePort"):
        yield f"spec.type is {kind}, so clients bypass the gateway. Set spec.type: ClusterIP and add an HTTPRoute."
    if each(inputs, "spec.externalIPs"):
        yield "spec.externalIPs is set, so clients bypass the gateway. Remove it and add an HTTPRoute."


def _ray_services(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check the Services and the Ingress that KubeRay creates for the head, with the dashboard, and for Ray Serve.

    They follow from `headGroupSpec.serviceType`, `headGroupSpec.headService`, `serveService` and
    `headGroupSpec.enableIngress`.
    """
    services = {
        "headGroupSpec.serviceType": at(inputs, "spec.rayClusterConfig.headGroupSpec.serviceType")
        or at(inputs, "spec.headGroupSpec.serviceType"),
        "serveService.spec.type": at(inputs, "spec.serveService.spec.type"),
        "headService.spec.type": at(inputs, "spec.rayClusterConfig.headGroupSpec.headService.spec.type"),
    }
    for path, kind in services.items():
        if kind in ("LoadBalancer", "NodePort"):
            yield f"{path} is {kind}, so clients bypass the gateway. Set {path}: ClusterIP."
    for group in ("spec.rayClusterConfig.headGroupSpec", "spec.headGroupSpec"):
        if at(inputs, f"{group}.enableIngress") is True:
            yield "An Ingress leads to Ray's dashboard, where clients can run any code. Set enableIngress: false."


def _ingress(_inputs: Mapping[str, Any]) -> Iterator[str]:
    yield f"Clients of an Ingress bypass the gateway. Add an HTTPRoute to a RayService's Service ({SERVE_SERVICE})."


def _route_backends(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `backendRefs` and mirrors (`filters.requestMirror`) of a route."""
    for rule in each(inputs, "spec.rules"):
        mirrors = [at(route_filter, "requestMirror.backendRef") for route_filter in each(rule, "filters")]
        for backend in (*each(rule, "backendRefs"), *(mirror for mirror in mirrors if mirror)):
            name, port = str(at(backend, "name")), at(backend, "port")
            if not name.endswith((SERVE_SERVICE_SUFFIX, UNKNOWN)) or port not in (SERVE_PORT, UNKNOWN):
                yield (
                    f"The gateway forwards requests to {name}:{display(port)}. Set the backend to a RayService's "
                    f"Service ({SERVE_SERVICE}) and port {SERVE_PORT}."
                )


def _exported_service(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `metadata.name` of a ServiceExport, which is the name of the Service."""
    if not (name := str(at(inputs, "metadata.name"))).endswith((SERVE_SERVICE_SUFFIX, UNKNOWN)):
        yield (
            f"GKE exports Service {name} to every cluster of the fleet and to the gateway. Export only a RayService's "
            f"Service ({SERVE_SERVICE})."
        )


def _network_policy_peers(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `spec.ingress[].from` of a NetworkPolicy."""
    for rule in each(inputs, "spec.ingress"):
        peers = each(rule, "from")
        if not at(rule, "from") or any(_covers_internet(at(peer, "ipBlock.cidr")) for peer in peers):
            yield "The NetworkPolicy accepts every peer. Set spec.ingress[].from to the peers that need these ports."


def _is_public(inputs: Mapping[str, Any]) -> bool:
    """Return True if `spec.gatewayClassName` names a GatewayClass with a public address."""
    return any(part in str(at(inputs, "spec.gatewayClassName")) for part in PUBLIC_GATEWAY_CLASSES)


def _public_tls(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `protocol` of each listener of a public Gateway."""
    for listener in each(inputs, "spec.listeners"):
        if _is_public(inputs) and (protocol := at(listener, "protocol")) in ("HTTP", "TCP"):
            yield f"A public listener uses {protocol} without TLS. Set protocol: HTTPS and a certificate."


def _public_cloud_armor(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    """Check `securityPolicy` of each GCPBackendPolicy in the namespace of a public Gateway."""
    for gateway in (resource for resource in resources if resource.type == GATEWAY and _is_public(resource.inputs)):
        policies = [
            resource for resource in resources if resource.type == BACKEND_POLICY and resource.same_namespace(gateway)
        ]
        for policy in policies:
            if not at(policy.inputs, "spec.default.securityPolicy"):
                yield (
                    "The gateway is public and Cloud Armor does not filter its requests. Set "
                    "spec.default.securityPolicy to a Cloud Armor policy.",
                    policy,
                )
        if not policies:
            yield (
                "The gateway is public and Cloud Armor does not filter its requests. Add a GCPBackendPolicy with "
                "spec.default.securityPolicy.",
                gateway,
            )


POLICIES = (
    Policy(
        "cluster-authorized-networks",
        "critical",
        "Any host on the internet can connect to the Kubernetes API.",
        [CLUSTER],
        _authorized_networks,
    ),
    Policy(
        "cluster-dns-endpoint-only",
        "high",
        "Clients connect to the Kubernetes API by IP address and bypass the DNS endpoint, which IAM protects.",
        [CLUSTER],
        _dns_endpoint_only,
    ),
    Policy(
        "firewall-restricted-sources",
        "critical",
        "Hosts on the internet can connect to nodes and pods.",
        [FIREWALL],
        _firewall_sources,
    ),
    Policy(
        "firewallpolicy-restricted-sources",
        "critical",
        "Hosts on the internet can connect to nodes and pods.",
        FIREWALL_POLICY_RULES,
        _firewall_policy_sources,
    ),
    Policy(
        "cluster-private-nodes",
        "high",
        "Hosts on the internet can connect to the cluster's nodes.",
        [CLUSTER],
        require(
            "privateClusterConfig.enablePrivateNodes",
            value=True,
            message="GKE gives nodes public IP addresses. Set privateClusterConfig.enablePrivateNodes: true.",
        ),
    ),
    Policy(
        "nodepool-private-nodes",
        "high",
        "Hosts on the internet can connect to the pool's nodes.",
        [NODE_POOL],
        require(
            "networkConfig.enablePrivateNodes",
            value=True,
            message="GKE gives the pool's nodes public IP addresses. Set networkConfig.enablePrivateNodes: true.",
        ),
    ),
    Policy(
        "service-no-external-access",
        "high",
        "Clients reach Ray's dashboard or a model without the gateway's certificate and rules.",
        [SERVICE],
        _service,
    ),
    Policy(
        "raycluster-no-external-access",
        "critical",
        "Clients outside the cluster reach Ray's dashboard, where they can run any code.",
        RAY,
        _ray_services,
    ),
    Policy(
        "ingress-not-allowed",
        "high",
        "Clients reach a Service without the gateway's certificate and rules.",
        [INGRESS],
        _ingress,
    ),
    Policy(
        "route-serve-service-only",
        "critical",
        "The gateway forwards requests to Ray's dashboard, GCS or metrics.",
        ROUTES,
        _route_backends,
    ),
    Policy(
        "serviceexport-serve-service-only",
        "critical",
        "Every cluster of the fleet can connect to a Ray head.",
        [SERVICE_EXPORT],
        _exported_service,
    ),
    Policy(
        "networkpolicy-restricted-peers",
        "high",
        "Every pod of the cluster can connect to Ray's dashboard and GCS.",
        [NETWORK_POLICY],
        _network_policy_peers,
    ),
    Policy(
        "gateway-public-tls",
        "critical",
        "Anyone on the network path can read prompts and responses.",
        [GATEWAY],
        _public_tls,
    ),
)
STACK_POLICIES = (
    StackPolicy(
        "gateway-public-cloud-armor",
        "critical",
        "Anyone on the internet can use up the GPUs with requests.",
        [GATEWAY, BACKEND_POLICY],
        _public_cloud_armor,
    ),
)
