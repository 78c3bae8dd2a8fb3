"""Network exposure: what the internet may reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.kit import CLUSTER, NODE_POOL, Policy, at, each, must_be

ANYWHERE = ("0.0.0.0/0", "::/0")


def _authorized(inputs: Mapping[str, Any]) -> Iterator[str]:
    for block in each(inputs, "masterAuthorizedNetworksConfig.cidrBlocks"):
        if at(block, "cidrBlock") in ANYWHERE:
            yield "An authorized network is the whole internet: write the addresses of your offices and runners."


def _firewall(inputs: Mapping[str, Any]) -> Iterator[str]:
    for source in each(inputs, "sourceRanges"):
        if source in ANYWHERE and inputs.get("direction", "INGRESS") == "INGRESS":
            yield f"sourceRanges has {source}: write the ranges of the load balancer's proxies and health checks."


def _service(inputs: Mapping[str, Any]) -> Iterator[str]:
    if (kind := at(inputs, "spec.type")) in ("LoadBalancer", "NodePort"):
        yield f"spec.type is {kind}, a way in beside the gateway: write ClusterIP and a route of the gateway."


POLICIES = (
    Policy("api-open-to-all", "critical", "The Kubernetes API answers anyone.", [CLUSTER], _authorized),
    Policy(
        "api-by-address",
        "high",
        "The Kubernetes API is reached by an address, beside the endpoint that IAM guards.",
        [CLUSTER],
        must_be(
            "controlPlaneEndpointsConfig.ipEndpointsConfig.enabled",
            right=False,
            sentence="The API has an address: write controlPlaneEndpointsConfig.ipEndpointsConfig.enabled: false.",
        ),
    ),
    Policy(
        "firewall-open-to-all",
        "critical",
        "Nodes and pods can be reached from the internet.",
        ["gcp:compute/firewall:Firewall"],
        _firewall,
    ),
    Policy(
        "nodes-private",
        "high",
        "Nodes can be dialled from the internet.",
        [CLUSTER],
        must_be(
            "privateClusterConfig.enablePrivateNodes",
            right=True,
            sentence="Nodes have public addresses: write privateClusterConfig.enablePrivateNodes: true.",
        ),
    ),
    Policy(
        "pool-private",
        "high",
        "This pool's nodes can be dialled from the internet.",
        [NODE_POOL],
        must_be(
            "networkConfig.enablePrivateNodes",
            right=True,
            sentence="The pool's nodes have public addresses: write networkConfig.enablePrivateNodes: true.",
        ),
    ),
    Policy(
        "service-beside-the-gateway",
        "high",
        "Ray's dashboard or a model answers without the gateway's certificate and rules.",
        ["kubernetes:core/v1:Service"],
        _service,
    ),
)
