"""A cluster's API server as the stand-in plugin uses it: server-side apply, reads and deletes."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import httpx2
import yaml
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import NameValue

Object = dict[str, Any]
APPLY_HEADERS = {"Content-Type": "application/apply-patch+yaml"}
EXEC_INFO = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential"}
TIMEOUT_S = 30


class ApiError(Exception):
    """The API server refuses the request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ApiUnreachable(Exception):
    """The API server does not answer."""


class UnknownKind(Exception):
    """The API server does not know the kind, or does not know it yet."""


class KubeApi:
    """A client for one API server; several threads may use it."""

    def __init__(self, kubeconfig: str) -> None:
        config = KubeConfig.from_dict(yaml.safe_load(kubeconfig)).get()
        assert config is not None
        if config.user and config.user.exec:  # client-go passes this to exec plugins, and lightkube does not
            spec = {"interactive": False, "cluster": {"server": config.cluster.server}}
            info = json.dumps({**EXEC_INFO, "spec": spec})
            config.user.exec.env = [*(config.user.exec.env or []), NameValue("KUBERNETES_EXEC_INFO", info)]
        params = client_adapter.ConnectionParams(timeout=httpx2.Timeout(TIMEOUT_S))
        self._http = client_adapter.Client(config, params)
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}
        self._lock = threading.Lock()

    def apply(self, body: Object, manager: str, *, dry_run: bool = False) -> Object:
        """Apply on the server, without taking a field that another field manager owns.

        Raises `ApiError`, `ApiUnreachable` or `UnknownKind`.
        """
        query = {"fieldManager": manager, "force": "false", "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        found = self._request("PATCH", self._url_path(body), query, content=json.dumps(body), headers=APPLY_HEADERS)
        assert found is not None
        return found

    def get(self, body: Object) -> Object | None:
        """Return the live object with the kind, name and namespace of `body`, or None. Raises like `apply`."""
        try:
            return self._request("GET", self._url_path(body), {})
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def delete(self, body: Object, policy: str) -> None:
        """Request the deletion of an object, if it exists; finalizers may delay it. Raises like `apply`."""
        try:
            self._request("DELETE", self._url_path(body), {"propagationPolicy": policy})
        except ApiError as error:
            if error.status != 404:
                raise

    def _url_path(self, body: Object) -> str:
        version, kind, metadata = body["apiVersion"], body["kind"], body["metadata"]
        plural, namespaced = self._resource(version, kind)
        namespace = f"namespaces/{metadata.get('namespace', 'default')}/" if namespaced else ""
        return f"{_base_path(version)}/{namespace}{plural}/{metadata['name']}"

    def _resource(self, version: str, kind: str) -> tuple[str, bool]:
        """Return the plural of a kind, and whether it is namespaced. Raises `UnknownKind`."""
        with self._lock:
            if (version, kind) not in self._resources:
                try:
                    listed = self._request("GET", _base_path(version), {}) or {}
                except ApiError as error:
                    if error.status != 404:
                        raise
                    listed = {"resources": []}
                for each in listed["resources"]:
                    if "/" not in each["name"]:
                        self._resources[version, each["kind"]] = each["name"], each["namespaced"]
            if (version, kind) not in self._resources:
                raise UnknownKind(f'no matches for kind "{kind}" in version "{version}"')
            return self._resources[version, kind]

    def _request(self, method: str, path: str, query: Mapping[str, str], **options: Any) -> Object | None:
        try:
            reply = self._http.request(method, path, params=query, **options)
        except httpx2.HTTPError as error:
            message = f"configured Kubernetes cluster is unreachable: {type(error).__name__}: {error}"
            raise ApiUnreachable(message) from None
        if reply.is_error:
            try:
                message = reply.json()["message"]
            except (ValueError, KeyError):
                message = reply.text
            raise ApiError(reply.status_code, message)
        return reply.json()


def _base_path(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"
