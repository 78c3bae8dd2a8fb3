"""The stand-in's Google: what exists, in one JSON file under a lock, and the failures that a test has switched on.

A test uses `Cloud` from outside to seed what others made, to change or remove things behind Pulumi's back, to make an
operation fail, and to see what there is. The provider uses the same object. Values keep Pulumi's secret envelopes.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.rig.google import assigned, tokens
from tests.rig.google.tokens import Token
from tests.rig.google.wire import UNKNOWN, at, bare

SERVICE = "gcp:projects/service:Service"
DEFAULT_APIS = ("storage", "monitoring", "logging", "serviceusage")
"""Enabled in a new project (cloud.google.com/service-usage/docs/enabled-service)."""


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
NOT_ENABLED = (  # hashicorp/terraform-provider-google#2971
    "googleapi: Error 403: {api} has not been used in project {project} before or it is disabled. Enable it by "
    "visiting https://console.developers.google.com/apis/api/{api}/overview?project={project} then retry., "
    "accessNotConfigured"
)


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

    # what a test does

    def fail(
        self, kind: Failure, resource: str = "*", operation: str = "create", *, times: int = 1, seconds: float = 0
    ) -> None:
        """Make the next `times` operations (create, update, delete, read) on Pulumi names like `resource` fail."""
        with self._open() as data:
            data["failures"].append([kind, resource, operation, times, seconds])

    def recover(self) -> None:
        """Switch all failures off."""
        with self._open() as data:
            data["failures"].clear()

    def left(self) -> int:
        """How many failures are still to come."""
        with self._open() as data:
            return sum(entry[3] for entry in data["failures"])

    def enable(self, *apis: str, project: str = "*") -> None:
        """Count APIs as enabled that no projects.Service of the program enables; `*` is all of them."""
        with self._open() as data:
            data["enabled"].setdefault(project, []).extend(apis)

    def seed(self, token: str, inputs: dict[str, Any], project: str) -> str:
        """Something that exists already, made by others; returns its id."""
        row = tokens.known()[token]
        with self._open() as data:
            facts = self._facts(data, row, inputs, {"project": project})
            self._put(data, row, facts, inputs, assigned.outputs(row, inputs, facts, {}))
        return facts["id"]

    def change(self, name: str, **inputs: Any) -> None:
        """Give the one resource whose id ends with `name` other inputs, as somebody at the console would."""
        with self._open() as data:
            for part in ("inputs", "outputs"):
                self._one(data, name)[part].update(inputs)

    def remove(self, name: str) -> None:
        """Delete the one resource whose id ends with `name`, behind Pulumi's back."""
        with self._open() as data:
            del data["resources"][self._one(data, name)["key"]]

    def ids(self, title: str = "") -> list[str]:
        """What exists, of type `title` (`NodePool`) or of all."""
        with self._open() as data:
            return sorted(r["id"] for r in data["resources"].values() if not title or r["title"] == title)

    def made(self) -> list[str]:
        """`create <id>` and so on, in order: everything that was ever done."""
        with self._open() as data:
            return list(data["log"])

    # what the provider does

    def due(self, operation: str, resource: str) -> Ordered | None:
        """The failure switched on for this, counted down."""
        with self._open() as data:
            for entry in data["failures"]:
                kind, pattern, on, left, seconds = entry
                if on == operation and left and fnmatchcase(resource, pattern):
                    entry[3] -= 1
                    return Ordered(Failure(kind), seconds)
        return None

    def create(self, token: Token, inputs: dict[str, Any], config: dict[str, Any], labels: dict[str, Any]) -> str:
        """Make it and return its id. Raises `Refusal`."""
        with self._open() as data:
            facts = self._facts(data, token, inputs, config)
            self._enabled(data, token, facts)
            self._present(data, token, facts, bare(inputs))
            if facts["key"] in data["resources"] and not token.again:
                raise Refusal(TEXTS[Failure.CONFLICT].format(id=facts["id"]))
            self._put(data, token, facts, inputs, assigned.outputs(token, inputs, facts, labels))
            data["log"].append(f"create {facts['id']}")
            return facts["id"]

    def update(
        self, token: Token, id_: str, inputs: dict[str, Any], olds: dict[str, Any], config: dict[str, Any], labels: Any
    ) -> None:
        """Give it new inputs. Raises `Refusal`."""
        with self._open() as data:
            row = data["resources"].get(f"{token.kind} {id_}")
            if row is None:
                raise Refusal(f"googleapi: Error 404: The resource '{id_}' was not found, notFound")
            facts = assigned.Facts(token, inputs, config, row["serial"])
            facts.identify(token)
            self._present(data, token, facts, bare(inputs))
            row.update(inputs=inputs, outputs=assigned.outputs(token, inputs, facts, labels, olds=olds))
            data["log"].append(f"update {id_}")

    def read(self, token: Token, id_: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Inputs and outputs, or None when it is gone."""
        with self._open() as data:
            row = data["resources"].get(f"{token.kind} {id_}")
            return (row["inputs"], row["outputs"]) if row else None

    def delete(self, token: Token, id_: str, inputs: dict[str, Any]) -> None:
        """Remove it and its parts. Raises `Refusal` while something else needs it, or it holds data."""
        with self._open() as data:
            key = f"{token.kind} {id_}"
            row = data["resources"].get(key)
            if row is None:
                return
            if row["inputs"].get("objects") and not inputs.get("forceDestroy"):
                raise Refusal(f"Error trying to delete bucket {id_} without `force_destroy` set to true")
            parts = [k for k, r in data["resources"].items() if self._names(row, r, "parent")]
            users = [r["id"] for k, r in data["resources"].items() if k not in parts and self._names(row, r, "refers")]
            if users:
                raise Refusal(
                    f"googleapi: Error 400: The {token.title} resource '{id_}' is already being used by '{users[0]}', "
                    "resourceInUseByAnotherResource"
                )
            for gone in (key, *parts):
                data["log"].append(f"delete {data['resources'].pop(gone)['id']}")
            if token.name == SERVICE and not inputs.get("disableOnDestroy"):
                data["enabled"].setdefault(row["project"], []).append(inputs["service"].split(".")[0])

    # how it is kept

    @contextmanager
    def _open(self) -> Iterator[dict[str, Any]]:
        """The contents, written back if the block does not raise."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            text = self._file.read_text() if self._file.exists() else ""
            empty = {"resources": {}, "enabled": {}, "failures": [], "log": [], "serial": 0}
            data = json.loads(text) if text else empty
            yield data
            after = json.dumps(data, indent=1)
            if after != text:
                fresh = self._file.with_suffix(".new")
                fresh.write_text(after)
                fresh.replace(self._file)

    def _facts(
        self, data: dict[str, Any], token: Token, inputs: dict[str, Any], config: dict[str, Any]
    ) -> assigned.Facts:
        if "{serial}" in token.id:
            data["serial"] += 1
        facts = assigned.Facts(token, inputs, config, data["serial"])
        facts["key"] = f"{token.kind} {facts.identify(token)}"
        return facts

    def _put(
        self, data: dict[str, Any], token: Token, facts: assigned.Facts, inputs: dict[str, Any], outputs: dict[str, Any]
    ) -> None:
        names = [facts["id"], *(assigned.fill(t, facts) for given, t in token.also.items() if given in inputs)]
        data["resources"][facts["key"]] = {
            "key": facts["key"],
            "id": facts["id"],
            "title": token.title,
            "token": token.name,
            "project": facts.get("project", ""),
            "serial": facts["serial"],
            "names": names,
            "inputs": inputs,
            "outputs": outputs,
        }

    def _one(self, data: dict[str, Any], name: str) -> dict[str, Any]:
        found = [r for r in data["resources"].values() if r["id"].endswith(name)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources end with {name}; there are {sorted(data['resources'])}")
        return found[0]

    # what Google checks

    def _enabled(self, data: dict[str, Any], token: Token, facts: assigned.Facts) -> None:
        project = str(facts.get("project", ""))
        enabled = {*DEFAULT_APIS, *data["enabled"].get("*", []), *data["enabled"].get(project, [])}
        enabled |= {
            bare(r["inputs"])["service"].split(".")[0]
            for r in data["resources"].values()
            if r["token"] == SERVICE and r["project"] == project
        }
        if token.needs and token.needs not in enabled and "*" not in enabled:
            raise Refusal(NOT_ENABLED.format(api=f"{token.needs}.googleapis.com", project=project))

    def _present(self, data: dict[str, Any], token: Token, facts: assigned.Facts, inputs: dict[str, Any]) -> None:
        """Everything of this project that the inputs refer to exists."""
        project = str(facts.get("project", ""))
        for path, kind in {**token.parent, **token.refers}.items():
            for value in at(inputs, path):
                elsewhere = (m := re.search(r"projects/([^/]+)/", str(value))) and m.group(1) not in (
                    project,
                    facts["number"],
                )
                if (
                    value != UNKNOWN
                    and not elsewhere
                    and not any(_is(r, kind, value) for r in data["resources"].values())
                ):
                    raise Refusal(
                        f"googleapi: Error 404: The resource '{value}' was not found ({token.title}.{path}), notFound"
                    )
        member = str(inputs.get("member", ""))
        address = member.removeprefix("serviceAccount:")
        outputs = [bare(r["outputs"]) for r in data["resources"].values()]
        ours = address.endswith(f"@{project}.iam.gserviceaccount.com") or re.search(r"@gcp-sa-[\w-]+\.iam\.", address)
        if ours and not any(o.get("email") == address for o in outputs):
            raise Refusal(f"googleapi: Error 400: Service account {address} does not exist., badRequest")
        pool = f"{project}.svc.id.goog"
        if pool in member and not any(pool in at(o, "workloadIdentityConfig.workloadPool") for o in outputs):
            raise Refusal(
                f"googleapi: Error 400: Identity Pool does not exist ({pool}). Please check that you specified "
                "a valid resource name as returned in the `name` attribute in the configuration API., badRequest"
            )

    def _names(self, row: dict[str, Any], other: dict[str, Any], how: str) -> bool:
        """Whether `other` names `row` as its parent, or as something it refers to."""
        token = tokens.known()[other["token"]]
        named = token.parent if how == "parent" else token.refers
        inputs = bare(other["inputs"])
        return any(_is(row, kind, value) for path, kind in named.items() for value in at(inputs, path))


def _is(row: dict[str, Any], kind: str, value: Any) -> bool:
    """Whether `value` (a name, a path or a self link) means this resource, of type `kind` or known under its names."""
    text = str(value)
    if "projects/" in text:
        path = text[text.index("projects/") :]
        return path in row["names"] or path == bare(row["outputs"]).get("name")
    return row["key"].startswith(f"{kind} ") and text in (
        row["id"],
        row["id"].split("/")[-1],
        bare(row["outputs"]).get("email"),
    )
