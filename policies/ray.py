"""Ray: what makes a RayService fast, and what keeps it when its head is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.kit import RAY_SERVICE, UNKNOWN, Policy, at, each

GROUP = "spec.rayClusterConfig"
PREFIXES = ("RAY_", "VLLM_")
STREAMING = "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING"
HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"


def _containers(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(group, its Ray container), the head's first."""
    groups = [("head", at(inputs, f"{GROUP}.headGroupSpec"))]
    groups += [(at(group, "groupName"), group) for group in each(inputs, f"{GROUP}.workerGroupSpecs")]
    for name, group in groups:
        for container in each(group, "template.spec.containers")[:1]:
            yield name, container


def _flags(container: Mapping[str, Any]) -> dict[str, Any]:
    named = {at(one, "name"): at(one, "value") for one in each(container, "env")}
    return {name: value for name, value in named.items() if str(name).startswith(PREFIXES)}


def _differ(inputs: Mapping[str, Any]) -> Iterator[str]:
    (_, head), *workers = list(_containers(inputs)) or [("", {})]
    for name, worker in workers:
        own, theirs = _flags(head), _flags(worker)
        for flag in sorted(own.keys() | theirs.keys()):
            if own.get(flag) != theirs.get(flag) and UNKNOWN not in (own.get(flag), theirs.get(flag)):
                yield f"{flag} is {own.get(flag)} on the head and {theirs.get(flag)} on {name}: write the same on both."


def _without_haproxy(inputs: Mapping[str, Any]) -> Iterator[str]:
    for name, container in _containers(inputs):
        if (
            _flags(container).get("RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING") == "1"
            and _flags(container).get(HAPROXY) != "1"
        ):
            yield f"Direct streaming on {name} goes through HAProxy: write {HAPROXY}=1."


def _head_state(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(inputs, f"{GROUP}.gcsFaultToleranceOptions") is None:
        yield "The head keeps what it knows in its pod: write gcsFaultToleranceOptions with a Redis."


def _no_digest(inputs: Mapping[str, Any]) -> Iterator[str]:
    for name, container in _containers(inputs):
        image = str(at(container, "image"))
        if image != UNKNOWN and "@sha256:" not in image:
            yield f"The image of {name} is {image}, which may be another tomorrow: write NAME@sha256:..."


def _root(inputs: Mapping[str, Any]) -> Iterator[str]:
    for name, container in _containers(inputs):
        if at(container, "securityContext.privileged"):
            yield f"The container of {name} is privileged: leave that out, GPUs come by the device plugin."


POLICIES = (
    Policy(
        "ray-flags-differ", "high", "Head and workers disagree about who proxies and streams.", [RAY_SERVICE], _differ
    ),
    Policy("ray-without-haproxy", "high", "Requests go to a proxy that cannot do it.", [RAY_SERVICE], _without_haproxy),
    Policy("head-state-in-the-pod", "high", "A lost head takes all workers with it.", [RAY_SERVICE], _head_state),
    Policy("image-by-tag", "high", "Two nodes run two programs under one name.", [RAY_SERVICE], _no_digest),
    Policy("ray-privileged", "critical", "Model code owns the node.", [RAY_SERVICE], _root),
)
