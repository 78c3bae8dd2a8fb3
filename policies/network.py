"""Network exposure: what the internet may reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import Severity

from policies.kit import CLUSTER, Policy, at

ANYWHERE = ("0.0.0.0/0", "::/0")


def _authorized(inputs: Mapping[str, Any]) -> Iterator[str]:
    for block in at(inputs, "masterAuthorizedNetworksConfig.cidrBlocks") or []:
        if at(block, "cidrBlock") in ANYWHERE:
            yield "An authorized network is the whole internet: write the addresses of your offices and runners."


def _firewall(inputs: Mapping[str, Any]) -> Iterator[str]:
    for source in inputs.get("sourceRanges") or []:
        if source in ANYWHERE and inputs.get("direction", "INGRESS") == "INGRESS":
            yield f"sourceRanges has {source}: write the ranges of the load balancer's proxies and health checks."


def _nodes(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(inputs, "privateClusterConfig.enablePrivateNodes") is not True:
        yield "Nodes have public addresses: write privateClusterConfig.enablePrivateNodes: true."


POLICIES = (
    Policy("api-open-to-all", Severity.CRITICAL, "The Kubernetes API answers anyone.", (CLUSTER,), _authorized),
    Policy(
        "firewall-open-to-all",
        Severity.CRITICAL,
        "Nodes and pods can be reached from the internet.",
        ("gcp:compute/firewall:Firewall",),
        _firewall,
    ),
    Policy("nodes-private", Severity.HIGH, "Nodes can be dialled from the internet.", (CLUSTER,), _nodes),
)
