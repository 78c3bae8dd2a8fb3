"""Find the name that a misspelt one stands for, without changing its meaning."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

LONG_WORD = 8
"""Letters from which two mistakes in one word are still a misspelling of it."""


def find_misspelt(name: str, known: Iterable[str], words: Collection[str] = ()) -> str | None:
    """Return the one of `known` that `name` can only be a misspelling of, or None.

    The letters are the same apart from capitals, hyphens and underscores; or one word differs by a letter or two, has
    the same digits, and is none of `words`: `min_nodes` never stands for `max_nodes`, nor `boot_disk_type` for another
    key of the disk.
    """
    names = list(known)
    same = [each for each in names if _letters(each) == _letters(name)]
    found = same or [each for each in names if _differs_by_a_mistake(_words(name), _words(each), words)]
    return found[0] if len(found) == 1 else None


def words_of(names: Iterable[str]) -> frozenset[str]:
    """Return the words of names such as `boot_disk_gib`."""
    return frozenset(word for name in names for word in _words(name))


def _differs_by_a_mistake(wrong: list[str], right: list[str], words: Collection[str]) -> bool:
    pairs = [(w, r) for w, r in zip(wrong, right, strict=False) if w != r]
    if len(wrong) != len(right) or len(pairs) != 1:
        return False
    ((word, meant),) = pairs
    if word in words or re.findall(r"\d", word) != re.findall(r"\d", meant):
        return False
    return _distance(word, meant) <= (2 if min(len(word), len(meant)) >= LONG_WORD else 1)


def _distance(a: str, b: str) -> int:
    """Return the insertions, deletions, replacements and swaps of neighbours between two words."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(rows[-1][j] + 1, row[j - 1] + 1, rows[-1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def _letters(name: str) -> str:
    return re.sub(r"[-_ .]", "", name).lower()


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[-_ .]", name.lower()) if word]
