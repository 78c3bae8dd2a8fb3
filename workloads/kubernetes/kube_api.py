"""A cluster's API server as the waits of readiness.py use it: plain reads, one delete, and one loop for all of them.

An API server that does not answer for a while (GKE upgrades its control plane now and then) is waited for like
anything else; one that says no is not.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import yaml
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError

from workloads.dynamic_provider import OperationFailed

REQUEST_LIMIT_S = 15

Object = dict[str, Any]
"""Of Kubernetes, as JSON has it."""
_ONE_READS = threading.Lock()
"""msgspec 0.22, below lightkube, crashes the process when two threads are the first to use one of its classes; Pulumi
looks at all clusters at once."""


class Unreachable(Exception):
    """No answer, or none that says anything: look again."""


class KubeApi:
    """Paths as in the Kubernetes API reference."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def get(self, path: str, **query: str) -> Object | None:
        """None where there is no such thing (or no such kind)."""
        reply = self._ask("GET", path, query)
        return None if reply is None else reply.json()

    def items(self, path: str, **query: str) -> list[Object]:
        return (self.get(path, **query) or {}).get("items", [])

    def text(self, path: str) -> str | None:
        reply = self._ask("GET", path, {})
        return None if reply is None else reply.text

    def delete(self, path: str) -> bool:
        """Whether there was anything."""
        return self._ask("DELETE", path, {}) is not None

    def _ask(self, method: str, path: str, query: Mapping[str, str]) -> httpx2.Response | None:
        try:
            reply = self._http.request(method, path, params=query)
        except httpx2.HTTPError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from None
        except (ConfigError, OSError, KeyError, ValueError) as error:
            raise OperationFailed(
                f"No token for the API server at {self._http.base_url} ({error}): install gke-gcloud-auth-plugin "
                "(`gcloud components install gke-gcloud-auth-plugin`) and log in."
            ) from None
        if reply.status_code == 404:
            return None
        if reply.status_code in (401, 403):
            raise OperationFailed(
                f"The API server at {self._http.base_url} refuses {method} {path} ({_said(reply)}): give who runs "
                "`pulumi` the right to do so (on GKE roles/container.developer has it)."
            )
        if reply.is_error:
            raise Unreachable(f"HTTP {reply.status_code}: {_said(reply)}")
        return reply


@contextmanager
def connect(kubeconfig: str) -> Iterator[KubeApi]:
    """To the kubeconfig's current context."""
    with _ONE_READS:
        config = KubeConfig.from_dict(_with_exec_info(yaml.safe_load(kubeconfig))).get()
    assert config is not None, "get() answers None only when a default of None is asked for"
    limits = client_adapter.ConnectionParams(timeout=httpx2.Timeout(REQUEST_LIMIT_S))
    with client_adapter.Client(config, limits) as http:
        yield KubeApi(http)


def condition(conditions: Iterable[Object], kind: str) -> Object:
    """The one of this type; empty where there is none."""
    return next((each for each in conditions if each.get("type") == kind), {})


def last_seen(event: Object) -> str:
    """RFC 3339 in UTC, to the second, so that the strings compare as the times do."""
    series = event.get("series") or {}
    seen = event.get("lastTimestamp") or series.get("lastObservedTime") or event.get("eventTime") or ""
    return f"{seen[:19]}Z" if seen else ""


def _with_exec_info(config: Object) -> Object:
    """lightkube calls exec plugins without KUBERNETES_EXEC_INFO, which plugins may read (client-go always sets it)."""
    clusters = {each["name"]: each["cluster"] for each in config["clusters"]}
    for context in (each["context"] for each in config["contexts"]):
        user = next((each["user"] for each in config.get("users", []) if each["name"] == context.get("user")), {})
        if plugin := user.get("exec"):
            spec: Object = {"interactive": False}
            if plugin.get("provideClusterInfo"):
                spec["cluster"] = clusters[context["cluster"]]
            info = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
            given = {"name": "KUBERNETES_EXEC_INFO", "value": json.dumps(info)}
            plugin["env"] = [*(plugin.get("env") or []), given]
    return config


def _said(reply: httpx2.Response) -> str:
    try:
        return str(reply.json()["message"])
    except (ValueError, KeyError, TypeError):
        return reply.text[:200].strip()
