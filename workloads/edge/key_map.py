"""The file with API keys: one line `SHA256_OF_KEY NAME` a key, a map file of HAProxy's. Standard library."""

from __future__ import annotations

import re
from pathlib import Path

LINE = re.compile(r"([0-9a-f]{64}) ([A-Za-z0-9._-]{1,64})")


def read(file: Path) -> dict[str, str]:
    """Return SHA-256 of a key -> its name; empty without the file. Other lines do not count."""
    try:
        return parse(file.read_text())
    except FileNotFoundError:
        return {}


def parse(text: str) -> dict[str, str]:
    """Return SHA-256 of a key -> its name. Other lines do not count."""
    found = (LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match is not None}


def text(keys: dict[str, str]) -> str:
    """Return the content of the file."""
    return "".join(f"{digest} {name}\n" for digest, name in keys.items())


def write(file: Path, keys: dict[str, str]) -> None:
    """Replace a file with these keys. Only its owner can read it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text(keys))
    new.replace(file)
