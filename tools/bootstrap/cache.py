"""The build cache outside the checkout, and its lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def cache() -> Path:
    """Where builds are kept: `$XDG_CACHE_HOME/rayllm`, by default `~/.cache/rayllm`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rayllm"


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Make one entry of the cache while no other clone does: the second waits, and finds the first one's work."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
