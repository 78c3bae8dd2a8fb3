"""Prints what does not work together with the versions pinned now; exit status 1 with `--strict` if a row is obsolete.

`python -m tools.compatibility [--strict]`, behind `make compat`. The whole table, with sources:
docs/reference/compatibility.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

import versions
from config.compatibility import INCOMPATIBILITIES, UPSTREAM_LIMITS, Incompatibility, expired

BRACES = re.compile(r"\{\w+\}")
"""What a rule fills in with what was written."""


def lines(rows: Sequence[Incompatibility] = INCOMPATIBILITIES, ray: str = versions.RAY) -> Iterator[str]:
    """What a person reads."""
    live = [row for row in rows if row.applies_to(ray)]
    yield f"Ray {ray} (oldest that is accepted: {versions.RAY_FLOOR}). Refused when settings are read:"
    for row in live:
        name = row.rule.id.removeprefix("compatibility.")
        yield f"  {name:<20}{BRACES.sub('…', row.rule.problem)}  [Ray: {row.ray_versions}; {row.rule.source}]"
    yield ""
    yield "Never written by this stack:"
    for note in UPSTREAM_LIMITS:
        yield f"  {note.component.value:<20}{note.behaviour}  [{note.source}]"
    for row in expired(rows, ray):
        yield f"obsolete: {row.rule.id} since Ray {row.until}: take it out, or read its source again"


def compat(
    *, strict: bool = False, rows: Sequence[Incompatibility] = INCOMPATIBILITIES, ray: str = versions.RAY
) -> int:
    """Print; the exit status."""
    print("\n".join(lines(rows, ray)))
    return int(strict and bool(expired(rows, ray)))


if __name__ == "__main__":
    sys.exit(compat(strict="--strict" in sys.argv[1:]))
