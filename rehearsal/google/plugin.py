"""The stand-in for the `gcp` plugin: Pulumi's provider protocol in front of `StandInCloud`. The engine starts it.

It starts no process, opens no connection, listens on loopback only, answers no data source, and ends with its parent.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from rehearsal.google import computed_outputs, input_checks, resource_types
from rehearsal.google.cloud import ERROR_MESSAGES, FailureKind, GoogleApiError, InjectedFailure, StandInCloud
from rehearsal.google.computed_outputs import TemplateValues
from rehearsal.google.resource_types import ResourceType
from rehearsal.plugin import StandInPlugin, abort, diff_response, serve
from rehearsal.plugin_values import (
    UNKNOWN,
    detailed_diff,
    from_struct,
    is_at_or_below,
    to_struct,
    unwrap,
    without_indexes,
)

FORCE_NEW_CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "shrinks": lambda old, new: not ipaddress.IPv4Network(old).subnet_of(ipaddress.IPv4Network(new)),
    "off": lambda old, new: bool(old) and not new,
    "lower": lambda old, new: _version_numbers(new) < _version_numbers(old),
}
"""Values of `force_new_if` in resource_types.yaml."""


class GooglePlugin(StandInPlugin):
    """The stand-in for the `gcp` plugin."""

    package = "gcp"

    def __init__(self, cloud: StandInCloud) -> None:
        super().__init__()
        self._cloud = cloud
        self._config: dict[str, Any] = {}

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_UNKNOWN)

    def Configure(self, request: Any, context: Any) -> Any:
        self._config = {key: _decode(value) for key, value in unwrap(from_struct(request.args)).items()}
        return super().Configure(request, context)

    def Invoke(self, request: Any, context: Any) -> Any:
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"{request.tok}: the stand-in answers no data source; take the value from the settings",
        )

    def Check(self, request: Any, context: Any) -> Any:
        if request.type not in resource_types.tokens():
            reason = f"rehearsal/google/resource_types.yaml has no entry for {request.type}. Add one."
            return provider_pb2.CheckResponse(failures=[provider_pb2.CheckFailure(reason=reason)])
        resource = resource_types.resource_type(request.type)
        news = {key: value for key, value in from_struct(request.news).items() if value is not None}
        name = resource.schema.inputs.get("name")
        if name is not None and not name.required and not news.get("name"):
            news["name"] = from_struct(request.olds).get("name") or _automatic_name(request)
            news["__defaults"] = ["name"]
        inputs = {key: value for key, value in unwrap(news).items() if not key.startswith("__")}
        failures = [
            provider_pb2.CheckFailure(property=path, reason=f"{path}: {reason}")
            for path, reason in input_checks.find_problems(resource, inputs)
        ]
        return provider_pb2.CheckResponse(inputs=to_struct(news), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        resource = resource_types.resource_type(request.type)
        old, new, outputs = (unwrap(from_struct(part)) for part in (request.old_inputs, request.news, request.olds))
        changes = dict(detailed_diff(old, new, resource.sets))
        replaces = [path for path in changes if self._forces_new(resource, path, old, new)]
        for name in ("project", "region", "zone"):  # the provider's setting applies where an input is not set
            current = self._config.get(name, outputs.get(name))
            is_default = name in resource.schema.inputs and not {name, "location"} & new.keys()
            if is_default and current != outputs.get(name, current):
                changes[name] = "update"
                replaces.append(name)
        changed_labels = any(without_indexes(path).startswith(("labels", "resourceLabels")) for path in changes)
        if "pulumiLabels" in outputs and not changed_labels:
            values = self._template_values(resource, new)
            labels = computed_outputs.all_outputs(resource, new, values, self._default_labels())["pulumiLabels"]
            before, after = {"pulumiLabels": outputs["pulumiLabels"]}, {"pulumiLabels": labels}
            changes |= dict(detailed_diff(before, after, resource.sets))
        return diff_response(
            changes,
            replaces,
            # Two resources cannot have the same written name, so the bridge deletes first. Where it does not know which
            # input is the name (secretId), it creates first, and Google refuses the second resource (409).
            delete_before_replace=resource.name_input in new.keys() - set(new.get("__defaults", [])),
            is_input=lambda path: path.split(".")[0] in new,
        )

    def Create(self, request: Any, context: Any) -> Any:
        resource, inputs = resource_types.resource_type(request.type), from_struct(request.properties)
        if request.preview:
            values = self._template_values(resource, inputs)
            out = computed_outputs.all_outputs(resource, inputs, values, self._default_labels(), preview=True)
            return provider_pb2.CreateResponse(properties=to_struct(out))
        failure = self._fail_before("create", resource, request, inputs, context)
        try:
            id_, out = self._cloud.create(resource, inputs, self._config, self._default_labels())
        except GoogleApiError as error:
            abort(context, f"Error creating {resource.name}: {error}")
        if failure and failure.kind is FailureKind.STOCKOUT:
            message = self._failure_message(failure, resource, inputs)
            _abort_not_ready(id_, out, f"Error waiting for creating {resource.name}: {message}", context)
        self._wait_after(failure)
        return provider_pb2.CreateResponse(id=id_, properties=to_struct(out))

    def Read(self, request: Any, context: Any) -> Any:
        resource = resource_types.resource_type(request.type)
        self._fail_before("read", resource, request, {}, context)
        found = self._cloud.read(resource, request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        inputs, out = found
        return provider_pb2.ReadResponse(id=request.id, properties=to_struct(out), inputs=to_struct(inputs))

    def Update(self, request: Any, context: Any) -> Any:
        resource, inputs = resource_types.resource_type(request.type), from_struct(request.news)
        removed = from_struct(request.old_inputs).keys() - inputs.keys()
        olds = {key: value for key, value in from_struct(request.olds).items() if key not in removed}
        if request.preview:
            values, labels = self._template_values(resource, inputs), self._default_labels()
            out = computed_outputs.all_outputs(resource, inputs, values, labels, olds=olds, preview=True)
            return provider_pb2.UpdateResponse(properties=to_struct(out))
        failure = self._fail_before("update", resource, request, inputs, context)
        try:
            out = self._cloud.update(resource, request.id, inputs, olds, self._config, self._default_labels())
        except GoogleApiError as error:
            abort(context, f"Error updating {resource.name} {request.id!r}: {error}")
        self._wait_after(failure)
        return provider_pb2.UpdateResponse(properties=to_struct(out))

    def Delete(self, request: Any, context: Any) -> Any:
        resource = resource_types.resource_type(request.type)
        state, inputs = unwrap(from_struct(request.properties)), unwrap(from_struct(request.old_inputs))
        match state.get("deletionPolicy"):
            case "ABANDON":
                return empty_pb2.Empty()
            case "PREVENT":
                name = f"{resource.service.title()}{resource.name}"
                reason = f'cannot destroy {name} without setting deletion_policy="DELETE" and running `terraform apply`'
                abort(context, reason)
        if resource.deletion_protection_error and state.get("deletionProtection"):
            abort(context, resource.deletion_protection_error)
        failure = self._fail_before("delete", resource, request, inputs, context)
        try:
            self._cloud.delete(resource, request.id, inputs)
        except GoogleApiError as error:
            abort(context, f"Error deleting {resource.name} {request.id!r}: {error}")
        self._wait_after(failure)
        return empty_pb2.Empty()

    def _forces_new(self, resource: ResourceType, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Return True if the change at `path` replaces the resource."""
        field = without_indexes(path)
        if is_at_or_below(field, resource.force_new):
            return True
        condition = resource.force_new_if.get(field)
        if condition is None or UNKNOWN in (old.get(field), new.get(field)) or field not in old:
            return False
        return field in new and FORCE_NEW_CONDITIONS[condition](old[field], new[field])

    def _template_values(self, resource: ResourceType, inputs: Mapping[str, Any]) -> TemplateValues:
        values = TemplateValues(resource, inputs, self._config)
        with contextlib.suppress(computed_outputs.UnknownValue):
            values.set_resource_id(resource)
        return values

    def _default_labels(self) -> dict[str, Any]:
        return self._config.get("defaultLabels") or {}

    def _fail_before(
        self, operation: str, resource: ResourceType, request: Any, inputs: Mapping[str, Any], context: Any
    ) -> InjectedFailure | None:
        """Abort or delay the operation if a failure is injected; return a failure that happens after it."""
        failure = self._cloud.take_failure(operation, request.urn.split("::")[-1])
        if failure is None or failure.kind in (FailureKind.LOST, FailureKind.STOCKOUT):
            return failure
        if failure.kind is not FailureKind.SLOW:
            abort(context, f"Error: {operation} {resource.name}: {self._failure_message(failure, resource, inputs)}")
        if self._cancelled.wait(failure.seconds):
            context.abort(grpc.StatusCode.CANCELLED, f"{operation} {resource.name}: cancelled")
        return None

    def _wait_after(self, failure: InjectedFailure | None) -> None:
        if failure and failure.kind is FailureKind.LOST:
            self._cancelled.wait(failure.seconds)

    def _failure_message(self, failure: InjectedFailure, resource: ResourceType, inputs: Mapping[str, Any]) -> str:
        values = self._template_values(resource, inputs)
        known = {name: values.get(name, "") for name in ("project", "id", "number", "name")}
        return ERROR_MESSAGES[failure.kind].format(service=resource.service, **known)


def _abort_not_ready(id_: str, out: Mapping[str, Any], reason: str, context: Any) -> None:
    """Report a resource that exists but is not ready. The engine keeps it in the state, and updates it next time."""
    detail = provider_pb2.ErrorResourceInitFailed(id=id_, properties=to_struct(out), reasons=[reason])
    status = status_pb2.Status(code=2, message=reason)
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    abort(context, reason)


def _automatic_name(request: Any) -> str:
    """Return a name for a resource without one, in the bridge's format."""
    proposed = request.autonaming.proposed_name if request.HasField("autonaming") else ""
    return proposed or f"{request.name}-{hashlib.sha256(request.randomSeed).hexdigest()[:7]}"


def _decode(value: Any) -> Any:
    """Return a provider's setting, which arrives as text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _version_numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cloud", type=Path, required=True)
    serve(GooglePlugin(StandInCloud(parser.parse_known_args()[0].cloud)))
