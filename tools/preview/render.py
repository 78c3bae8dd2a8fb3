"""Explain a preview in plain language: resources, requests, policies, GPUs, cost and quota.

    python -m tools.preview.render FILE [STACK]

FILE is the record of a preview (tools/preview/events.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tools.preview.events import CHANGES, Operation, Preview, ResourceChange, changed, counts, property_diffs, read
from tools.preview.gpu_cost import gpu_cost_and_quota
from tools.preview.impact import destructive_changes, request_impact
from tools.preview.text import join_names


def summary(preview: Preview, stack: str = "") -> str:
    """Return the whole text. It reads the same on a terminal and as Markdown."""
    blocks = [_headline(preview, stack)]
    sections: Sequence[tuple[str, Iterable[str]]] = (
        ("THIS PREVIEW FAILED. The rest may be incomplete:", preview.errors),
        ("DESTRUCTIVE CHANGES:", destructive_changes(preview)),
        ("WARNINGS:", preview.warnings),
        ("Policies:", _policies(preview)),
        ("Changes:", _changes(preview)),
        ("Effect on requests:", request_impact(preview)),
        ("GPUs, cost and quota:", gpu_cost_and_quota(preview)),
    )
    for title, lines in sections:
        # Each item stays on one line, whatever characters a name or a value contains.
        if items := [f"- {' '.join(line.split())}" for line in lines]:
            blocks.append("\n".join([title, "", *items]))
    return "\n\n".join(blocks) + "\n"


def _headline(preview: Preview, stack: str) -> str:
    prefix = f"{stack}: " if stack else ""
    if not any(counts(preview).values()):
        return f"{prefix}no change." if not preview.errors else f"{prefix}the preview failed before it found a change."
    stay = sum(change.operation is Operation.UNCHANGED for change in preview.changes)
    parts = ", ".join(f"{n} {operation}" for operation, n in counts(preview).items())
    return f"{prefix}{parts}" + (f", {stay} unchanged." if preview.complete else ".")


def _changes(preview: Preview) -> Iterator[str]:
    """Yield one line an operation, with the resources by type."""
    for operation in CHANGES:
        by_label: dict[str, list[ResourceChange]] = {}
        for change in changed(preview):
            if change.operation is operation:
                by_label.setdefault(change.label, []).append(change)
        if by_label:
            parts = (f"{label} {join_names(c.name for c in own)}{_values(own)}" for label, own in by_label.items())
            yield f"{operation}: {'; '.join(parts)}"


def _values(changes: Sequence[ResourceChange]) -> str:
    """Return the changed values of a single update, if they are short."""
    if len(changes) != 1 or changes[0].operation is not Operation.UPDATED or not 0 < len(changes[0].diff_kinds) <= 2:
        return ""
    parts = [f"{path} {old} -> {new}" for path, _, old, new in property_diffs(changes[0])]
    return f" ({', '.join(parts)})" if sum(map(len, parts)) <= 80 else ""


def _policies(preview: Preview) -> Iterator[str]:
    """Yield the violations, mandatory ones first. Resources with the same message share a line."""
    found: dict[tuple[bool, str, str, str], set[str]] = {}
    for each in preview.violations:
        key = (each.level != "mandatory", each.policy, each.level, each.message)
        found.setdefault(key, set()).add(each.resource)
    for (_, policy, level, message), resources in sorted(found.items()):
        on = f" ({join_names(filter(None, resources))})" if any(resources) else ""
        yield f"{level}{' (`up` fails)' if level == 'mandatory' else ''}: {policy}{on}: {message}"
    if preview.evaluated_policies and preview.changes and not found:
        yield f"no violation: {len(preview.evaluated_policies)} policies checked every resource"


if __name__ == "__main__":
    print(summary(read(Path(sys.argv[1]).read_text()), sys.argv[2] if len(sys.argv) > 2 else ""), end="")
