"""The stand-in for the `kubernetes` plugin: Pulumi's provider protocol in front of a real API server.

Like the real plugin, it applies on the server under a field manager for each resource, tries changes in a preview with
a dry run, adopts existing objects, replaces objects whose change Kubernetes does not allow, and waits until a deleted
object is gone. It has no other awaits: everything that this project applies sets skipAwait or needs no wait.
"""

from __future__ import annotations

import base64
import hashlib
import time
from itertools import zip_longest
from typing import Any

import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from rehearsal.kubernetes.kube_api import ApiError, ApiUnreachable, KubeApi, Object, UnknownKind
from rehearsal.plugin import StandInPlugin, abort, diff_response, serve
from rehearsal.plugin_values import (
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    UNKNOWN,
    detailed_diff,
    from_struct,
    is_at_or_below,
    leaves,
    to_struct,
    unwrap,
)

IMMUTABLE = {
    "*": ("apiVersion", "kind", "metadata.name", "metadata.namespace"),
    "ConfigMap": ("data", "binaryData", "immutable"),
    "Secret": ("type",),
    "PriorityClass": ("value", "preemptionPolicy"),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
}
"""Kind -> inputs whose change replaces the object (pulumi-kubernetes, provider/pkg/clients/force_new.go). The plugin
replaces a ConfigMap unless enableConfigMapMutable is set."""
CLUSTER_IDENTIFIER = "clusterIdentifier"
PROPAGATION_POLICY = "pulumi.com/deletionPropagationPolicy"
APPLY_TRIES = 5
DELETE_TIMEOUT_S = 600


class KubernetesPlugin(StandInPlugin):
    """The stand-in for the `kubernetes` plugin."""

    package = "kubernetes"

    def __init__(self) -> None:
        super().__init__()
        self._api: KubeApi | None = None

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Another cluster replaces every resource. Compare cluster identifiers if old and new have one, else the
        server's addresses."""
        old, new = unwrap(from_struct(request.old_inputs or request.olds)), unwrap(from_struct(request.news))
        changes = dict(detailed_diff(old, new, frozenset()))
        if old.get(CLUSTER_IDENTIFIER) and new.get(CLUSTER_IDENTIFIER):
            replaces = [CLUSTER_IDENTIFIER] if old[CLUSTER_IDENTIFIER] != new[CLUSTER_IDENTIFIER] else []
        else:
            replaces = ["kubeconfig"] if _server_address(old) != _server_address(new) else []
        some = provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, replaces=replaces, diffs=list(changes))

    def Configure(self, request: Any, context: Any) -> Any:
        kubeconfig = unwrap(from_struct(request.args)).get("kubeconfig")
        if kubeconfig and kubeconfig != UNKNOWN:
            self._api = KubeApi(kubeconfig)
        return super().Configure(request, context)

    def Check(self, request: Any, context: Any) -> Any:
        news = {key: value for key, value in from_struct(request.news).items() if value is not None}
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"{request.type} needs {name}")
            for name in ("apiVersion", "kind")
            if not news.get(name)
        ]
        metadata = news.setdefault("metadata", {})
        if isinstance(metadata, dict) and not metadata.get("name"):
            before = unwrap(from_struct(request.olds)).get("metadata", {}).get("name")
            metadata["name"] = before or request.autonaming.proposed_name or f"{request.name}-0"
        return provider_pb2.CheckResponse(inputs=to_struct(news), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = unwrap(from_struct(request.old_inputs)), unwrap(from_struct(request.news))
        changes = dict(detailed_diff(old, new, frozenset()))
        immutable = (*IMMUTABLE["*"], *IMMUTABLE.get(new.get("kind", ""), ()))
        replaces = [path for path in changes if is_at_or_below(path, immutable)]
        return diff_response(changes, replaces, delete_before_replace=_name(old) == _name(new))

    def Create(self, request: Any, context: Any) -> Any:
        inputs = from_struct(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=to_struct(self._dry_run(inputs, request.urn, context)))
        found = self._apply(inputs, request.urn, context)
        return provider_pb2.CreateResponse(id=_id(found), properties=to_struct(_outputs(inputs, found)))

    def Update(self, request: Any, context: Any) -> Any:
        inputs = from_struct(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=to_struct(self._dry_run(inputs, request.urn, context)))
        found = self._apply(inputs, request.urn, context)
        return provider_pb2.UpdateResponse(properties=to_struct(_outputs(inputs, found)))

    def Read(self, request: Any, context: Any) -> Any:
        state, inputs = from_struct(request.properties), from_struct(request.inputs)
        try:
            found = self._configured_api(context).get(unwrap(inputs or state))
        except UnknownKind:
            return provider_pb2.ReadResponse()
        except (ApiError, ApiUnreachable) as error:
            abort(context, str(error))
        if found is None:
            return provider_pb2.ReadResponse()
        live = _live_inputs(inputs, found)
        outputs = to_struct(_outputs(live, found))
        return provider_pb2.ReadResponse(id=request.id, properties=outputs, inputs=to_struct(live))

    def Delete(self, request: Any, context: Any) -> Any:
        body = unwrap(from_struct(request.old_inputs) or from_struct(request.properties))
        policy = (body["metadata"].get("annotations") or {}).get(PROPAGATION_POLICY, "foreground").capitalize()
        end = time.monotonic() + (request.timeout or DELETE_TIMEOUT_S)
        deleted_uid, problem = "", "timed out waiting until it is deleted"
        while time.monotonic() < end and not self._cancelled.wait(0.5 if deleted_uid else 0):
            try:
                found = self._configured_api(context).get(body)
                if found is None or deleted_uid not in ("", found["metadata"]["uid"]):
                    return empty_pb2.Empty()
                if not deleted_uid:
                    self._configured_api(context).delete(body, policy)
                    deleted_uid = found["metadata"]["uid"]
            except UnknownKind:
                return empty_pb2.Empty()
            except ApiUnreachable as error:
                problem = str(error)
            except ApiError as error:
                abort(context, f"{_description(body)}: {error}")
        return abort(context, f"{_description(body)}: {problem}")

    def _configured_api(self, context: Any) -> KubeApi:
        if self._api is None:
            abort(context, "configured Kubernetes cluster is unreachable: there is no kubeconfig")
        return self._api

    def _dry_run(self, inputs: Object, urn: str, context: Any) -> Object:
        """Let the API server check an object in a preview, if all values are known. Return the inputs as outputs."""
        body = unwrap(inputs)
        if self._api is None or any(value == UNKNOWN for _, value in leaves(body)):
            return inputs
        try:
            self._api.apply(body, _field_manager(urn), dry_run=True)
        except (UnknownKind, ApiUnreachable):
            return inputs
        except ApiError as error:
            if not (error.status == 404 and "namespaces " in str(error)):  # the same `up` may create the namespace
                abort(context, f"{_description(body)}: {error}")
        return inputs

    def _apply(self, inputs: Object, urn: str, context: Any) -> Object:
        """Apply an object; try again while the API server, the kind or the namespace is missing."""
        body, wait_s = unwrap(inputs), 1.0
        for tries_left in reversed(range(APPLY_TRIES)):
            try:
                return self._configured_api(context).apply(body, _field_manager(urn))
            except (UnknownKind, ApiUnreachable, ApiError) as error:
                may_pass = not isinstance(error, ApiError) or error.status == 404
                if not may_pass or not tries_left or self._cancelled.wait(wait_s):
                    abort(context, f"{_description(body)}: {error}")
                wait_s *= 2
        raise AssertionError("the last try returns or aborts")


def _server_address(settings: Object) -> str:
    """Return the API server's address from a provider's settings."""
    try:
        return yaml.safe_load(settings["kubeconfig"])["clusters"][0]["cluster"]["server"]
    except (KeyError, TypeError, yaml.YAMLError):
        return str(settings.get("kubeconfig"))


def _name(body: Object) -> Any:
    metadata = body.get("metadata")
    return metadata.get("name") if isinstance(metadata, dict) else None


def _field_manager(urn: str) -> str:
    """Return a field manager for each resource, like the real plugin, which takes it from a random seed."""
    return f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def _id(found: Object) -> str:
    metadata = found["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else metadata["name"]


def _description(body: Object) -> str:
    return f"{body['kind']} {body['metadata'].get('namespace', '')}/{body['metadata']['name']}".replace(" /", " ")


def _outputs(inputs: Object, found: Object) -> Object:
    """Return the inputs, with their secrets, and the fields of the live object that never change."""
    metadata = inputs.get("metadata", {})
    given = {k: found["metadata"][k] for k in ("uid", "namespace", "creationTimestamp") if k in found["metadata"]}
    out = {**inputs, "metadata": {**given, **metadata} if SIGNATURE_KEY not in metadata else metadata}
    if "stringData" in inputs:
        out["data"] = {SIGNATURE_KEY: SECRET_SIGNATURE, "value": found.get("data", {})}
    return out


def _live_inputs(inputs: Any, found: Any) -> Any:
    """Return the live values of the fields in `inputs`: drift shows, and fields that the server added are left out."""
    if isinstance(inputs, dict) and SIGNATURE_KEY in inputs:
        live = _live_inputs(inputs.get("value"), found)
        return inputs if live == inputs.get("value") else {**inputs, "value": live}
    if isinstance(inputs, dict) and isinstance(found, dict):
        if "stringData" in inputs:
            data = found.get("data") or {}
            found = {**found, "stringData": {k: base64.b64decode(v).decode() for k, v in data.items()}}
        return {key: _live_inputs(value, found[key]) for key, value in inputs.items() if key in found}
    if isinstance(inputs, list) and isinstance(found, list):
        pairs = zip_longest(inputs, found, fillvalue=UNKNOWN)
        return [b if a == UNKNOWN else _live_inputs(a, b) for a, b in pairs if b != UNKNOWN]
    return found


if __name__ == "__main__":
    serve(KubernetesPlugin())
