"""Where to ask: on this computer, or by `kubectl exec` in the pods of a region. Testinfra carries the questions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import testinfra

from config.data_path import DATA_PATHS, DataPathSpec
from verify import checks, queries
from verify.declared import Machine, Object, Service
from workloads.kubernetes.network_policy import NODE_TYPE
from workloads.kubernetes.ray_service import NAME_LABEL, PORTS, SERVE_PORT
from workloads.kubernetes.readiness.region_drain import STATS_PORT

SOURCE = Path(queries.__file__).read_text()


@dataclass(kw_only=True)
class Place:
    """Something that answers: this computer, or Ray's container in a pod."""

    name: str
    host: Any
    """Testinfra's."""
    python: str
    environment: Mapping[str, str]
    """Declared for Ray's processes."""
    versions: Mapping[str, str]
    """Declared, of Python packages."""
    model: str
    endpoint: str
    """Of the OpenAI API, as seen from there; the same of all that follow."""
    stats: str
    metrics: str
    dashboard: str
    """Answers where Ray's head is."""
    mark: str = ""
    """What the stack's processes carry; empty where there are no others."""
    head: Place | None = None
    """Of the same Ray cluster; None: itself."""
    serves: bool = True
    """Whether requests come in and replicas run there."""

    def ask(self, question: str, *arguments: Any) -> Any:
        """One of look.py's."""
        done = self.host.run("%s -c %s %s %s", self.python, SOURCE, question, json.dumps(arguments))
        assert done.rc == 0, f"`{question}` cannot be answered: {''.join(done.stderr.splitlines()[-1:])}"
        return json.loads(done.stdout)

    @property
    def port(self) -> int:
        """Where requests come in."""
        found = urlsplit(self.endpoint).port
        assert found is not None
        return found

    @property
    def terms(self) -> DataPathSpec:
        """Of the data path that needs this environment."""
        found = [each for each in DATA_PATHS.values() if each.env_vars.items() <= self.environment.items()]
        assert found, f"no data path has the environment that {self.name} was declared with"
        return found[0]

    @cached_property
    def actors(self) -> list[Object]:
        """Of its Ray cluster."""
        return self.head.actors if self.head else self.ask("actors", self.dashboard)

    @cached_property
    def answer(self) -> Mapping[str, Any]:
        """To the one completion that it is asked for."""
        return checks.stream(self.ask, self.endpoint, self.model, self.stats if self.terms.haproxy else None)


@dataclass(kw_only=True)
class Pod(Place):
    """Of a RayService."""

    container: str
    manifest: Object
    """As the API server has it."""
    image: str
    """Declared."""


def of_machine(machine: Machine) -> Place:
    outputs = machine.outputs
    return Place(
        name="this computer",
        host=testinfra.get_host("local://"),
        python=machine.python,
        environment=machine.environment,
        versions=machine.versions,
        model=outputs["model"],
        endpoint=outputs["endpoint"],
        stats=outputs["haproxy_stats"],
        metrics=f"http://127.0.0.1:{machine.option('metrics-export-port')}/metrics",
        dashboard=outputs["dashboard"],
        mark=machine.mark,
    )


@dataclass
class Region:
    """Where a RayService runs, by way of kubectl."""

    service: Service
    kubeconfig: Path

    @property
    def name(self) -> str:
        return f"{self.service.region}/{self.service.name}"

    def get(self, *words: str) -> Object:
        """`kubectl get`, in the service's namespace."""
        options = ["--kubeconfig", str(self.kubeconfig), "--namespace", self.service.namespace, "--output", "json"]
        done = subprocess.run(["kubectl", "get", *options, *words], capture_output=True, text=True)
        if done.returncode:
            raise pytest.UsageError(f"Region {self.service.region} cannot be asked: {done.stderr.strip()}")
        return json.loads(done.stdout)

    @cached_property
    def pods(self) -> list[Pod]:
        """Of the RayCluster that takes requests, the head first."""
        status = self.get("rayservice", self.service.name).get("status", {})
        cluster = status.get("activeServiceStatus", {}).get("rayClusterName")
        selector = f"{NAME_LABEL}={self.service.name},ray.io/cluster={cluster},{NODE_TYPE} in (head,worker)"
        found = self.get("pods", "--selector", selector)["items"] if cluster else []
        pods = [each for each in found if "deletionTimestamp" not in each["metadata"]]
        heads = [self._pod(each, None) for each in pods if _type(each) == "head"]
        return [*heads, *(self._pod(each, heads[0]) for each in pods if heads and _type(each) == "worker")]

    def _pod(self, manifest: Object, head: Pod | None) -> Pod:
        name, container = manifest["metadata"]["name"], self.service.containers[f"ray-{_type(manifest)}"]
        options = {
            "container": container["name"],
            "namespace": self.service.namespace,
            "kubeconfig": quote(str(self.kubeconfig)),
        }
        query = "&".join(f"{key}={value}" for key, value in options.items())
        return Pod(
            name=f"{self.name}/{name}",
            host=testinfra.get_host(f"kubectl://{name}?{query}"),
            python="python",
            environment=self.service.environment(container),
            versions={"ray": self.service.cluster["rayVersion"]},
            model=self.service.model,
            endpoint=f"http://127.0.0.1:{SERVE_PORT}/v1",
            stats=f"http://127.0.0.1:{STATS_PORT}/stats",
            metrics=f"http://127.0.0.1:{PORTS['metrics']}/metrics",
            dashboard=f"http://127.0.0.1:{PORTS['dashboard']}",
            head=head,
            serves=head is not None,
            container=container["name"],
            manifest=manifest,
            image=container["image"],
        )


def _type(manifest: Object) -> str:
    return manifest["metadata"]["labels"][NODE_TYPE]
