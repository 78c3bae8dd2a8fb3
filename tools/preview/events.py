"""Read the record of a preview into a `Preview`.

The record is the file that `pulumi preview --event-log` writes, or the output of `pulumi preview --json` (with
--show-sames, because otherwise it leaves out unchanged resources and their GPUs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pulumi.automation.events import DiagnosticEvent, PolicyEvent, StepEventMetadata, StepEventStateMetadata

from config.google.pricing import PricedNodePool
from policies import resource_types as types
from tools.preview.secrets import SECRET, display, is_secret_path, value_at


class Operation(StrEnum):
    """A resource's change, in the words of the summary."""

    REPLACED = "replaced"
    DESTROYED = "destroyed"
    UPDATED = "updated"
    CREATED = "created"
    UNCHANGED = "unchanged"


CHANGES = (Operation.REPLACED, Operation.DESTROYED, Operation.UPDATED, Operation.CREATED)
"""Operations that change something, the ones with the worst consequences first."""
OPERATIONS = {
    "create": Operation.CREATED,
    "import": Operation.CREATED,
    "replace": Operation.REPLACED,
    "delete": Operation.DESTROYED,
    "update": Operation.UPDATED,
    "same": Operation.UNCHANGED,
    "refresh": Operation.UNCHANGED,
}
"""Pulumi's step -> operation. Steps that are not here are skipped: `create-replacement` and `delete-replaced` are the
halves of a `replace`."""
REPLACE_STEPS = ("replace", "create-replacement")

LABELS = {
    types.CLUSTER: "cluster",
    types.NODE_POOL: "node pool",
    types.REDIS: "Redis instance",
    types.BUCKET: "bucket",
    types.DNS_ZONE: "DNS zone",
    types.DNS_RECORD: "DNS record",
    types.GATEWAY: "Gateway",
    types.HTTP_ROUTE: "HTTPRoute",
    types.RAY_SERVICE: "RayService",
    types.ADDRESS: "load balancer address",
    types.GLOBAL_ADDRESS: "load balancer address",
    types.KMS_KEY: "encryption key",
    types.KMS_KEY_RING: "key ring",
    "gcp:projects/service:Service": "Google API",
    "gcp:projects/serviceIdentity:ServiceIdentity": "Google service agent",
    "gcp:compute/routerNat:RouterNat": "NAT",
    "gcp:gkehub/feature:Feature": "fleet feature",
    "gcp:serviceaccount/account:Account": "service account",
    "gcp:artifactregistry/repository:Repository": "image repository",
    "gcp:compute/firewall:Firewall": "firewall rule",
    "gcp:compute/securityPolicy:SecurityPolicy": "Cloud Armor policy",
}
"""Type token -> name in the text. Every other type has a name derived from its token."""


@dataclass(frozen=True)
class ResourceChange:
    """One resource of the preview, changed or not."""

    operation: Operation
    type: str
    name: str
    old: Mapping[str, Any]
    """Inputs before; empty for a new resource."""
    new: Mapping[str, Any]
    """Inputs after; empty for a deleted resource."""
    diff_kinds: Mapping[str, str] = field(default_factory=dict)
    """Property path -> Pulumi's DiffKind: add, update, delete, or one of them with -replace."""
    replace_keys: tuple[str, ...] = ()
    """Inputs that force a replacement."""
    was_protected: bool = False
    is_protected: bool = False

    @property
    def label(self) -> str:
        """Name of the resource's type, for people."""
        return LABELS.get(self.type) or _type_words(self.type.rpartition(":")[2])

    @property
    def title(self) -> str:
        """Type and name, for people."""
        return f"{self.label} {self.name}"

    @property
    def region(self) -> str:
        """Google region, from the inputs or the name."""
        where = self.new.get("location") or self.new.get("region") or self.old.get("location") or self.old.get("region")
        found = re.search(r"[a-z]+-[a-z]+\d+", self.name)
        return where if isinstance(where, str) else found.group() if found else "its region"


@dataclass(frozen=True)
class PolicyViolation:
    """A violation that a policy reported."""

    policy: str
    level: str
    """Enforcement level: advisory, mandatory, remediate."""
    message: str
    resource: str


@dataclass(frozen=True)
class Preview:
    """The contents of a preview's record."""

    changes: Sequence[ResourceChange]
    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()
    """What the program and Pulumi warn of."""
    violations: Sequence[PolicyViolation] = ()
    evaluated_policies: frozenset[str] = frozenset()
    """Names of the policies that ran; empty without the policy pack."""
    complete: bool = True
    """Whether the record contains unchanged resources too."""

    def node_pools(self, *, after: bool) -> list[PricedNodePool]:
        """Return the node pools before or after the change."""
        own = [change for change in self.changes if change.type == types.NODE_POOL]
        return [PricedNodePool.from_inputs(c.name, side) for c in own if (side := c.new if after else c.old)]


def read(record: str) -> Preview:
    """Return the preview of a record. Raises `ValueError` if the text is not a record of a preview."""
    start = re.search(r"^\{", record, re.MULTILINE)  # warnings may come before
    if start is None:
        raise ValueError("this is not a record of a preview. Use the file of `pulumi preview --event-log`.")
    text = record[start.start() :]
    first, end = json.JSONDecoder().raw_decode(text)
    if "steps" in first or "changeSummary" in first:
        return _from_digest(first)
    rest = (json.loads(line) for line in text[end:].splitlines() if line.strip())
    return _from_events([first, *rest])


def changed(preview: Preview) -> list[ResourceChange]:
    """Return the resources that change, the ones with the worst consequences first."""
    order = {operation: i for i, operation in enumerate(CHANGES)}
    found = (change for change in preview.changes if change.operation in order)
    return sorted(found, key=lambda change: (order[change.operation], change.label, change.name))


def counts(preview: Preview) -> dict[Operation, int]:
    """Return the number of resources that are created, replaced, destroyed and updated."""
    order = (Operation.CREATED, Operation.REPLACED, Operation.DESTROYED, Operation.UPDATED)
    return {operation: sum(c.operation is operation for c in preview.changes) for operation in order}


def property_diffs(change: ResourceChange) -> Iterator[tuple[str, str, str, str]]:
    """Yield (path, DiffKind, value before, value after) of every changed property, without secrets."""
    for path, kind in sorted(change.diff_kinds.items()):
        hidden = change.type.endswith(":Secret") or is_secret_path(path)
        old, new = (SECRET if hidden else display(value_at(side, path)) for side in (change.old, change.new))
        yield path, kind, old, new


def _from_events(events: Iterable[Mapping[str, Any]]) -> Preview:
    steps: list[StepEventMetadata] = []
    errors: list[str] = []
    warnings: list[str] = []
    violations: list[PolicyViolation] = []
    policies: set[str] = set()
    for event in events:
        if "preludeEvent" in event:
            steps, errors, warnings, violations = (
                [],
                [],
                [],
                [],
            )  # `pulumi up` records its preview first, then the update
        elif "resourcePreEvent" in event:
            steps += _steps([event["resourcePreEvent"]["metadata"]])
        elif "diagnosticEvent" in event:
            diagnostic = DiagnosticEvent.from_json(event["diagnosticEvent"])
            errors += [diagnostic.message] if diagnostic.severity == "error" else []
            warnings += [diagnostic.message] if diagnostic.severity == "warning" else []
        elif "policyEvent" in event:
            violations.append(_violation(PolicyEvent.from_json(event["policyEvent"])))
        elif "policyAnalyzeSummaryEvent" in event:
            # pulumi.automation.events has no class for this event (pulumi 3.272), so it is read as JSON.
            summary = event["policyAnalyzeSummaryEvent"]
            policies |= {*(summary.get("passed") or ()), *(summary.get("failed") or ())}
    return _preview(steps, errors, warnings, violations, policies, complete=True)


def _from_digest(digest: Mapping[str, Any]) -> Preview:
    """Read the output of `pulumi preview --json`: the same steps with other field names."""
    steps = [
        {
            "op": step["op"],
            "urn": step["urn"],
            "old": step.get("oldState"),
            "new": step.get("newState"),
            "keys": step.get("replaceReasons"),
            "detailedDiff": {p: {"diffKind": diff["kind"]} for p, diff in (step.get("detailedDiff") or {}).items()},
        }
        for step in digest.get("steps") or []
    ]
    diagnostics = digest.get("diagnostics") or []
    errors = [each.get("message", "") for each in diagnostics if each.get("severity") == "error"]
    warnings = [each.get("message", "") for each in diagnostics if each.get("severity") == "warning"]
    same = (digest.get("changeSummary") or {}).get("same", 0)
    unchanged = sum(OPERATIONS.get(step["op"]) is Operation.UNCHANGED for step in steps)
    return _preview(list(_steps(steps)), errors, warnings, [], (), complete=not same or unchanged >= same)


def _steps(steps: Iterable[Mapping[str, Any]]) -> Iterator[StepEventMetadata]:
    """Yield the steps that matter here. The others may have an operation that `OpType` does not know."""
    for step in steps:
        if step["op"] in OPERATIONS or step["op"] in REPLACE_STEPS:
            yield StepEventMetadata.from_json(dict(step))


def _preview(
    steps: Sequence[StepEventMetadata],
    errors: Iterable[str],
    warnings: Iterable[str],
    violations: Sequence[PolicyViolation],
    policies: Iterable[str],
    *,
    complete: bool,
) -> Preview:
    replace_keys = _replace_keys(steps)
    found: dict[str, ResourceChange] = {}
    for step in steps:
        change = _change(step, replace_keys)
        if change is None:
            continue
        known = found.get(step.urn)
        # A resource may have several steps: one that changes it counts more than one that only reads it.
        if known is None or change.operation is not Operation.UNCHANGED or known.operation is Operation.UNCHANGED:
            found[step.urn] = change
    messages = [_sentence(each) for each in errors]
    return Preview(
        tuple(found.values()),
        tuple(dict.fromkeys(each for each in messages if each and each != "preview failed")),
        tuple(dict.fromkeys(each for each in map(_sentence, warnings) if each)),
        tuple(violations),
        frozenset(policies),
        complete,
    )


def _replace_keys(steps: Iterable[StepEventMetadata]) -> dict[str, tuple[str, ...]]:
    """Return URN -> inputs that force its replacement.

    A resource that is replaced because of another one has them on one of its two halves only.
    """
    found: dict[str, tuple[str, ...]] = {}
    for step in steps:
        if step.op.value in REPLACE_STEPS:
            found[step.urn] = found.get(step.urn) or tuple(step.keys or ())
    return found


def _change(step: StepEventMetadata, replace_keys: Mapping[str, tuple[str, ...]]) -> ResourceChange | None:
    """Return the change of a step; None for a resource that only organizes others, or half of a replacement."""
    old, new = step.old, step.new
    state = new or old
    token = (state.type if state else "") or step.urn.split("::")[2].rpartition("$")[2]
    # Components group resources. The stack, providers and the dynamic resources that wait belong to the program.
    if token.startswith(("rayllm:", "pulumi:", "pulumi-python:dynamic/")):
        return None
    operation = OPERATIONS.get(step.op.value)
    if operation is None:
        return None
    return ResourceChange(
        operation=operation,
        type=token,
        name=step.urn.split("::")[-1],
        old={} if operation is Operation.CREATED else _inputs(old),
        new={} if operation is Operation.DESTROYED else _inputs(new),
        diff_kinds={path: diff.diff_kind.value for path, diff in (step.detailed_diff or {}).items()},
        replace_keys=replace_keys.get(step.urn, ()),
        was_protected=bool(old and old.protect),
        is_protected=bool(new and new.protect),
    )


def _inputs(state: StepEventStateMetadata | None) -> Mapping[str, Any]:
    return (state.inputs if state else None) or {}


def _violation(event: PolicyEvent) -> PolicyViolation:
    resource = (event.resource_urn or "").split("::")[-1]
    return PolicyViolation(event.policy_name, event.enforcement_level, _sentence(event.message), resource)


def _sentence(text: str) -> str:
    """Return Pulumi's message on one line. Replace its advice on protected resources by this project's."""
    text = re.sub(r"<\{%[^%]*%\}>", "", text)  # Pulumi's colour marks
    line = " ".join(text.split())
    line = re.sub(r"^(error|warning): ", "", re.sub(r"Preview failed: ", "", line))
    setting = "`traffic: drained` for its region" if ":RayService::" in line else "`protect: false`"
    line = re.sub(r'resource "urn:[^"]*::([^":]+)"', r"\1", line)
    return re.sub(r" ?To unprotect the resource,.*", f" Set {setting} first, in a separate change.", line)


def _type_words(name: str) -> str:
    """Return the words of a type name: `ServiceAccount` -> service account, `IAMMember` -> IAM member."""
    parts = re.findall(r"I[Aa][Mm](?=[A-Z]|$)|[A-Z]+(?![a-z])|[A-Z][a-z]+", name) or [name]
    return " ".join("IAM" if part.upper() == "IAM" else part if part.isupper() else part.lower() for part in parts)
