"""Who may talk to a model's pods, and whom they may talk to.

Enforced by Dataplane V2 on the nodes. What it cannot do: tell one host on the internet from another (model code reads
weights over HTTPS, so it could also write there), look into a request, or know of multi-cluster Services (Google:
network policy does not support them; nothing here goes through one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import ResourceOptions
from pulumi_kubernetes.networking.v1 import NetworkPolicy

from workloads.kubernetes.ray_service import NAME_LABEL, PORTS, SERVE_PORT

Manifest = dict[str, Any]

IN_CLUSTER_CLIENT_LABEL = {"rayllm/client": "true"}
"""A pod of the namespace that carries this may call the models without the entrance."""
NODE_TYPE = "ray.io/node-type"
"""KubeRay's label. Its clean-up of Redis runs in a pod of the head's template with a type of its own."""
HEAD, CLEANUP, WORKER = "head", "redis-cleanup", "worker"
METADATA = {"169.254.169.254/32": 80, "169.254.169.252/32": 988}
"""GKE's metadata server, from which pods get their Google identity: with Dataplane V2, and without."""
LOCAL_DNS = "169.254.20.10/32"
"""NodeLocal DNSCache."""
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "240.0.0.0/4")
"""Where the Kubernetes API and everything else of the VPC and the node is."""
HTTPS, DNS, REDIS = 443, 53, 6379


@dataclass(frozen=True)
class RayServiceNetworkPoliciesArgs:
    name: str
    """The RayService."""
    namespace: str
    proxy_ranges: Sequence[str]
    """CIDRs of the load balancer's proxies and health checks."""
    redis: bool
    """Whether the head keeps its state in Redis."""


class RayServiceNetworkPolicies(pulumi.ComponentResource):
    """Makes: the network policies of one RayService's pods, of whichever RayCluster they are.

    Does not: close anything to the node itself (kubelet probes come from there), or open it to other namespaces.
    A VPC that reaches Google's APIs through a private address of its own must add a policy that opens it to workers.
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
    """Of RayService `name`. What no rule names is closed: to others, dashboard, GCS, Ray client and HAProxy's
    statistics and metrics; to workers, the Kubernetes API, Redis and the rest of the VPC."""
    return [
        _policy(name, namespace, "ingress", _own(name), "Ingress", _ingress(name, proxy_ranges)),
        _policy(name, namespace, "worker-egress", _own(name, WORKER), "Egress", _worker_egress(name)),
        _policy(name, namespace, "head-egress", _own(name, HEAD, CLEANUP), "Egress", _head_egress(name, redis)),
    ]


def _ingress(name: str, proxy_ranges: Sequence[str]) -> list[Manifest]:
    operator = _peer("kube-system", {"k8s-app": "konnectivity-agent"})
    entrance = [_block(each) for each in proxy_ranges]
    return [
        {"from": [{"podSelector": _own(name)}]},
        # Pods of the namespace only: a peer without a namespaceSelector. No list of peers may be empty: it means all.
        {"from": [*entrance, {"podSelector": {"matchLabels": IN_CLUSTER_CLIENT_LABEL}}], "ports": _tcp(SERVE_PORT)},
        # GKE hosts the operator: what it asks of Ray comes from the API server, through these agents.
        {"from": [operator], "ports": _tcp(PORTS["dashboard"], SERVE_PORT)},
        {"from": [_peer("gmp-system", {})], "ports": _tcp(PORTS["metrics"])},  # managed Prometheus
    ]


def _worker_egress(name: str) -> list[Manifest]:
    internet = {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(PRIVATE)}}
    return [*_basics(name), {"to": [internet], "ports": _tcp(HTTPS)}]


def _head_egress(name: str, redis: bool) -> list[Manifest]:
    """The head's autoscaler calls the Kubernetes API, which no selector or address range of a policy is sure to mean:
    therefore ports without a destination."""
    return [*_basics(name), {"ports": _tcp(HTTPS, *([REDIS] if redis else []))}]


def _basics(name: str) -> list[Manifest]:
    """The model's own pods, names, and the metadata server."""
    servers = _peer("kube-system", {}, [{"key": "k8s-app", "operator": "In", "values": ["kube-dns", "node-local-dns"]}])
    dns = [{"protocol": protocol, "port": DNS} for protocol in ("UDP", "TCP")]
    return [
        {"to": [{"podSelector": _own(name)}]},
        {"to": [servers, _block(LOCAL_DNS), *(_block(each) for each in METADATA)], "ports": dns},
        *({"to": [_block(address)], "ports": _tcp(port)} for address, port in METADATA.items()),
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


def _own(name: str, *types: str) -> Manifest:
    """The RayService's pods, by the label of their template: `ray.io/cluster` is another with every RayCluster."""
    selector: Manifest = {"matchLabels": {NAME_LABEL: name}}
    if types:
        selector["matchExpressions"] = [{"key": NODE_TYPE, "operator": "In", "values": list(types)}]
    return selector


def _peer(namespace: str, labels: dict[str, str], expressions: Sequence[Manifest] = ()) -> Manifest:
    """Pods of another namespace; without labels, all of them."""
    pods = {
        **({"matchLabels": labels} if labels else {}),
        **({"matchExpressions": list(expressions)} if expressions else {}),
    }
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    return {**selector, "podSelector": pods} if pods else selector


def _block(cidr: str) -> Manifest:
    return {"ipBlock": {"cidr": cidr}}


def _tcp(*ports: int) -> list[Manifest]:
    return [{"protocol": "TCP", "port": port} for port in ports]
