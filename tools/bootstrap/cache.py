"""The build cache outside the checkout, and the lock of one entry."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def cache_dir() -> Path:
    """Return the directory that keeps builds: `$XDG_CACHE_HOME/rayllm`, by default `~/.cache/rayllm`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rayllm"


@contextlib.contextmanager
def cache_lock(name: str) -> Iterator[None]:
    """Lock the cache entry `name`. A second clone waits, then finds the entry that the first clone built."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
