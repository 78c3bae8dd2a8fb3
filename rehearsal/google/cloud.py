"""The stand-in's Google: what exists, in one JSON file under a lock, and the failures that a test has switched on.

A test uses `Cloud` from outside to seed what others made, to change or remove things behind Pulumi's back, to make an
operation fail, and to see what there is. The provider uses the same object. Values keep Pulumi's secret envelopes.
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
from rehearsal.google.resource_types import Token
from rehearsal.plugin_values import bare


class Failure(StrEnum):
    """What can go wrong; its text is what users of Google's provider report."""

    QUOTA = "quota"
    CONFLICT = "conflict"
    RATE = "rate"
    UNAVAILABLE = "unavailable"
    PERMISSION = "permission"
    STOCKOUT = "stockout"
    """The resource is made and does not become ready: it stays in Pulumi's state, marked as not initialised."""
    SLOW = "slow"
    """Nothing happens for `seconds`, then all goes well."""
    LOST = "lost"
    """All goes well at Google, and the answer comes `seconds` later: an engine that ends before does not know of it."""


TEXTS = {
    # kaiwaehner/hivemq-mqtt-tensorflow-kafka-realtime-iot-machine-learning-training-inference#48
    Failure.QUOTA: "googleapi: Error 403: Insufficient regional quota to satisfy request: resource "
    "\"NVIDIA_B200_GPUS\": request requires '8.0' and is short '8.0'. project has a quota of '0.0' with '0.0' "
    "available. View and manage quotas at https://console.cloud.google.com/iam-admin/quotas?usage=USED&project="
    "{project}., forbidden",
    Failure.CONFLICT: "googleapi: Error 409: The resource '{id}' already exists, alreadyExists",
    Failure.RATE: "googleapi: Error 429: Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of "
    "service '{service}.googleapis.com' for consumer 'project_number:{number}'., rateLimitExceeded",
    Failure.UNAVAILABLE: "googleapi: Error 503: The service is currently unavailable., backendError",
    Failure.PERMISSION: "googleapi: Error 403: Permission denied on resource '{id}' (or it may not exist)., forbidden",
    # tranquilitybase-io/tb-gcp#589, hashicorp/terraform-provider-google#10823
    Failure.STOCKOUT: "Google Compute Engine: Not all instances running in IGM after 35m4s. Expected 1, running 0, "
    "transitioning 1. Current errors: [GCE_STOCKOUT]: Instance '{name}' creation failed: The zone does not have enough "
    "resources available to fulfill the request (ZONE_RESOURCE_POOL_EXHAUSTED).",
}


class Refusal(Exception):
    """Google says no; the text is the whole error."""


@dataclass(frozen=True)
class Ordered:
    """A failure that is due now."""

    kind: Failure
    seconds: float


class Cloud:
    """`file` holds everything; it need not exist yet."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[Any, dict[str, Any]] = (None, {})

    # what a test does

    def fail(
        self, kind: Failure, resource: str = "*", operation: str = "create", *, times: int = 1, seconds: float = 0
    ) -> None:
        """Make the next `times` operations (create, update, delete, read) on Pulumi names like `resource` fail."""
        with self._changing() as data:
            data["failures"].append([kind, resource, operation, times, seconds])

    def left(self) -> int:
        """How many failures are still to come."""
        with self._reading() as data:
            return sum(entry[3] for entry in data["failures"])

    def enable(self, *apis: str, project: str = "*") -> None:
        """Count APIs as enabled that no projects.Service of the program enables; `*` is all of them."""
        with self._changing() as data:
            data["enabled"].setdefault(project, []).extend(apis)

    def seed(self, token: str, inputs: dict[str, Any], project: str) -> str:
        """Something that exists already, made by others; returns its id."""
        with self._changing() as data:
            return self._put(data, resource_types.get(token), inputs, {"project": project}, {})["id"]

    def change(self, name: str, **inputs: Any) -> None:
        """Give the one resource whose id ends with `name` other inputs, as somebody at the console would."""
        with self._changing() as data:
            row = self._one(data, name)
            row["inputs"].update(inputs)
            row["outputs"].update(inputs)

    def remove(self, name: str) -> None:
        """Delete the one resource whose id ends with `name`, behind Pulumi's back."""
        with self._changing() as data:
            del data["resources"][self._one(data, name)["key"]]

    def ids(self, title: str = "") -> list[str]:
        """What exists, of type `title` (`NodePool`) or of all."""
        with self._reading() as data:
            return sorted(r["id"] for r in data["resources"].values() if title in ("", r["title"]))

    def made(self) -> list[str]:
        """`create <id>` and so on, in order: everything that was ever done."""
        with self._reading() as data:
            return list(data["log"])

    # what the provider does

    def due(self, operation: str, resource: str) -> Ordered | None:
        """The failure switched on for this, counted down."""
        if not self.left():
            return None
        with self._changing() as data:
            for entry in data["failures"]:
                kind, pattern, on, left, seconds = entry
                if on == operation and left and fnmatchcase(resource, pattern):
                    entry[3] -= 1
                    return Ordered(Failure(kind), seconds)
        return None

    def create(
        self, token: Token, inputs: dict[str, Any], config: dict[str, Any], labels: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Make it; returns its id and outputs. Raises `Refusal`."""
        with self._changing() as data:
            facts = computed_outputs.Facts(token, inputs, config)
            self._check(token, inputs, facts, config, data)
            row = self._put(data, token, inputs, config, labels)
            data["log"].append(f"create {row['id']}")
            return row["id"], row["outputs"]

    def update(
        self, token: Token, id_: str, inputs: dict[str, Any], olds: dict[str, Any], config: dict[str, Any], labels: Any
    ) -> dict[str, Any]:
        """Give it new inputs; returns its outputs. Raises `Refusal`."""
        with self._changing() as data:
            row = data["resources"].get(f"{token.kind} {id_}")
            if row is None:
                raise Refusal(f"googleapi: Error 404: The resource '{id_}' was not found, notFound")
            facts = computed_outputs.Facts(token, inputs, config, row["serial"])
            facts.identify(token)
            self._check(token, inputs, facts, config, data)
            row.update(inputs=inputs, outputs=computed_outputs.outputs(token, inputs, facts, labels, olds=olds))
            data["log"].append(f"update {id_}")
            return row["outputs"]

    def read(self, token: Token, id_: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Inputs and outputs, or None when it is gone."""
        with self._reading() as data:
            row = data["resources"].get(f"{token.kind} {id_}")
            return (row["inputs"], row["outputs"]) if row else None

    def delete(self, token: Token, id_: str, inputs: dict[str, Any]) -> None:
        """Remove it and its parts. Raises `Refusal` while something else needs it, or it holds data."""
        with self._changing() as data:
            row = data["resources"].get(f"{token.kind} {id_}")
            if row is None:
                return
            rows = data["resources"].values()
            _refuse(reference_checks.in_use(row, inputs, rows))
            for gone in (row, *reference_checks.parts(row, rows)):
                del data["resources"][gone["key"]]
                data["log"].append(f"delete {gone['id']}")
            if token.name == reference_checks.SERVICE and not inputs.get("disableOnDestroy"):
                data["enabled"].setdefault(row["project"], []).append(inputs["service"].split(".")[0])

    # how it is kept

    @contextmanager
    def _reading(self) -> Iterator[dict[str, Any]]:
        """The contents; read again only when the file is another one."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            mark = self._mark()
            if mark is None:
                yield {"resources": {}, "enabled": {}, "failures": [], "log": [], "serial": 0}
                return
            if self._seen[0] != mark:
                self._seen = (mark, json.loads(self._file.read_text()))
            yield self._seen[1]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """The contents, written back unless the block raises."""
        with self._reading() as data:
            self._seen = (None, {})
            yield data
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(data))
            fresh.replace(self._file)
            self._seen = (self._mark(), data)

    def _mark(self) -> Any:
        """Changes with the file: each write makes a new one."""
        if not self._file.exists():
            return None
        about = self._file.stat()
        return about.st_ino, about.st_mtime_ns, about.st_size

    def _put(self, data: dict[str, Any], token: Token, inputs: Any, config: Any, labels: Any) -> dict[str, Any]:
        data["serial"] += "{serial}" in token.id
        facts = computed_outputs.Facts(token, inputs, config, data["serial"])
        id_ = facts.identify(token)
        key = f"{token.kind} {id_}"
        if key in data["resources"] and not token.again:
            raise Refusal(TEXTS[Failure.CONFLICT].format(id=id_))
        data["resources"][key] = {
            "key": key,
            "id": id_,
            "title": token.title,
            "token": token.name,
            "project": facts.get("project", ""),
            "serial": data["serial"],
            "names": [
                id_,
                *(computed_outputs.fill(name, facts) for given, name in token.also.items() if given in inputs),
            ],
            "inputs": inputs,
            "outputs": computed_outputs.outputs(token, inputs, facts, labels),
        }
        return data["resources"][key]

    def _check(
        self, token: Token, inputs: Any, facts: computed_outputs.Facts, config: Any, data: dict[str, Any]
    ) -> None:
        """Of another project than the provider's, nothing is known: all of it counts as there."""
        project, plain, rows = str(facts.get("project", "")), bare(inputs), data["resources"].values()
        if project == config.get("project", project):
            by_others = [*data["enabled"].get("*", []), *data["enabled"].get(project, [])]
            _refuse(reference_checks.not_enabled(token, project, rows, by_others))
            _refuse(reference_checks.not_found(token, plain, (project, facts["number"]), rows))
        _refuse(
            reference_checks.no_such_member(str(plain.get("member", "")), str(config.get("project", project)), rows)
        )

    def _one(self, data: dict[str, Any], name: str) -> dict[str, Any]:
        found = [row for row in data["resources"].values() if row["id"].endswith(name)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources end with {name}; there are {sorted(data['resources'])}")
        return found[0]


def _refuse(reason: str | None) -> None:
    if reason:
        raise Refusal(reason)
