"""Prints what does not work together with the versions pinned now; exit status 1 with `--strict` if a row is obsolete.

`python -m tools.compatibility [--strict]`, behind `make compat`. The whole table, with sources:
docs/reference/compatibility.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

import versions
from config.compatibility import NOTES, ROWS, Row, obsolete

BRACES = re.compile(r"\{\w+\}")
"""What a rule fills in with what was written."""


def lines(rows: Sequence[Row] = ROWS, ray: str = versions.RAY) -> Iterator[str]:
    """What a person reads."""
    live = [row for row in rows if row.holds(ray)]
    yield f"Ray {ray} (oldest that is accepted: {versions.RAY_FLOOR}). Refused when settings are read:"
    for row in live:
        name = row.rule.id.removeprefix("compatibility.")
        yield f"  {name:<20}{BRACES.sub('…', row.rule.wrong)}  [Ray: {row.span}; {row.rule.source}]"
    yield ""
    yield "Never written by this stack:"
    for note in NOTES:
        yield f"  {note.part.value:<20}{note.what}  [{note.source}]"
    for row in obsolete(rows, ray):
        yield f"obsolete: {row.rule.id} since Ray {row.until}: take it out, or read its source again"


def compat(*, strict: bool = False, rows: Sequence[Row] = ROWS, ray: str = versions.RAY) -> int:
    """Print; the exit status."""
    print("\n".join(lines(rows, ray)))
    return int(strict and bool(obsolete(rows, ray)))


if __name__ == "__main__":
    sys.exit(compat(strict="--strict" in sys.argv[1:]))
