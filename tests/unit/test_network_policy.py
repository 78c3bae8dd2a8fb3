"""Which pods and addresses reach a model's pods, and which they reach, evaluated as Kubernetes evaluates policies."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from paths import CHECKOUT
from tests.unit.ray_services import args, manifest
from tests.unit.test_gateway import declared
from workloads.kubernetes.network_policy import (
    RayServiceNetworkPolicies,
    RayServiceNetworkPoliciesArgs,
    network_policies,
)
from workloads.kubernetes.ray_service import NAME_LABEL

PROXIES = ("35.191.0.0/16", "130.211.0.0/22", "10.0.32.0/23")


@dataclass(frozen=True)
class Pod:
    """One end of a connection, in a cluster."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = "ray"


End = Pod | str
"""A pod, or an address outside of every cluster."""

HEAD = Pod({NAME_LABEL: "llm", "ray.io/node-type": "head"})
WORKER = Pod({NAME_LABEL: "llm", "ray.io/node-type": "worker"})
CLEANUP = Pod({NAME_LABEL: "llm", "ray.io/node-type": "redis-cleanup"})
OTHER_MODEL = Pod({NAME_LABEL: "qwen", "ray.io/node-type": "worker"})
CLIENT = Pod({"rayllm/client": "true"})
STRANGER = Pod({"app": "notebook"})
CLIENT_ELSEWHERE = Pod({"rayllm/client": "true"}, "team")
AGENT = Pod({"k8s-app": "konnectivity-agent"}, "kube-system")
SYSTEM = Pod({"k8s-app": "something"}, "kube-system")
COLLECTOR = Pod({"app.kubernetes.io/name": "collector"}, "gmp-system")
NAMES = Pod({"k8s-app": "kube-dns"}, "kube-system")
PROXY, HEALTH_CHECK, VPC, INTERNET = "10.0.33.7", "35.191.0.9", "10.0.0.9", "203.0.113.9"
METADATA, HOST_DNS = "169.254.169.254", "169.254.20.10"
EVERYTHING = (1, 53, 80, 443, 6379, 8000, 8080, 8265, 8404, 9101, 10001, 65535)


@pytest.mark.parametrize("pod", [HEAD, WORKER], ids=["head", "worker"])
@pytest.mark.parametrize(
    ("who", "ports"),
    [
        (WORKER, EVERYTHING),
        (HEAD, EVERYTHING),
        (PROXY, (8000,)),
        (HEALTH_CHECK, (8000,)),
        (CLIENT, (8000,)),
        (AGENT, (8000, 8265, 8404)),
        (COLLECTOR, (8080,)),
        (STRANGER, ()),
        (OTHER_MODEL, ()),
        (CLIENT_ELSEWHERE, ()),
        (SYSTEM, ()),
        (VPC, ()),
        (INTERNET, ()),
    ],
)
def test_ingress_of_a_model_s_pods(pod: Pod, who: End, ports: tuple[int, ...]) -> None:
    found = network_policies("llm", "ray", PROXIES, redis=True)
    assert tuple(port for port in EVERYTHING if allowed(found, pod, "Ingress", who, port)) == ports


@pytest.mark.parametrize(
    ("whom", "worker", "head"),
    [
        (WORKER, EVERYTHING, EVERYTHING),
        (HEAD, EVERYTHING, EVERYTHING),
        (NAMES, (53,), (53, 443, 6379)),
        (HOST_DNS, (53,), (53, 443, 6379)),
        (METADATA, (53, 80), (53, 80, 443, 6379)),
        (INTERNET, (443,), (443, 6379)),  # weights, by HTTPS
        (VPC, (), (443, 6379)),  # the Kubernetes API, Redis
        (STRANGER, (), (443, 6379)),
        (OTHER_MODEL, (), (443, 6379)),
    ],
)
def test_egress_of_a_model_s_pods(whom: End, worker: tuple[int, ...], head: tuple[int, ...]) -> None:
    found = network_policies("llm", "ray", PROXIES, redis=True)
    for pod, ports in ((WORKER, worker), (HEAD, head), (CLEANUP, head)):
        assert tuple(port for port in EVERYTHING if allowed(found, pod, "Egress", whom, port)) == ports


def test_agents_reach_each_port_that_is_asked_through_the_api_server() -> None:
    """GKE's API server connects to pods from konnectivity agents, so `pods/NAME:PORT/proxy` needs a rule."""
    found = network_policies("llm", "ray", PROXIES, redis=True)
    asked = {
        (file, port)
        for room in ("config", "infra", "tools", "verify", "workloads")
        for file in (CHECKOUT / room).rglob("*.py")
        for port in proxied_ports(file)
    }
    assert {file.name for file, _ in asked} >= {"region_drain.py"}, "no request through the API server was found"
    blocked = [
        f"{file.name} asks port {port}, which no policy opens to konnectivity agents"
        for file, port in sorted(asked)
        for pod in (HEAD, WORKER)
        if not allowed(found, pod, "Ingress", AGENT, port)
    ]
    assert blocked == []


def test_the_port_of_a_path_through_the_api_server_is_found(tmp_path: Path) -> None:
    source = tmp_path / "asks.py"
    lines = ["PORT = 1", 'a = f"/api/v1/namespaces/{n}/pods/{p}:{PORT}/proxy/stats"', 'b = "services/x:http:9/proxy"']
    source.write_text("\n".join(lines))
    assert sorted(proxied_ports(source, {"PORT": 1})) == [1, 9]
    source.write_text('PATH = "pods/{pod}:{port}/proxy"')
    with pytest.raises(AssertionError, match=r"asks\.py:1"):
        list(proxied_ports(source, {}))


def test_without_redis_the_head_may_not_connect_to_its_port() -> None:
    assert not allowed(network_policies("llm", "ray", PROXIES, redis=False), HEAD, "Egress", VPC, 6379)


def test_without_proxy_ranges_no_address_is_allowed() -> None:
    found = network_policies("llm", "ray", (), redis=True)
    assert [port for port in EVERYTHING if allowed(found, WORKER, "Ingress", INTERNET, port)] == []
    assert allowed(found, WORKER, "Ingress", CLIENT, 8000)


def test_no_list_of_peers_or_ports_is_empty() -> None:
    for proxies in (PROXIES, ()):
        for policy in network_policies("llm", "ray", proxies, redis=True):
            for rule in rules(policy):
                assert rule
                assert all(rule[part] for part in rule)


def test_other_pods_are_not_restricted() -> None:
    found = network_policies("llm", "ray", PROXIES, redis=True)
    assert all(allowed(found, OTHER_MODEL, way, INTERNET, 22) for way in ("Ingress", "Egress"))


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_pods_have_the_label_that_policies_select(stack: str) -> None:
    name = args(stack).plan.name
    cluster = manifest(stack)["rayClusterConfig"]
    templates = [cluster["headGroupSpec"]["template"], *(g["template"] for g in cluster["workerGroupSpecs"])]
    assert [template["metadata"]["labels"][NAME_LABEL] for template in templates] == [name] * len(templates)


def test_each_policy_is_declared() -> None:
    resources = declared(
        lambda: (
            RayServiceNetworkPolicies("us-east4-llm", RayServiceNetworkPoliciesArgs("llm", "ray", PROXIES, redis=True))
            and None
        )
    )
    assert resources["us-east4-llm"].type == "rayllm:workloads:RayServiceNetworkPolicies"
    made = [request for request in resources.values() if request.custom]
    written = network_policies("llm", "ray", PROXIES, redis=True)
    assert [request.type for request in made] == ["kubernetes:networking.k8s.io/v1:NetworkPolicy"] * len(written)
    inputs = [MessageToDict(request.object) for request in made]
    assert [(each["metadata"], each["spec"]) for each in inputs] == [(p["metadata"], p["spec"]) for p in written]


def proxied_ports(file: Path, names: Mapping[str, Any] | None = None) -> Iterator[int]:
    """Yield the port of each `pods/NAME:PORT/proxy` and `services/NAME:PORT/proxy` in a file's strings.

    `names`: what the names in an f-string are; by default the file's module has them.
    """
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.JoinedStr | ast.Constant):
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
        text = "".join(each if isinstance(each, str) else "\0" for each in texts)
        if not re.search(r"(?:pods|services)/\S*:\S*/proxy", text):
            continue
        port = re.search(r":(\d+|\0)/proxy", text)
        assert port, f"{file.name}:{node.lineno}: write the port of `{text}` as a number or a name"
        if port[1] != "\0":
            yield int(port[1])
            continue
        place = text[: port.start(1)].count("\0")
        expression = [part for part in parts if isinstance(part, ast.FormattedValue)][place].value
        if names is None:
            module = ".".join(file.relative_to(CHECKOUT).with_suffix("").parts)
            names = vars(importlib.import_module(module))
        yield int(eval(ast.unparse(expression), dict(names)))


# How Kubernetes evaluates policies (networking.k8s.io/v1): a pod that no policy selects is open; other pods accept only
# what a rule names. A rule without peers matches every peer, a rule without ports every port.


def allowed(found: list[dict[str, Any]], pod: Pod, way: str, other: End, port: int, protocol: str = "TCP") -> bool:
    ours = [
        policy
        for policy in found
        if way in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not ours:
        return True
    peers = "from" if way == "Ingress" else "to"
    return any(
        (not rule.get(peers) or any(matches(peer, other) for peer in rule[peers]))
        and (not rule.get("ports") or {"protocol": protocol, "port": port} in rule["ports"])
        for policy in ours
        for rule in rules(policy)
    )


def rules(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for way in policy["spec"]["policyTypes"]:
        yield from policy["spec"][way.lower()]


def matches(peer: dict[str, Any], other: End) -> bool:
    block = peer.get("ipBlock")
    if isinstance(other, str) or block is not None:
        if block is None or not isinstance(other, str):
            return False
        inside = [ip_address(other) in ip_network(each) for each in (block["cidr"], *block.get("except", []))]
        return inside[0] and not any(inside[1:])
    there = {"kubernetes.io/metadata.name": other.namespace}
    space = peer.get("namespaceSelector")
    here = other.namespace == "ray" if space is None else selects(space, there)
    return here and selects(peer.get("podSelector", {}), other.labels)


def selects(selector: dict[str, Any], labels: Mapping[str, str]) -> bool:
    within = all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )
    return within and selector.get("matchLabels", {}).items() <= labels.items()
