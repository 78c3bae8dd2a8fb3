"""The places that checks query: this computer, or the pods of a region through `kubectl exec`. Testinfra runs them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import testinfra

from config.data_path import DATA_PATHS, NAME_ENV_VAR, DataPath, DataPathSpec
from config.kuberay import HAPROXY_STATS_PORT, NODE_TYPE_LABEL, SERVE_PORT
from verify import api_key, checks, queries
from verify.declared import DeclaredLocal, DeclaredRayService, Object
from workloads.kubernetes.ray_service import NAME_LABEL, PORTS
from workloads.local import ray_api

QUERIES_SOURCE = Path(queries.__file__).read_text()


@dataclass(kw_only=True)
class Target:
    """This computer, or Ray's container in a pod."""

    name: str
    host: Any
    """Testinfra's host."""
    python: str
    env_vars: Mapping[str, str]
    """Declared for Ray's processes."""
    package_versions: Mapping[str, str]
    """Declared versions of Python packages."""
    model: str
    endpoint: str
    """URL of the OpenAI API as seen from the target; the same for the next three."""
    haproxy_stats: str
    metrics: str
    dashboard: str
    """Ray's dashboard; it answers on the target with the Ray head."""
    process_tag: str = ""
    """`NAME=value` of the environment variable that the stack's processes have; empty in a pod."""
    head: Target | None = None
    """The target with the head of the same Ray cluster; None: this one."""
    serves: bool = True
    """Whether it receives requests and runs replicas."""

    def query(self, query: str, *arguments: Any) -> Any:
        """Run a function of queries.py on the target."""
        done = self.host.run("%s -c %s %s %s", self.python, QUERIES_SOURCE, query, json.dumps(arguments))
        assert done.rc == 0, f"query `{query}` failed: {''.join(done.stderr.splitlines()[-1:])}"
        return json.loads(done.stdout)

    @property
    def port(self) -> int:
        """TCP port that receives requests."""
        found = urlsplit(self.endpoint).port
        assert found is not None
        return found

    @property
    def data_path(self) -> DataPathSpec:
        """The data path with the declared environment variables."""
        return DATA_PATHS[DataPath(self.env_vars[NAME_ENV_VAR])]

    @cached_property
    def actors(self) -> list[Object]:
        """The live actors of its Ray cluster."""
        return self.head.actors if self.head else self.query("actors", self.dashboard)

    @cached_property
    def answer(self) -> Mapping[str, Any]:
        """Its answer to the one request that the checks send."""
        return checks.ask(self.query, self.endpoint, self.model, self.haproxy_stats if self.data_path.haproxy else None)


@dataclass(kw_only=True)
class PodTarget(Target):
    """Ray's container in a pod of a RayService."""

    container: str
    manifest: Object
    """The pod as the API server returns it."""
    image: str
    """The declared image."""


def local_target(declared: DeclaredLocal) -> Target:
    """Return this computer as a target."""
    outputs = declared.outputs
    api_key.use_operator_key(outputs)
    os.environ[ray_api.TOKEN_PATH_ENV_VAR] = declared.env_vars[ray_api.TOKEN_PATH_ENV_VAR]  # queries inherit it
    return Target(
        name="this computer",
        host=testinfra.get_host("local://"),
        python=declared.python,
        env_vars=declared.env_vars,
        package_versions=declared.package_versions,
        model=outputs["model"],
        endpoint=outputs["endpoint"],
        haproxy_stats=outputs["haproxy_stats"],
        metrics=f"http://127.0.0.1:{declared.option('metrics-export-port')}/metrics",
        dashboard=outputs["dashboard"],
        process_tag=declared.process_tag,
    )


@dataclass
class RegionTarget:
    """A RayService in a region, through kubectl."""

    service: DeclaredRayService
    kubeconfig: Path

    @property
    def name(self) -> str:
        """Region and RayService."""
        return f"{self.service.region}/{self.service.name}"

    def get(self, *arguments: str) -> Object:
        """Run `kubectl get` in the service's namespace. Raises `pytest.UsageError` if it fails."""
        options = ["--kubeconfig", str(self.kubeconfig), "--namespace", self.service.namespace, "--output", "json"]
        done = subprocess.run(["kubectl", "get", *options, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise pytest.UsageError(f"kubectl failed in region {self.service.region}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    @cached_property
    def pods(self) -> list[PodTarget]:
        """The pods of the RayCluster that receives requests, the head first."""
        status = self.get("rayservice", self.service.name).get("status", {})
        cluster = status.get("activeServiceStatus", {}).get("rayClusterName")
        selector = f"{NAME_LABEL}={self.service.name},ray.io/cluster={cluster},{NODE_TYPE_LABEL} in (head,worker)"
        found = self.get("pods", "--selector", selector)["items"] if cluster else []
        pods = [each for each in found if "deletionTimestamp" not in each["metadata"]]
        heads = [self._pod(each, None) for each in pods if _node_type(each) == "head"]
        return [*heads, *(self._pod(each, heads[0]) for each in pods if heads and _node_type(each) == "worker")]

    def _pod(self, manifest: Object, head: PodTarget | None) -> PodTarget:
        name, container = manifest["metadata"]["name"], self.service.containers[f"ray-{_node_type(manifest)}"]
        options = {
            "container": container["name"],
            "namespace": self.service.namespace,
            "kubeconfig": quote(str(self.kubeconfig)),
        }
        host_options = "&".join(f"{key}={value}" for key, value in options.items())
        return PodTarget(
            name=f"{self.name}/{name}",
            host=testinfra.get_host(f"kubectl://{name}?{host_options}"),
            python="python",
            env_vars=self.service.env_vars(container),
            package_versions={"ray": self.service.ray_cluster_config["rayVersion"]},
            model=self.service.model,
            endpoint=f"http://127.0.0.1:{SERVE_PORT}/v1",
            haproxy_stats=f"http://127.0.0.1:{HAPROXY_STATS_PORT}/stats",
            metrics=f"http://127.0.0.1:{PORTS['metrics']}/metrics",
            dashboard=f"http://127.0.0.1:{PORTS['dashboard']}",
            head=head,
            serves=head is not None,
            container=container["name"],
            manifest=manifest,
            image=container["image"],
        )


def _node_type(manifest: Object) -> str:
    return manifest["metadata"]["labels"][NODE_TYPE_LABEL]
