"""Print what does not work with the pinned Ray, or with another version (`make compat`, `make compat RAY=2.57.1`).

    python -m tools.compatibility [--strict] [VERSION]

With `--strict` the exit status is 1 if a row has expired: the pinned Ray no longer has the problem. The whole table,
with sources: docs/reference/compatibility.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

import versions
from config.compatibility import INCOMPATIBILITIES, Incompatibility, expired
from config.upstream_limits import UPSTREAM_LIMITS

BRACES = re.compile(r"\{\w+\}")
"""A value from the stack's file in the text of a rule."""


def lines(rows: Sequence[Incompatibility] = INCOMPATIBILITIES, ray: str = versions.RAY) -> Iterator[str]:
    """Yield the lines to print."""
    live = [row for row in rows if row.applies_to(ray)]
    yield f"Ray {ray} (oldest accepted: {versions.RAY_FLOOR}). Configuration errors:"
    for row in live:
        name = row.rule.id.removeprefix("compatibility.")
        yield f"  {name:<20}{BRACES.sub('…', row.rule.problem)}  [Ray: {row.ray_versions}; {row.rule.source}]"
    yield ""
    yield "Upstream limits that settings cannot change:"
    for note in UPSTREAM_LIMITS:
        if note.applies_to(ray):
            yield f"  {note.component.value:<20}{note.behaviour}  [Ray: {note.ray_versions}; {note.source}]"
    for row in expired(rows, ray):
        yield f"expired: {row.rule.id} since Ray {row.until}. Remove the row, or check its source again."


def compat(
    *, strict: bool = False, rows: Sequence[Incompatibility] = INCOMPATIBILITIES, ray: str = versions.RAY
) -> int:
    """Print the table. Return 1 with `strict` if a row has expired, else 0."""
    print("\n".join(lines(rows, ray)))
    return int(strict and bool(expired(rows, ray)))


if __name__ == "__main__":
    options = [argument for argument in sys.argv[1:] if argument]
    wanted = next((option for option in options if not option.startswith("-")), versions.RAY)
    sys.exit(compat(strict="--strict" in options, ray=wanted))
