"""The stand-in's Google Cloud: all resources that exist, in one JSON file under a lock, and the failures to inject.

The plugin and the tests use the same class. A test uses it to create resources that Pulumi does not manage, to change
or delete resources outside Pulumi, to make operations fail, and to read what exists. Values keep Pulumi's envelopes
around secrets.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rehearsal.google import computed_outputs, reference_checks, resource_types
from rehearsal.google.computed_outputs import TemplateValues
from rehearsal.google.resource_types import ResourceType
from rehearsal.plugin_values import unwrap


class FailureKind(StrEnum):
    """Failures that can be injected. ERROR_MESSAGES has the text that users of Google's provider report for each."""

    QUOTA = "quota"
    CONFLICT = "conflict"
    RATE = "rate"
    UNAVAILABLE = "unavailable"
    PERMISSION = "permission"
    STOCKOUT = "stockout"
    """Google creates the resource, but it does not become ready. Pulumi keeps it in the state as not initialized."""
    SLOW = "slow"
    """Nothing happens for `seconds`, then the operation succeeds."""
    LOST = "lost"
    """The operation succeeds at Google; the answer comes `seconds` later. An engine that ends before never gets it."""


ERROR_MESSAGES = {
    # kaiwaehner/hivemq-mqtt-tensorflow-kafka-realtime-iot-machine-learning-training-inference#48
    FailureKind.QUOTA: "googleapi: Error 403: Insufficient regional quota to satisfy request: resource "
    "\"NVIDIA_B200_GPUS\": request requires '8.0' and is short '8.0'. project has a quota of '0.0' with '0.0' "
    "available. View and manage quotas at https://console.cloud.google.com/iam-admin/quotas?usage=USED&project="
    "{project}., forbidden",
    FailureKind.CONFLICT: "googleapi: Error 409: The resource '{id}' already exists, alreadyExists",
    FailureKind.RATE: "googleapi: Error 429: Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' "
    "of service '{service}.googleapis.com' for consumer 'project_number:{number}'., rateLimitExceeded",
    FailureKind.UNAVAILABLE: "googleapi: Error 503: The service is currently unavailable., backendError",
    FailureKind.PERMISSION: "googleapi: Error 403: Permission denied on resource '{id}' (or it may not exist)., "
    "forbidden",
    # tranquilitybase-io/tb-gcp#589, hashicorp/terraform-provider-google#10823
    FailureKind.STOCKOUT: "Google Compute Engine: Not all instances running in IGM after 35m4s. Expected 1, running 0, "
    "transitioning 1. Current errors: [GCE_STOCKOUT]: Instance '{name}' creation failed: The zone does not have enough "
    "resources available to fulfill the request (ZONE_RESOURCE_POOL_EXHAUSTED).",
}


class GoogleApiError(Exception):
    """Google refuses the operation; the text is the whole error."""


@dataclass(frozen=True)
class InjectedFailure:
    """A failure for the operation that runs now."""

    kind: FailureKind
    seconds: float


class StandInCloud:
    """Google Cloud as the stand-in keeps it in `file`, which need not exist yet."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._cached: tuple[Any, dict[str, Any]] = (None, {})

    # Used by tests

    def inject_failure(
        self, kind: FailureKind, resource: str = "*", operation: str = "create", *, times: int = 1, seconds: float = 0
    ) -> None:
        """Make the next `times` operations fail on the resources whose Pulumi name matches `resource`.

        `operation` is create, update, delete or read. `seconds` applies to SLOW and LOST.
        """
        with self._change_data() as data:
            data["failures"].append([kind, resource, operation, times, seconds])

    def failures_left(self) -> int:
        """Return how many injected failures have not happened yet."""
        with self._read_data() as data:
            return sum(entry[3] for entry in data["failures"])

    def enable_apis(self, *apis: str, project: str = "*") -> None:
        """Enable APIs outside the program; `*` stands for all APIs and for all projects."""
        with self._change_data() as data:
            data["enabled"].setdefault(project, []).extend(apis)

    def seed(self, token: str, inputs: dict[str, Any], project: str) -> str:
        """Create a resource that Pulumi does not manage. Return its id."""
        with self._change_data() as data:
            return self._insert(data, resource_types.resource_type(token), inputs, {"project": project}, {})["id"]

    def change(self, name: str, **inputs: Any) -> None:
        """Change inputs of the one resource whose id ends with `name`, outside Pulumi, as in Google's console."""
        with self._change_data() as data:
            row = self._find_one(data, name)
            row["inputs"].update(inputs)
            row["outputs"].update(inputs)

    def remove(self, name: str) -> None:
        """Delete the one resource whose id ends with `name`, outside Pulumi."""
        with self._change_data() as data:
            del data["resources"][self._find_one(data, name)["key"]]

    def ids(self, type_name: str = "") -> list[str]:
        """Return the sorted ids of all resources, or of those of one type (`NodePool`)."""
        with self._read_data() as data:
            return sorted(row["id"] for row in data["resources"].values() if type_name in ("", row["type"]))

    def operations(self) -> list[str]:
        """Return every operation that succeeded, in order, as `create <id>`, `update <id>` or `delete <id>`."""
        with self._read_data() as data:
            return list(data["log"])

    # Used by the plugin

    def take_failure(self, operation: str, resource: str) -> InjectedFailure | None:
        """Return the failure that a test has injected for this operation, and count it down."""
        if not self.failures_left():
            return None
        with self._change_data() as data:
            for entry in data["failures"]:
                kind, pattern, on, left, seconds = entry
                if on == operation and left and fnmatchcase(resource, pattern):
                    entry[3] -= 1
                    return InjectedFailure(FailureKind(kind), seconds)
        return None

    def create(
        self, resource: ResourceType, inputs: dict[str, Any], config: dict[str, Any], labels: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Create a resource. Return its id and outputs. Raises `GoogleApiError`."""
        with self._change_data() as data:
            values = TemplateValues(resource, inputs, config)
            self._check(resource, inputs, values, config, data)
            row = self._insert(data, resource, inputs, config, labels)
            data["log"].append(f"create {row['id']}")
            return row["id"], row["outputs"]

    def update(
        self,
        resource: ResourceType,
        id_: str,
        inputs: dict[str, Any],
        olds: dict[str, Any],
        config: dict[str, Any],
        labels: Any,
    ) -> dict[str, Any]:
        """Update a resource whose outputs were `olds`. Return its new outputs. Raises `GoogleApiError`."""
        with self._change_data() as data:
            row = data["resources"].get(f"{resource.module} {id_}")
            if row is None:
                raise GoogleApiError(f"googleapi: Error 404: The resource '{id_}' was not found, notFound")
            values = TemplateValues(resource, inputs, config, row["serial"])
            values.set_resource_id(resource)
            self._check(resource, inputs, values, config, data)
            row.update(inputs=inputs, outputs=computed_outputs.all_outputs(resource, inputs, values, labels, olds=olds))
            data["log"].append(f"update {id_}")
            return row["outputs"]

    def read(self, resource: ResourceType, id_: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return a resource's inputs and outputs, or None if it does not exist."""
        with self._read_data() as data:
            row = data["resources"].get(f"{resource.module} {id_}")
            return (row["inputs"], row["outputs"]) if row else None

    def delete(self, resource: ResourceType, id_: str, inputs: dict[str, Any]) -> None:
        """Delete a resource and its children, if it exists.

        Raises `GoogleApiError` while another resource references it, or if it is a bucket that holds objects.
        """
        with self._change_data() as data:
            row = data["resources"].get(f"{resource.module} {id_}")
            if row is None:
                return
            rows = data["resources"].values()
            _raise(reference_checks.in_use(row, inputs, rows))
            for deleted in (row, *reference_checks.children(row, rows)):
                del data["resources"][deleted["key"]]
                data["log"].append(f"delete {deleted['id']}")
            if resource.token == reference_checks.PROJECT_SERVICE and not inputs.get("disableOnDestroy"):
                data["enabled"].setdefault(row["project"], []).append(inputs["service"].split(".")[0])

    # The file

    @contextmanager
    def _read_data(self) -> Iterator[dict[str, Any]]:
        """Yield the contents under the lock; read the file only if it has changed."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            version = self._file_version()
            if version is None:
                yield {"resources": {}, "enabled": {}, "failures": [], "log": [], "serial": 0}
                return
            if self._cached[0] != version:
                self._cached = (version, json.loads(self._file.read_text()))
            yield self._cached[1]

    @contextmanager
    def _change_data(self) -> Iterator[dict[str, Any]]:
        """Yield the contents, and write them back unless the block raises."""
        with self._read_data() as data:
            self._cached = (None, {})
            yield data
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(data))
            new.replace(self._file)
            self._cached = (self._file_version(), data)

    def _file_version(self) -> Any:
        """Return a value that changes with each write, because each write makes a new file; None without a file."""
        if not self._file.exists():
            return None
        stat = self._file.stat()
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _insert(
        self, data: dict[str, Any], resource: ResourceType, inputs: Any, config: Any, labels: Any
    ) -> dict[str, Any]:
        data["serial"] += "{serial}" in resource.id_template
        values = TemplateValues(resource, inputs, config, data["serial"])
        id_ = values.set_resource_id(resource)
        key = f"{resource.module} {id_}"
        if key in data["resources"] and not resource.create_is_idempotent:
            raise GoogleApiError(ERROR_MESSAGES[FailureKind.CONFLICT].format(id=id_))
        aliases = [computed_outputs.render(name, values) for given, name in resource.aliases.items() if given in inputs]
        data["resources"][key] = {
            "key": key,
            "id": id_,
            "type": resource.name,
            "token": resource.token,
            "project": values.get("project", ""),
            "serial": data["serial"],
            "names": [id_, *aliases],
            "inputs": inputs,
            "outputs": computed_outputs.all_outputs(resource, inputs, values, labels),
        }
        return data["resources"][key]

    def _check(
        self, resource: ResourceType, inputs: Any, values: TemplateValues, config: Any, data: dict[str, Any]
    ) -> None:
        """Raise `GoogleApiError` if Google would refuse the inputs.

        Nothing is known about projects other than the provider's: everything in them counts as present.
        """
        project, unwrapped, rows = str(values.get("project", "")), unwrap(inputs), data["resources"].values()
        if project == config.get("project", project):
            enabled_by_others = [*data["enabled"].get("*", []), *data["enabled"].get(project, [])]
            _raise(reference_checks.api_not_enabled(resource, project, rows, enabled_by_others))
            _raise(reference_checks.missing_reference(resource, unwrapped, (project, values["number"]), rows))
            _raise(reference_checks.image_streaming_denied(resource, unwrapped, rows))
        member, own_project = str(unwrapped.get("member", "")), str(config.get("project", project))
        _raise(reference_checks.missing_member(member, own_project, rows))

    def _find_one(self, data: dict[str, Any], name: str) -> dict[str, Any]:
        found = [row for row in data["resources"].values() if row["id"].endswith(name)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources end with {name}; existing: {sorted(data['resources'])}")
        return found[0]


def _raise(error: str | None) -> None:
    if error:
        raise GoogleApiError(error)
