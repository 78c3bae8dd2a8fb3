"""Write what the tests of a node measured into docs/measurements.md.

The page has one section for each table or transcript. A section's text is written by hand; the lines between its two
markers are written by a test, with `RAYLLM_RECORD=1`. A test replaces its own section and leaves the others alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from paths import CHECKOUT

PAGE = CHECKOUT / "docs" / "measurements.md"
RECORD = "RAYLLM_RECORD"
"""Environment variable that turns writing on."""


@dataclass(frozen=True)
class Section:
    """One section of the page: the rows of a table, or the blocks of a transcript."""

    name: str
    """Name in the section's markers."""
    head: str = ""
    """Lines in front of the first row: the head of a table."""
    page: Path = PAGE
    rows: list[str] = field(default_factory=list)

    def row(self, *cells: object) -> None:
        """Add a row to the section's table."""
        self._add("| " + " | ".join(str(each) for each in cells) + " |\n")

    def block(self, title: str, lines: Iterable[str]) -> None:
        """Add a heading and a block of output."""
        self._add("\n".join([f"\n### {title}\n", "```text", *lines, "```\n"]))

    def _add(self, text: str) -> None:
        """Print `text`, and write the section at once, because a run may end early."""
        print("\n" + text)
        self.rows.append(text)
        if os.environ.get(RECORD):
            self.page.write_text(replace_section(self.page.read_text(), self.name, self.head + "".join(self.rows)))


def replace_section(page: str, name: str, content: str) -> str:
    """Return `page` with `content` between the markers of section `name`.

    Raises ValueError if the page does not have both markers exactly once, in this order.
    """
    begin, end = markers(name)
    before, begins, rest = page.partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends or begin in rest or end in after:
        raise ValueError(f"docs/measurements.md needs one section between {begin!r} and {end!r}: write both markers.")
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def markers(name: str) -> tuple[str, str]:
    """Return the two comments that enclose section `name`."""
    return f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
