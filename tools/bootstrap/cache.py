"""The lock of one entry of the cache outside the checkout."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from paths import cache_dir


@contextlib.contextmanager
def cache_lock(name: str) -> Iterator[None]:
    """Lock the cache entry `name`. A second clone waits, then finds the entry that the first clone built."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
