"""Pages that tests write for docs/operations: what they saw, where `RAYLLM_RECORD=1` asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from paths import CHECKOUT

FOLDER = CHECKOUT / "docs" / "operations"
WRITTEN = "<!-- Written by tests/node, RAYLLM_RECORD=1, on a node of two CPU cores with a tiny model. -->\n\n"


@dataclass(frozen=True)
class Page:
    """Rows of a table, whose own head ends `head`; or blocks of a transcript."""

    name: str
    head: str
    rows: list[str] = field(default_factory=list)

    def row(self, *cells: object) -> None:
        self._add("| " + " | ".join(str(each) for each in cells) + " |\n")

    def block(self, title: str, lines: Iterable[str]) -> None:
        self._add("\n".join([f"\n## {title}\n", "```text", *lines, "```\n"]))

    def _add(self, text: str) -> None:
        """Written at once: a run may end early."""
        print("\n" + text)
        self.rows.append(text)
        if os.environ.get("RAYLLM_RECORD"):
            (FOLDER / self.name).write_text(WRITTEN + self.head + "".join(self.rows))
