"""Network exposure: what the internet may reach, and what the gateway may lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from policies.base import Policy, Resource, StackPolicy, Violation
from policies.inputs import UNKNOWN, at, each, require
from policies.resource_types import CLUSTER, NODE_POOL, RAY, SERVICE

FIREWALL = "gcp:compute/firewall:Firewall"
FIREWALL_RULES = (
    "gcp:compute/networkFirewallPolicyRule:NetworkFirewallPolicyRule",
    "gcp:compute/regionNetworkFirewallPolicyRule:RegionNetworkFirewallPolicyRule",
)
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
ROUTES = tuple(
    f"kubernetes:gateway.networking.k8s.io/{kind}"
    for kind in ("v1:HTTPRoute", "v1beta1:HTTPRoute", "v1:GRPCRoute", "v1alpha2:TCPRoute")
)
EXPORT = "kubernetes:net.gke.io/v1:ServiceExport"
BACKEND_POLICY = "kubernetes:networking.gke.io/v1:GCPBackendPolicy"
SERVE = "-serve-svc"
"""KubeRay's Service of a RayService's workers; dashboard, GCS and metrics are behind others."""
SERVE_PORT = 8000
PUBLIC_CLASSES = ("external", "gxlb")
"""In the name of a GatewayClass of GKE's whose load balancer has a public address."""
MOST_PUBLIC = 8
"""A range with fewer fixed bits is no office's: it is the internet, in one piece or in halves."""


def _anywhere(cidr: Any) -> bool:
    try:
        network = ip_network(str(cidr), strict=False)
    except ValueError:
        return False
    return network.prefixlen < MOST_PUBLIC


def _authorized(inputs: Mapping[str, Any]) -> Iterator[str]:
    for block in each(inputs, "masterAuthorizedNetworksConfig.cidrBlocks"):
        if _anywhere(at(block, "cidrBlock")):
            yield "An authorized network is the whole internet: write the addresses of your offices and runners."
    if at(inputs, "masterAuthorizedNetworksConfig.gcpPublicCidrsAccessEnabled") is True:
        yield "Anybody's machine in Google Cloud is authorized: write gcpPublicCidrsAccessEnabled: false."


def _by_address(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(inputs, "privateClusterConfig.enablePrivateEndpoint") is not True:
        yield from require(
            "controlPlaneEndpointsConfig.ipEndpointsConfig.enabled",
            right=False,
            sentence="The API has an address: write controlPlaneEndpointsConfig.ipEndpointsConfig.enabled: false.",
        )(inputs)


def _firewall(inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("direction", "INGRESS") != "INGRESS" or not inputs.get("allows"):
        return
    for source in each(inputs, "sourceRanges"):
        if _anywhere(source):
            yield f"sourceRanges has {source}: write the ranges of the load balancer's proxies and health checks."
    if not any(inputs.get(name) for name in ("sourceRanges", "sourceTags", "sourceServiceAccounts")):
        yield "The rule has no source, so it has all: write sourceRanges."


def _firewall_rule(inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("direction") == "INGRESS" and inputs.get("action") == "allow":
        for source in each(inputs, "match.srcIpRanges"):
            if _anywhere(source):
                yield f"srcIpRanges has {source}: write the ranges of the load balancer's proxies and health checks."


def _service(inputs: Mapping[str, Any]) -> Iterator[str]:
    if (kind := at(inputs, "spec.type")) in ("LoadBalancer", "NodePort"):
        yield f"spec.type is {kind}, a way in beside the gateway: write ClusterIP and a route of the gateway."
    if each(inputs, "spec.externalIPs"):
        yield "spec.externalIPs is a way in beside the gateway: leave it out and write a route of the gateway."


def _ray_service(inputs: Mapping[str, Any]) -> Iterator[str]:
    """What KubeRay makes of it: an Ingress and a Service for the head, with the dashboard; a Service for Serve."""
    services = {
        "headGroupSpec.serviceType": at(inputs, "spec.rayClusterConfig.headGroupSpec.serviceType")
        or at(inputs, "spec.headGroupSpec.serviceType"),
        "serveService.spec.type": at(inputs, "spec.serveService.spec.type"),
        "headService.spec.type": at(inputs, "spec.rayClusterConfig.headGroupSpec.headService.spec.type"),
    }
    for path, kind in services.items():
        if kind in ("LoadBalancer", "NodePort"):
            yield f"{path} is {kind}, a way in beside the gateway: write ClusterIP."
    for group in ("spec.rayClusterConfig.headGroupSpec", "spec.headGroupSpec"):
        if at(inputs, f"{group}.enableIngress") is True:
            yield "enableIngress leads to Ray's dashboard, where anyone runs code: write false."


def _ingress(_inputs: Mapping[str, Any]) -> Iterator[str]:
    yield "An Ingress is a way in beside the gateway: write an HTTPRoute to a RayService's serve Service."


def _routed(inputs: Mapping[str, Any]) -> Iterator[str]:
    for rule in each(inputs, "spec.rules"):
        mirrors = [at(one, "requestMirror.backendRef") for one in each(rule, "filters")]
        for back in (*each(rule, "backendRefs"), *(one for one in mirrors if one)):
            name, port = str(at(back, "name")), at(back, "port")
            if not name.endswith((SERVE, UNKNOWN)) or port not in (SERVE_PORT, UNKNOWN):
                yield f"It leads to {name}:{port}: write a RayService's NAME{SERVE} and port {SERVE_PORT}."


def _exported(inputs: Mapping[str, Any]) -> Iterator[str]:
    if not (name := str(at(inputs, "metadata.name"))).endswith((SERVE, UNKNOWN)):
        yield f"{name} is exported to every cluster and the gateway: export a RayService's NAME{SERVE} only."


def _open_to_pods(inputs: Mapping[str, Any]) -> Iterator[str]:
    for rule in each(inputs, "spec.ingress"):
        peers = each(rule, "from")
        if not at(rule, "from") or any(_anywhere(at(peer, "ipBlock.cidr")) for peer in peers):
            yield "The network policy lets everyone in: write the peers in `from`, and the ports that they need."


def _public(inputs: Mapping[str, Any]) -> bool:
    return any(part in str(at(inputs, "spec.gatewayClassName")) for part in PUBLIC_CLASSES)


def _in_clear(inputs: Mapping[str, Any]) -> Iterator[str]:
    for listener in each(inputs, "spec.listeners"):
        if _public(inputs) and at(listener, "protocol") in ("HTTP", "TCP"):
            yield "A public listener speaks without TLS: write protocol HTTPS and a certificate."


def _without_armor(resources: Sequence[Resource], _: Mapping[str, Any]) -> Iterator[Violation]:
    for gateway in (one for one in resources if one.type == GATEWAY and _public(one.inputs)):
        here = [one for one in resources if one.type == BACKEND_POLICY and one.same_namespace(gateway)]
        for policy in here:
            if not at(policy.inputs, "spec.default.securityPolicy"):
                yield "The gateway is public: write spec.default.securityPolicy, a Cloud Armor policy.", policy
        if not here:
            yield "The gateway is public: write a GCPBackendPolicy with a Cloud Armor policy.", gateway


POLICIES = (
    Policy("cluster-authorized-networks", "critical", "The Kubernetes API answers anyone.", [CLUSTER], _authorized),
    Policy(
        "cluster-dns-endpoint-only",
        "high",
        "The Kubernetes API is reached by an address, beside the endpoint that IAM guards.",
        [CLUSTER],
        _by_address,
    ),
    Policy(
        "firewall-restricted-sources",
        "critical",
        "Nodes and pods can be reached from the internet.",
        [FIREWALL],
        _firewall,
    ),
    Policy(
        "firewallpolicy-restricted-sources",
        "critical",
        "Nodes and pods can be reached from the internet.",
        FIREWALL_RULES,
        _firewall_rule,
    ),
    Policy(
        "cluster-private-nodes",
        "high",
        "Nodes can be dialled from the internet.",
        [CLUSTER],
        require(
            "privateClusterConfig.enablePrivateNodes",
            right=True,
            sentence="Nodes have public addresses: write privateClusterConfig.enablePrivateNodes: true.",
        ),
    ),
    Policy(
        "nodepool-private-nodes",
        "high",
        "This pool's nodes can be dialled from the internet.",
        [NODE_POOL],
        require(
            "networkConfig.enablePrivateNodes",
            right=True,
            sentence="The pool's nodes have public addresses: write networkConfig.enablePrivateNodes: true.",
        ),
    ),
    Policy(
        "service-no-external-access",
        "high",
        "Ray's dashboard or a model answers without the gateway's certificate and rules.",
        [SERVICE],
        _service,
    ),
    Policy(
        "raycluster-no-external-access",
        "critical",
        "Ray's dashboard, where anyone runs code, answers outside the cluster.",
        RAY,
        _ray_service,
    ),
    Policy("ingress-not-allowed", "high", "A way in without the gateway's rules.", [INGRESS], _ingress),
    Policy(
        "route-serve-service-only",
        "critical",
        "Dashboard, GCS or metrics are reached through the gateway.",
        ROUTES,
        _routed,
    ),
    Policy(
        "serviceexport-serve-service-only", "critical", "A Ray head is reached from every cluster.", [EXPORT], _exported
    ),
    Policy(
        "networkpolicy-restricted-peers",
        "high",
        "Every pod reaches Ray's dashboard and GCS.",
        [NETWORK_POLICY],
        _open_to_pods,
    ),
    Policy("gateway-public-tls", "critical", "Prompts and answers are read on the way.", [GATEWAY], _in_clear),
)
STACK_POLICIES = (
    StackPolicy(
        "gateway-public-cloud-armor",
        "critical",
        "Anyone on the internet uses up the GPUs.",
        [GATEWAY, BACKEND_POLICY],
        _without_armor,
    ),
)
