"""Shared by this stack's dynamic resources: error messages, progress, a lock, and an end when the engine ends.

Pulumi runs dynamic providers in a separate process (`python -m pulumi.dynamic`). By default that process answers every
exception with a traceback, and continues its work after the engine that requested it was killed.

Pulumi stores a provider in the state as the module path and name of its class. Do not move or rename such a class:
every existing state would become unreadable (tests/unit/test_frozen_names.py).
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil

POLL_INTERVAL_S = 0.5
"""Seconds between two polls of a wait on this host."""
REPORT_INTERVAL_S = 10
"""Longest silence of a wait, in seconds."""


class OperationFailed(Exception):
    """A failure that the user can act on. Pulumi shows its message without a traceback."""


def log_progress(message: str) -> None:
    """Print one line of progress. Pulumi's engine shows what a provider prints; `make up` shows it immediately."""
    print(message, file=sys.stderr, flush=True)


class Progress:
    """Reports a wait: one line when the state changes, and one every REPORT_INTERVAL_S seconds."""

    def __init__(self, subject: str, limit_s: float, poll_interval_s: float = POLL_INTERVAL_S) -> None:
        self._subject, self._limit_s, self._poll_interval_s = subject, limit_s, poll_interval_s
        self._started = self._reported = time.monotonic()
        self._state = ""

    @property
    def seconds(self) -> float:
        """Seconds since the wait began."""
        return time.monotonic() - self._started

    def pause(self, state: str) -> bool:
        """Report `state` if it is due, sleep for the poll interval, and return False when the limit has passed."""
        now = time.monotonic()
        if state != self._state or now - self._reported >= REPORT_INTERVAL_S:
            log_progress(f"{self._subject}: {state} ({self.seconds:.0f} s)")
            self._state, self._reported = state, now
        time.sleep(self._poll_interval_s)
        return self.seconds < self._limit_s


@contextmanager
def exclusive_lock(data_dir: Path) -> Iterator[None]:
    """Lock the stack's data directory. Raises OperationFailed if another engine holds the lock for 15 seconds."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with data_dir.with_suffix(".lock").open("w") as lock:
        for _ in range(30):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.5)
        else:
            raise OperationFailed(f"Another `pulumi` uses {data_dir}. Wait until it has finished, then try again.")
        yield


def _exit_with_engine() -> None:
    """End this provider when the engine ends. The next `up` then removes what an interrupted start has left."""
    launcher = psutil.Process().parent()  # the shell script that started this process
    engine = launcher.parent() if launcher else None

    def watch() -> None:
        while all(p is None or (p.is_running() and p.status() != psutil.STATUS_ZOMBIE) for p in (launcher, engine)):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _format_exception() -> str:
    error = sys.exc_info()[1]
    return str(error) if isinstance(error, OperationFailed) else traceback.format_exc()


if (spec := getattr(sys.modules["__main__"], "__spec__", None)) and spec.name == "pulumi.dynamic.__main__":
    # The servicer formats its answer with `traceback.format_exc()`: replace it by one that knows OperationFailed.
    sys.modules["__main__"].traceback = SimpleNamespace(format_exc=_format_exception)  # type: ignore[attr-defined]
    _exit_with_engine()
