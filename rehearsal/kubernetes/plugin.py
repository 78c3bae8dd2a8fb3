"""The stand-in for the `kubernetes` plugin: Pulumi's provider protocol in front of a real API server.

Like the real one it applies on the server's side under a field manager of the resource's own, tries changes out in a
preview (dry run), adopts what is there, replaces what cannot change, and waits until what it deletes is gone. It awaits
nothing else: everything that this project applies says skipAwait or needs no wait.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from itertools import zip_longest
from typing import Any, NoReturn

import grpc
import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from rehearsal.kubernetes import VERSION
from rehearsal.kubernetes.kube_api import Api, NoKind, Object, Refused, Unreachable
from rehearsal.plugin_values import SECRET, SIGNATURE, UNKNOWN, bare, changes, plain, wire

IMMUTABLE = {
    "*": ("apiVersion", "kind", "metadata.name", "metadata.namespace"),
    "ConfigMap": ("data", "binaryData", "immutable"),
    "Secret": ("type",),
    "PriorityClass": ("value", "preemptionPolicy"),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
}
"""Kind -> inputs whose change replaces the object (pulumi-kubernetes, provider/pkg/clients/force_new.go; a ConfigMap is
replaced by the plugin unless enableConfigMapMutable says otherwise)."""
IDENTIFIER = "clusterIdentifier"
POLICY = "pulumi.com/deletionPropagationPolicy"
TRIES = 5
DELETE_LIMIT_S = 600


class Kubernetes(provider_pb2_grpc.ResourceProviderServicer):
    """Every method is one of the protocol's; the engine calls them from several threads."""

    def __init__(self) -> None:
        self._api: Api | None = None
        self._cancelled = threading.Event()

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=False, accept_outputs=False, supports_autonaming_configuration=True
        )

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "kubernetes", "version": VERSION}))

    def GetMapping(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetMappingResponse()

    def GetMappings(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetMappingsResponse()

    def Cancel(self, request: Any, context: Any) -> Any:
        self._cancelled.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Another cluster replaces everything: by the identifiers where both have one, else by the server's address."""
        old, new = bare(plain(request.old_inputs or request.olds)), bare(plain(request.news))
        found = dict(changes(old, new, frozenset()))
        if old.get(IDENTIFIER) and new.get(IDENTIFIER):
            replaces = [IDENTIFIER] if old[IDENTIFIER] != new[IDENTIFIER] else []
        else:
            replaces = ["kubeconfig"] if _server(old) != _server(new) else []
        some = provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, replaces=replaces, diffs=list(found))

    def Configure(self, request: Any, context: Any) -> Any:
        kubeconfig = bare(plain(request.args)).get("kubeconfig")
        if kubeconfig and kubeconfig != UNKNOWN:
            self._api = Api(kubeconfig)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    def Check(self, request: Any, context: Any) -> Any:
        news = {key: value for key, value in plain(request.news).items() if value is not None}
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"{request.type} needs {name}")
            for name in ("apiVersion", "kind")
            if not news.get(name)
        ]
        metadata = news.setdefault("metadata", {})
        if isinstance(metadata, dict) and not metadata.get("name"):
            before = bare(plain(request.olds)).get("metadata", {}).get("name")
            metadata["name"] = before or request.autonaming.proposed_name or f"{request.name}-0"
        return provider_pb2.CheckResponse(inputs=wire(news), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = bare(plain(request.old_inputs)), bare(plain(request.news))
        found = dict(changes(old, new, frozenset()))
        fixed = (*IMMUTABLE["*"], *IMMUTABLE.get(new.get("kind", ""), ()))
        replaces = [path for path in found if any(path == f or path.startswith((f"{f}.", f"{f}[")) for f in fixed)]
        detail = {
            path: provider_pb2.PropertyDiff(
                kind=provider_pb2.PropertyDiff.Kind.Value(kind.upper() + ("_REPLACE" if path in replaces else "")),
                inputDiff=True,
            )
            for path, kind in found.items()
        }
        some = provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some,
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and _name(old) == _name(new),
            diffs=sorted({path.split(".")[0].split("[")[0] for path in found}),
            detailedDiff=detail,
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: Any) -> Any:
        inputs = plain(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=wire(self._tried(inputs, request.urn, context)))
        found = self._applied(inputs, request.urn, context)
        return provider_pb2.CreateResponse(id=_id(found), properties=wire(_outputs(inputs, found)))

    def Update(self, request: Any, context: Any) -> Any:
        inputs = plain(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=wire(self._tried(inputs, request.urn, context)))
        found = self._applied(inputs, request.urn, context)
        return provider_pb2.UpdateResponse(properties=wire(_outputs(inputs, found)))

    def Read(self, request: Any, context: Any) -> Any:
        state, inputs = plain(request.properties), plain(request.inputs)
        try:
            found = self._cluster(context).get(bare(inputs or state))
        except NoKind:
            return provider_pb2.ReadResponse()
        except (Refused, Unreachable) as error:
            _refuse(context, str(error))
        if found is None:
            return provider_pb2.ReadResponse()
        now = _as_written(inputs, found)
        return provider_pb2.ReadResponse(id=request.id, properties=wire(_outputs(now, found)), inputs=wire(now))

    def Delete(self, request: Any, context: Any) -> Any:
        body = bare(plain(request.old_inputs) or plain(request.properties))
        policy = (body["metadata"].get("annotations") or {}).get(POLICY, "foreground").capitalize()
        end = time.monotonic() + (request.timeout or DELETE_LIMIT_S)
        asked, problem = "", "timed out waiting for it to be gone"
        while time.monotonic() < end and not self._cancelled.wait(0.5 if asked else 0):
            try:
                found = self._cluster(context).get(body)
                if found is None or asked not in ("", found["metadata"]["uid"]):
                    return empty_pb2.Empty()
                if not asked:
                    self._cluster(context).delete(body, policy)
                    asked = found["metadata"]["uid"]
            except NoKind:
                return empty_pb2.Empty()
            except Unreachable as error:
                problem = str(error)
            except Refused as refused:
                _refuse(context, f"{_named(body)}: {refused}")
        return _refuse(context, f"{_named(body)}: {problem}")

    def _cluster(self, context: Any) -> Api:
        if self._api is None:
            _refuse(context, "configured Kubernetes cluster is unreachable: there is no kubeconfig")
        return self._api

    def _tried(self, inputs: Object, urn: str, context: Any) -> Object:
        """What a preview knows: the API server's opinion where it can have one, else the inputs."""
        body = bare(inputs)
        if self._api is None or UNKNOWN in _leaves(body):
            return inputs
        try:
            self._api.apply(body, _manager(urn), dry_run=True)
        except (NoKind, Unreachable):
            return inputs
        except Refused as refused:
            if not (refused.status == 404 and "namespaces " in str(refused)):  # one that the same `up` makes
                _refuse(context, f"{_named(body)}: {refused}")
        return inputs

    def _applied(self, inputs: Object, urn: str, context: Any) -> Object:
        body, wait = bare(inputs), 1.0
        for left in reversed(range(TRIES)):
            try:
                return self._cluster(context).apply(body, _manager(urn))
            except (NoKind, Unreachable, Refused) as error:
                again = isinstance(error, NoKind) or (isinstance(error, Refused) and error.status == 404)
                again = again or isinstance(error, Unreachable)
                if not again or not left or self._cancelled.wait(wait):
                    _refuse(context, f"{_named(body)}: {error}")
                wait *= 2
        raise AssertionError("the last try returns or aborts")


def _server(settings: Object) -> str:
    """The API server's address in a provider's settings."""
    try:
        return yaml.safe_load(settings["kubeconfig"])["clusters"][0]["cluster"]["server"]
    except (KeyError, TypeError, yaml.YAMLError):
        return str(settings.get("kubeconfig"))


def _name(body: Object) -> Any:
    metadata = body.get("metadata")
    return metadata.get("name") if isinstance(metadata, dict) else None


def _manager(urn: str) -> str:
    """A field manager for each resource, as the real plugin has it; its own comes from a random seed."""
    return f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def _id(found: Object) -> str:
    metadata = found["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else metadata["name"]


def _named(body: Object) -> str:
    return f"{body['kind']} {body['metadata'].get('namespace', '')}/{body['metadata']['name']}".replace(" /", " ")


def _outputs(inputs: Object, found: Object) -> Object:
    """The inputs, with their secrets, and what the server adds that lasts."""
    metadata = inputs.get("metadata", {})
    given = {k: found["metadata"][k] for k in ("uid", "namespace", "creationTimestamp") if k in found["metadata"]}
    out = {**inputs, "metadata": {**given, **metadata} if SIGNATURE not in metadata else metadata}
    if "stringData" in inputs:
        out["data"] = {SIGNATURE: SECRET, "value": found.get("data", {})}
    return out


def _as_written(inputs: Any, found: Any) -> Any:
    """`inputs` as the live object has them now: what the server added is left out, what drifted shows."""
    if isinstance(inputs, dict) and SIGNATURE in inputs:
        now = _as_written(inputs.get("value"), found)
        return inputs if now == inputs.get("value") else {**inputs, "value": now}
    if isinstance(inputs, dict) and isinstance(found, dict):
        data = found.get("data") or {}
        decoded = {k: base64.b64decode(v).decode() for k, v in data.items()} if "stringData" in inputs else {}
        live = {**found, "stringData": decoded} if "stringData" in inputs else found
        return {key: _as_written(value, live[key]) for key, value in inputs.items() if key in live}
    if isinstance(inputs, list) and isinstance(found, list):
        pairs = zip_longest(inputs, found, fillvalue=UNKNOWN)
        return [b if a == UNKNOWN else _as_written(a, b) for a, b in pairs if b != UNKNOWN]
    return found


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _refuse(context: Any, reason: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, reason)
    raise AssertionError("abort returns never")


def main() -> None:
    """Serve until the engine says stop, or is gone."""
    server = grpc.server(futures.ThreadPoolExecutor(64))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Kubernetes(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # the engine ends plugins with SIGINT and shows what they print
        signal.signal(number, lambda *_: os._exit(0))
    parent = os.getppid()
    while server.wait_for_termination(0.5) and os.getppid() == parent:  # an engine that was killed leaves us behind
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
