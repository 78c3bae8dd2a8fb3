"""HAProxy's configuration as sections of lines: parse it, find and change lines, and write it again.

Comments and blank lines stay where they are. Standard library only: it runs in Ray's image and in `.venv-ray`.
Source of the syntax: HAProxy 2.8 configuration manual, 2.2 (quoting and escaping) and 2.1 (sections).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

SECTIONS = frozenset({"global", "defaults", "frontend", "backend", "listen"})
"""Keywords that begin a section, as far as Ray writes them. A word at the start of a line that is none of them is no
configuration that this module knows."""
INDENT = "    "
_WORD = re.compile(r"""(?:[^\s"'\\#]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""")


class UnknownConfig(Exception):
    """The configuration is not one that this module or its caller knows. The message is a sentence."""


@dataclass
class Section:
    """One section: its keyword, its name (empty for `global` and `defaults`) and the lines below it."""

    keyword: str
    name: str = ""
    lines: list[str] = field(default_factory=list)

    def directives(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the index and the words of each line that is no comment."""
        for index, line in enumerate(self.lines):
            if found := words(line):
                yield index, found

    def index_of(self, *start: str) -> int:
        """Return the index of the one line that begins with these words. Raises UnknownConfig if there is not one."""
        found = [index for index, each in self.directives() if tuple(each[: len(start)]) == start]
        if len(found) != 1:
            raise UnknownConfig(f"section `{self.title}` has {len(found)} lines `{' '.join(start)}` instead of one")
        return found[0]

    def has(self, *start: str) -> bool:
        """Return True if a line begins with these words."""
        return any(tuple(each[: len(start)]) == start for _, each in self.directives())

    def insert(self, index: int, lines: Iterable[str]) -> None:
        """Insert lines, without their indentation, before the line at `index`."""
        self.lines[index:index] = [INDENT + line for line in lines]

    def append(self, lines: Iterable[str]) -> None:
        """Add lines, without their indentation, at the end of the section."""
        self.lines += [INDENT + line for line in lines]

    def replace(self, index: int, line: str) -> None:
        """Replace the line at `index`."""
        self.lines[index] = INDENT + line

    @property
    def title(self) -> str:
        """The line that begins the section."""
        return f"{self.keyword} {self.name}".rstrip()


@dataclass
class Config:
    """A whole configuration."""

    preamble: list[str]
    """Lines before the first section: comments and blank lines."""
    sections: list[Section]

    def section(self, keyword: str, name: str = "") -> Section:
        """Return a section. Raises UnknownConfig if there is not exactly one."""
        found = [each for each in self.sections if (each.keyword, each.name) == (keyword, name)]
        if len(found) != 1:
            raise UnknownConfig(f"it has {len(found)} sections `{keyword} {name}`".rstrip() + " instead of one")
        return found[0]

    def text(self) -> str:
        """Return the configuration as text."""
        lines = [*self.preamble]
        for each in self.sections:
            lines += [each.title, *each.lines]
        return "\n".join(lines) + "\n"


def words(line: str) -> list[str]:
    """Return the words of a line, quotes and backslashes as written; none of a comment or a blank line."""
    return [match.group() for match in _WORD.finditer(_without_comment(line))]


def parse(text: str) -> Config:
    """Return the sections of a configuration. Raises UnknownConfig if a line stands outside of a known section."""
    config = Config([], [])
    for line in text.splitlines():
        found = words(line)
        if found and not line[:1].isspace():
            if found[0] not in SECTIONS:
                raise UnknownConfig(f"`{line.strip()[:80]}` begins no section that is known")
            config.sections.append(Section(found[0], " ".join(found[1:])))
        elif config.sections:
            config.sections[-1].lines.append(line)
        elif found:
            raise UnknownConfig(f"`{line.strip()[:80]}` stands before the first section")
        else:
            config.preamble.append(line)
    return config


def quoted(text: str) -> str:
    """Return `text` as one word in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def _without_comment(line: str) -> str:
    quote = ""
    skip = False
    for index, char in enumerate(line):
        if skip:
            skip = False
        elif char == "\\" and quote != "'":
            skip = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#":
            return line[:index]
    return line
