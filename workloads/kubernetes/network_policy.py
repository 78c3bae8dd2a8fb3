"""NetworkPolicies of a model's pods: who may connect to them, and to whom they may connect.

Dataplane V2 enforces them on the nodes. They cannot distinguish one host on the internet from another (model code reads
weights over HTTPS, so it could also write there), look into a request, or match multi-cluster Services (Google: network
policy does not support them; nothing here connects through one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import ResourceOptions
from pulumi_kubernetes.networking.v1 import NetworkPolicy

from config.kuberay import HAPROXY_STATS_PORT, NODE_TYPE_LABEL, SERVE_PORT
from workloads.kubernetes.ray_service import NAME_LABEL, PORTS

Manifest = dict[str, Any]

IN_CLUSTER_CLIENT_LABEL = {"rayllm/client": "true"}
"""A pod of the namespace with this label may call the models without the gateway."""
HEAD, CLEANUP, WORKER = "head", "redis-cleanup", "worker"
"""Values of KubeRay's node type label. KubeRay cleans Redis up in a pod of the head's template with its own type."""
METADATA_SERVERS = {"169.254.169.254/32": 80, "169.254.169.252/32": 988}
"""Address -> port of GKE's metadata server, which gives pods their Google identity: with Dataplane V2, and without."""
NODE_LOCAL_DNS = "169.254.20.10/32"
PRIVATE_RANGES = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "240.0.0.0/4")
"""Ranges of the Kubernetes API and everything else in the VPC and on the node."""
HTTPS, DNS, REDIS = 443, 53, 6379
API_SERVER_PORTS = (PORTS["dashboard"], SERVE_PORT, HAPROXY_STATS_PORT)
"""Ports that receive requests through the API server. On GKE such a request reaches the pod from a konnectivity agent,
with the agent's address (tigera/operator#5212). KubeRay's operator, which GKE hosts, calls the first two; the drain of
a region reads HAProxy's statistics (readiness/region_drain.py)."""


@dataclass(frozen=True)
class RayServiceNetworkPoliciesArgs:
    """Inputs of RayServiceNetworkPolicies."""

    name: str
    """Name of the RayService."""
    namespace: str
    proxy_ranges: Sequence[str]
    """CIDRs of the load balancer's proxies and health checks."""
    redis: bool
    """True if the head keeps its state in Redis."""


class RayServiceNetworkPolicies(pulumi.ComponentResource):
    """Creates the network policies of one RayService's pods, for all its RayClusters.

    Does not block the node itself (kubelet probes come from there), and does not open the pods to other namespaces.
    If the VPC reaches Google's APIs through a private address of its own, add a policy that opens it to workers.
    An edit updates the policies in place.
    """

    def __init__(self, name: str, args: RayServiceNetworkPoliciesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:workloads:RayServiceNetworkPolicies", name, {}, opts)
        for manifest in network_policies(args.name, args.namespace, args.proxy_ranges, args.redis):
            NetworkPolicy(
                f"{name}-{manifest['metadata']['name'].removeprefix(args.name + '-')}",
                metadata=manifest["metadata"],
                spec=manifest["spec"],
                opts=ResourceOptions.merge(opts, ResourceOptions(parent=self)),
            )
        self.register_outputs({})


def network_policies(name: str, namespace: str, proxy_ranges: Sequence[str], redis: bool) -> list[Manifest]:
    """Return the policies of RayService `name`. They allow what a rule names and nothing else.

    So other pods cannot reach the dashboard, GCS, the Ray client port and HAProxy's statistics and metrics, except the
    agents of the API server (API_SERVER_PORTS); workers
    cannot reach the Kubernetes API, Redis and the rest of the VPC.
    """
    return [
        _policy(name, namespace, "ingress", _own_pods(name), "Ingress", _ingress(name, proxy_ranges)),
        _policy(name, namespace, "worker-egress", _own_pods(name, WORKER), "Egress", _worker_egress(name)),
        _policy(name, namespace, "head-egress", _own_pods(name, HEAD, CLEANUP), "Egress", _head_egress(name, redis)),
    ]


def _ingress(name: str, proxy_ranges: Sequence[str]) -> list[Manifest]:
    konnectivity_agents = _pods_of("kube-system", {"k8s-app": "konnectivity-agent"})
    load_balancer = [_ip_block(cidr) for cidr in proxy_ranges]
    clients = {"podSelector": {"matchLabels": IN_CLUSTER_CLIENT_LABEL}}
    return [
        {"from": [{"podSelector": _own_pods(name)}]},
        # A peer without namespaceSelector is a pod of the namespace. No list of peers may be empty: it would mean all.
        {"from": [*load_balancer, clients], "ports": _tcp(SERVE_PORT)},
        {"from": [konnectivity_agents], "ports": _tcp(*API_SERVER_PORTS)},
        {"from": [_pods_of("gmp-system", {})], "ports": _tcp(PORTS["metrics"])},  # managed Prometheus
    ]


def _worker_egress(name: str) -> list[Manifest]:
    internet = {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(PRIVATE_RANGES)}}
    return [*_common_egress(name), {"to": [internet], "ports": _tcp(HTTPS)}]


def _head_egress(name: str, redis: bool) -> list[Manifest]:
    """The head's autoscaler calls the Kubernetes API, which no selector and no address range of a policy matches for
    certain. So this rule has ports and no destination."""
    return [*_common_egress(name), {"ports": _tcp(HTTPS, *([REDIS] if redis else []))}]


def _common_egress(name: str) -> list[Manifest]:
    """The model's own pods, DNS, and the metadata server."""
    dns_pods = [{"key": "k8s-app", "operator": "In", "values": ["kube-dns", "node-local-dns"]}]
    dns_servers = _pods_of("kube-system", {}, dns_pods)
    dns_ports = [{"protocol": protocol, "port": DNS} for protocol in ("UDP", "TCP")]
    addresses = [_ip_block(NODE_LOCAL_DNS), *(_ip_block(cidr) for cidr in METADATA_SERVERS)]
    return [
        {"to": [{"podSelector": _own_pods(name)}]},
        {"to": [dns_servers, *addresses], "ports": dns_ports},
        *({"to": [_ip_block(cidr)], "ports": _tcp(port)} for cidr, port in METADATA_SERVERS.items()),
    ]


def _policy(
    name: str, namespace: str, role: str, pods: Manifest, direction: str, rules: Sequence[Manifest]
) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{name}-{role}", "namespace": namespace},
        "spec": {"podSelector": pods, "policyTypes": [direction], direction.lower(): list(rules)},
    }


def _own_pods(name: str, *node_types: str) -> Manifest:
    """Select the RayService's pods by the label of their template: `ray.io/cluster` changes with every RayCluster."""
    selector: Manifest = {"matchLabels": {NAME_LABEL: name}}
    if node_types:
        selector["matchExpressions"] = [{"key": NODE_TYPE_LABEL, "operator": "In", "values": list(node_types)}]
    return selector


def _pods_of(namespace: str, labels: dict[str, str], expressions: Sequence[Manifest] = ()) -> Manifest:
    """Select pods of another namespace; without labels and expressions all of them."""
    pods = {
        **({"matchLabels": labels} if labels else {}),
        **({"matchExpressions": list(expressions)} if expressions else {}),
    }
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    return {**selector, "podSelector": pods} if pods else selector


def _ip_block(cidr: str) -> Manifest:
    return {"ipBlock": {"cidr": cidr}}


def _tcp(*ports: int) -> list[Manifest]:
    return [{"protocol": "TCP", "port": port} for port in ports]
