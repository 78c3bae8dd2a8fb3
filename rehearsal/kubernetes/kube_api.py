"""A cluster's API server, as the stand-in for the plugin uses it: server-side apply, reads, deletion."""

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
APPLY = {"Content-Type": "application/apply-patch+yaml"}
EXEC_INFO = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential"}
LIMIT_S = 30


class Refused(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(Exception):
    """It did not answer."""


class NoKind(Exception):
    """It does not know the kind (yet)."""


class Api:
    """One API server; from several threads."""

    def __init__(self, kubeconfig: str) -> None:
        config = KubeConfig.from_dict(yaml.safe_load(kubeconfig)).get()
        assert config is not None
        if config.user and config.user.exec:  # as client-go tells exec plugins, and lightkube does not
            spec = {"interactive": False, "cluster": {"server": config.cluster.server}}
            info = json.dumps({**EXEC_INFO, "spec": spec})
            config.user.exec.env = [*(config.user.exec.env or []), NameValue("KUBERNETES_EXEC_INFO", info)]
        limits = client_adapter.ConnectionParams(timeout=httpx2.Timeout(LIMIT_S))
        self._http = client_adapter.Client(config, limits)
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}
        self._lock = threading.Lock()

    def apply(self, body: Object, manager: str, *, dry_run: bool = False) -> Object:
        """Server-side apply that takes no field from anybody else."""
        query = {"fieldManager": manager, "force": "false", "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        found = self._ask("PATCH", self.path(body), query, content=json.dumps(body), headers=APPLY)
        assert found is not None
        return found

    def get(self, body: Object) -> Object | None:
        """What is there under the name and namespace of `body`."""
        try:
            return self._ask("GET", self.path(body), {})
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def delete(self, body: Object, policy: str) -> None:
        """Ask for it; it may have finalizers to wait for."""
        try:
            self._ask("DELETE", self.path(body), {"propagationPolicy": policy})
        except Refused as refused:
            if refused.status != 404:
                raise

    def path(self, body: Object) -> str:
        """Of an object, by its own words. Raises `NoKind`."""
        version, kind, metadata = body["apiVersion"], body["kind"], body["metadata"]
        plural, namespaced = self._kind(version, kind)
        inside = f"namespaces/{metadata.get('namespace', 'default')}/" if namespaced else ""
        return f"{_base(version)}/{inside}{plural}/{metadata['name']}"

    def namespaced(self, body: Object) -> bool:
        return self._kind(body["apiVersion"], body["kind"])[1]

    def _kind(self, version: str, kind: str) -> tuple[str, bool]:
        with self._lock:
            if (version, kind) not in self._kinds:
                try:
                    listed = self._ask("GET", _base(version), {}) or {}
                except Refused as refused:
                    if refused.status == 404:
                        raise NoKind(f'no matches for kind "{kind}" in version "{version}"') from None
                    raise
                for each in listed["resources"]:
                    if "/" not in each["name"]:
                        self._kinds[version, each["kind"]] = each["name"], each["namespaced"]
            if (version, kind) not in self._kinds:
                raise NoKind(f'no matches for kind "{kind}" in version "{version}"')
            return self._kinds[version, kind]

    def _ask(self, method: str, path: str, query: Mapping[str, str], **more: Any) -> Object | None:
        try:
            reply = self._http.request(method, path, params=query, **more)
        except httpx2.HTTPError as error:
            raise Unreachable(
                f"configured Kubernetes cluster is unreachable: {type(error).__name__}: {error}"
            ) from None
        if reply.is_error:
            try:
                message = reply.json()["message"]
            except (ValueError, KeyError):
                message = reply.text
            raise Refused(reply.status_code, message)
        return reply.json()


def _base(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"
