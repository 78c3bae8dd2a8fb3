"""A client of a cluster's API server for the waits in readiness/: plain reads and one delete.

lightkube parses the kubeconfig, runs the credential plugin and configures TLS. Its resource client is not used: that
client has no call for a pod's proxy (HAProxy's statistics), needs a generic class for each CRD, and raises one
exception for every HTTP error. The waits need three answers instead: the object is missing, the API server does not
answer now (GKE upgrades control planes from time to time), or it refuses the request.
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

REQUEST_TIMEOUT_S = 15

Object = dict[str, Any]
"""A Kubernetes object as JSON."""
_kubeconfig_lock = threading.Lock()
"""msgspec 0.22, which lightkube uses, crashes the process when two threads use one of its classes first at the same
time. Pulumi refreshes all clusters at once."""


class Unreachable(Exception):
    """The API server does not answer, or answers with a server error. Try again."""


class KubeApi:
    """Requests by path, as in the Kubernetes API reference.

    Every method raises Unreachable if the API server does not answer, and OperationFailed if it refuses the request.
    """

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def get(self, path: str, **query: str) -> Object | None:
        """Return the object, or None if it or its kind does not exist."""
        reply = self._request("GET", path, query)
        return None if reply is None else reply.json()

    def items(self, path: str, **query: str) -> list[Object]:
        """Return the items of a list; none if the kind does not exist."""
        return (self.get(path, **query) or {}).get("items", [])

    def text(self, path: str) -> str | None:
        """Return the body as text, or None if nothing exists at `path`."""
        reply = self._request("GET", path, {})
        return None if reply is None else reply.text

    def delete(self, path: str) -> bool:
        """Delete the object. Return False if it did not exist."""
        return self._request("DELETE", path, {}) is not None

    def _request(self, method: str, path: str, query: Mapping[str, str]) -> httpx2.Response | None:
        server = self._http.base_url
        try:
            reply = self._http.request(method, path, params=query)
        except httpx2.HTTPError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from None
        except (ConfigError, OSError, KeyError, ValueError) as error:
            raise OperationFailed(
                f"No token for the API server at {server} ({error}). Install gke-gcloud-auth-plugin "
                "(`gcloud components install gke-gcloud-auth-plugin`) and log in."
            ) from None
        if reply.status_code == 404:
            return None
        if reply.status_code in (401, 403):
            raise OperationFailed(
                f"The API server at {server} denies {method} {path} ({_error_message(reply)}). Grant this permission "
                "to the account that runs `pulumi`; on GKE roles/container.developer contains it."
            )
        if reply.is_error:
            raise Unreachable(f"HTTP {reply.status_code}: {_error_message(reply)}")
        return reply


@contextmanager
def connect(kubeconfig: str) -> Iterator[KubeApi]:
    """Connect to the API server of the kubeconfig's current context."""
    with _kubeconfig_lock:
        config = KubeConfig.from_dict(_with_exec_info(yaml.safe_load(kubeconfig))).get()
    assert config is not None, "get() returns None only if the caller passes a default of None"
    parameters = client_adapter.ConnectionParams(timeout=httpx2.Timeout(REQUEST_TIMEOUT_S))
    with client_adapter.Client(config, parameters) as http:
        yield KubeApi(http)


def condition(conditions: Iterable[Object], kind: str) -> Object:
    """Return the condition of type `kind`, or an empty object."""
    return next((each for each in conditions if each.get("type") == kind), {})


def last_seen(event: Object) -> str:
    """Return the time of an event in RFC 3339, UTC, whole seconds, so that times compare as strings; or ""."""
    series = event.get("series") or {}
    seen = event.get("lastTimestamp") or series.get("lastObservedTime") or event.get("eventTime") or ""
    return f"{seen[:19]}Z" if seen else ""


def _with_exec_info(config: Object) -> Object:
    """Set KUBERNETES_EXEC_INFO for credential plugins: client-go always sets it, lightkube never does."""
    clusters = {each["name"]: each["cluster"] for each in config["clusters"]}
    for context in (each["context"] for each in config["contexts"]):
        user = next((each["user"] for each in config.get("users", []) if each["name"] == context.get("user")), {})
        if plugin := user.get("exec"):
            spec: Object = {"interactive": False}
            if plugin.get("provideClusterInfo"):
                spec["cluster"] = clusters[context["cluster"]]
            info = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
            variable = {"name": "KUBERNETES_EXEC_INFO", "value": json.dumps(info)}
            plugin["env"] = [*(plugin.get("env") or []), variable]
    return config


def _error_message(reply: httpx2.Response) -> str:
    try:
        return str(reply.json()["message"])
    except (ValueError, KeyError, TypeError):
        return reply.text[:200].strip()
