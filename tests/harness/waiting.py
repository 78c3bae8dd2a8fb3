"""Wait for a condition in a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

TIMEOUT_S = 300
"""Only a broken system reaches it."""
Found = TypeVar("Found")


def wait_until(
    what: str, condition: Callable[[], Found | None], *, timeout_s: float = TIMEOUT_S, interval_s: float = 1
) -> Found:
    """Wait until `condition` returns something true, and return it. Raises `AssertionError` that names `what`.

    Each poll takes CPU time from what the test waits for; a short interval is for states that last only a moment.
    """
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not after {timeout_s} s"
        time.sleep(interval_s)
    return found
