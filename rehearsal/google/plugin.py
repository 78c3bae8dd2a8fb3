"""The stand-in for the `gcp` plugin: Pulumi's provider protocol on top of `Cloud`. The engine starts it.

It makes no process and no connection, listens on loopback only, answers no data source, and ends when its parent does.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import ipaddress
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from rehearsal.google import computed_outputs, input_checks, resource_types, sdk_schema
from rehearsal.google.cloud import TEXTS, Cloud, Failure, Ordered, Refusal
from rehearsal.google.resource_types import Token
from rehearsal.plugin_values import UNKNOWN, bare, changes, plain, spot, wire

MESSAGE_LIMIT = ("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)
WHEN: dict[str, Callable[[Any, Any], bool]] = {
    "shrinks": lambda old, new: not ipaddress.IPv4Network(old).subnet_of(ipaddress.IPv4Network(new)),
    "off": lambda old, new: bool(old) and not new,
    "lower": lambda old, new: _numbers(new) < _numbers(old),
}


class Google(provider_pb2_grpc.ResourceProviderServicer):
    """Every method is one of the protocol's; the engine calls them from several threads."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._config: dict[str, Any] = {}
        self._cancelled = threading.Event()

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=False, accept_outputs=False, supports_autonaming_configuration=True
        )

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=sdk_schema.VERSION)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "gcp", "version": sdk_schema.VERSION}))

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
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_UNKNOWN)

    def Configure(self, request: Any, context: Any) -> Any:
        self._config = {key: _decoded(value) for key, value in bare(plain(request.args)).items()}
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    def Invoke(self, request: Any, context: Any) -> Any:
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"{request.tok}: the stand-in answers no data source; take it from the settings",
        )

    def Check(self, request: Any, context: Any) -> Any:
        if request.type not in resource_types.names():
            reason = f"rehearsal/google/resource_types.yaml has no row for {request.type}: add one"
            return provider_pb2.CheckResponse(failures=[provider_pb2.CheckFailure(reason=reason)])
        token = resource_types.get(request.type)
        news = {key: value for key, value in plain(request.news).items() if value is not None}
        if "name" in token.shape.inputs and not token.shape.inputs["name"].required and not news.get("name"):
            news["name"] = plain(request.olds).get("name") or _automatic(request)
            news["__defaults"] = ["name"]
        failures = [
            provider_pb2.CheckFailure(property=path, reason=f"{path}: {reason}")
            for path, reason in input_checks.problems(
                token, {k: v for k, v in bare(news).items() if not k.startswith("__")}
            )
        ]
        return provider_pb2.CheckResponse(inputs=wire(news), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        token = resource_types.get(request.type)
        old, new, outputs = (bare(plain(part)) for part in (request.old_inputs, request.news, request.olds))
        found = dict(changes(old, new, token.sets))
        replaces = [path for path in found if self._replaces(token, path, old, new)]
        for name in ("project", "region", "zone"):  # the provider's own setting stands in for one that is not given
            given = self._config.get(name, outputs.get(name))
            if name in token.shape.inputs and not {name, "location"} & new.keys() and given != outputs.get(name, given):
                found[name] = "update"
                replaces.append(name)
        if "pulumiLabels" in outputs and not any(spot(path).startswith(("labels", "resourceLabels")) for path in found):
            now = computed_outputs.outputs(token, new, self._facts(token, new), self._labels())["pulumiLabels"]
            found |= dict(changes({"pulumiLabels": outputs["pulumiLabels"]}, {"pulumiLabels": now}, token.sets))
        detail = {
            path: provider_pb2.PropertyDiff(kind=_kind(kind, path in replaces), inputDiff=path.split(".")[0] in new)
            for path, kind in found.items()
        }
        some = provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some,
            replaces=replaces,
            # A name that was written can be there once, so the bridge deletes first; where it does not know which input
            # is the name (secretId), the create comes first and meets what it should replace (409).
            deleteBeforeReplace=bool(replaces) and token.named in new.keys() - set(new.get("__defaults", [])),
            diffs=sorted({re.split(r"[.\[]", path)[0] for path in found}),
            detailedDiff=detail,
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: Any) -> Any:
        token, inputs = resource_types.get(request.type), plain(request.properties)
        if request.preview:
            facts = self._facts(token, inputs)
            out = computed_outputs.outputs(token, inputs, facts, self._labels(), preview=True)
            return provider_pb2.CreateResponse(properties=wire(out))
        due = self._before("create", token, request, inputs, context)
        try:
            id_, out = self._cloud.create(token, inputs, self._config, self._labels())
        except Refusal as refusal:
            _refuse(context, f"Error creating {token.title}: {refusal}")
        if due and due.kind is Failure.STOCKOUT:
            self._unready(
                id_, out, f"Error waiting for creating {token.title}: {self._text(due, token, inputs)}", context
            )
        self._after(due)
        return provider_pb2.CreateResponse(id=id_, properties=wire(out))

    def Read(self, request: Any, context: Any) -> Any:
        token = resource_types.get(request.type)
        self._before("read", token, request, {}, context)
        found = self._cloud.read(token, request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        inputs, out = found
        return provider_pb2.ReadResponse(id=request.id, properties=wire(out), inputs=wire(inputs))

    def Update(self, request: Any, context: Any) -> Any:
        token, inputs = resource_types.get(request.type), plain(request.news)
        taken_out = plain(request.old_inputs).keys() - inputs.keys()
        olds = {k: v for k, v in plain(request.olds).items() if k not in taken_out}
        if request.preview:
            facts = self._facts(token, inputs)
            out = computed_outputs.outputs(token, inputs, facts, self._labels(), olds=olds, preview=True)
            return provider_pb2.UpdateResponse(properties=wire(out))
        due = self._before("update", token, request, inputs, context)
        try:
            out = self._cloud.update(token, request.id, inputs, olds, self._config, self._labels())
        except Refusal as refusal:
            _refuse(context, f"Error updating {token.title} {request.id!r}: {refusal}")
        self._after(due)
        return provider_pb2.UpdateResponse(properties=wire(out))

    def Delete(self, request: Any, context: Any) -> Any:
        token = resource_types.get(request.type)
        state, inputs = bare(plain(request.properties)), bare(plain(request.old_inputs))
        match state.get("deletionPolicy"):
            case "ABANDON":
                return empty_pb2.Empty()
            case "PREVENT":
                name = f"{token.service.title()}{token.title}"
                reason = f'cannot destroy {name} without setting deletion_policy="DELETE" and running `terraform apply`'
                _refuse(context, reason)
        if token.protected and state.get("deletionProtection"):
            _refuse(context, token.protected)
        due = self._before("delete", token, request, inputs, context)
        try:
            self._cloud.delete(token, request.id, inputs)
        except Refusal as refusal:
            _refuse(context, f"Error deleting {token.title} {request.id!r}: {refusal}")
        self._after(due)
        return empty_pb2.Empty()

    def _replaces(self, token: Token, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        here = spot(path)
        if any(here == p or here.startswith((f"{p}.", f"{p}[")) for p in token.replace):
            return True
        case = token.when.get(here)
        if case is None or UNKNOWN in (old.get(here), new.get(here)) or here not in old:
            return False
        return here in new and WHEN[case](old[here], new[here])

    def _facts(self, token: Token, inputs: Mapping[str, Any]) -> computed_outputs.Facts:
        facts = computed_outputs.Facts(token, inputs, self._config)
        with contextlib.suppress(computed_outputs.Missing):
            facts.identify(token)
        return facts

    def _labels(self) -> dict[str, Any]:
        return self._config.get("defaultLabels") or {}

    def _before(
        self, operation: str, token: Token, request: Any, inputs: Mapping[str, Any], context: Any
    ) -> Ordered | None:
        """Let a failure that is due happen now, or return the one that happens later."""
        due = self._cloud.due(operation, request.urn.split("::")[-1])
        if due is None or due.kind in (Failure.LOST, Failure.STOCKOUT):
            return due
        if due.kind is not Failure.SLOW:
            context.abort(
                grpc.StatusCode.UNKNOWN, f"Error: {operation} {token.title}: {self._text(due, token, inputs)}"
            )
        if self._cancelled.wait(due.seconds):
            context.abort(grpc.StatusCode.CANCELLED, f"{operation} {token.title}: cancelled")
        return None

    def _after(self, due: Ordered | None) -> None:
        if due and due.kind is Failure.LOST:
            self._cancelled.wait(due.seconds)

    def _text(self, due: Ordered, token: Token, inputs: Mapping[str, Any]) -> str:
        facts = self._facts(token, inputs)
        known = {name: facts.get(name, "") for name in ("project", "id", "number", "name")}
        return TEXTS[due.kind].format(service=token.service, **known)

    def _unready(self, id_: str, out: Mapping[str, Any], reason: str, context: Any) -> None:
        """Made, but not as it should be: the engine keeps it and updates it the next time."""
        detail = provider_pb2.ErrorResourceInitFailed(id=id_, properties=wire(out), reasons=[reason])
        status = status_pb2.Status(code=2, message=reason)
        status.details.add().Pack(detail)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        _refuse(context, reason)


def _refuse(context: Any, reason: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, reason)
    raise AssertionError("abort returns never")


def _automatic(request: Any) -> str:
    """A name for what was given none, as the bridge makes one."""
    proposed = request.autonaming.proposed_name if request.HasField("autonaming") else ""
    return proposed or f"{request.name}-{hashlib.sha256(request.randomSeed).hexdigest()[:7]}"


def _kind(change: str, replaces: bool) -> Any:
    """ADD, ADD_REPLACE, DELETE ..."""
    return provider_pb2.PropertyDiff.Kind.Value(change.upper() + ("_REPLACE" if replaces else ""))


def _decoded(value: Any) -> Any:
    """Settings of a provider arrive as text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def main() -> None:
    """Serve until the engine says stop, or is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cloud", type=Path, required=True)
    arguments, _ = parser.parse_known_args()
    server = grpc.server(futures.ThreadPoolExecutor(64), options=list(MESSAGE_LIMIT))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Google(Cloud(arguments.cloud)), server)
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
