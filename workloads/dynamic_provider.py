"""What this stack's dynamic resources share: how they fail, how they report, and that none outlives its engine.

Pulumi runs their providers in a process of their own (`python -m pulumi.dynamic`). Left alone it answers every
exception with a traceback, and goes on with its work when the engine that asked for it has been killed.
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

CHECK_EVERY_S = 0.5
"""How often a wait looks again."""


class OperationFailed(Exception):
    """Something a person can act on: shown as it is, without a traceback."""


def log_progress(message: str) -> None:
    """One line of progress; the engine shows what a provider prints, and `make up` shows it as it comes."""
    print(message, file=sys.stderr, flush=True)


class Progress:
    """A wait that reports: a line when its state changes, and one every ten seconds in between."""

    def __init__(self, what: str, limit_s: float, every_s: float = CHECK_EVERY_S) -> None:
        self._what, self._limit_s, self._every_s = what, limit_s, every_s
        self._started = self._spoken = time.monotonic()
        self._state = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def pause(self, state: str) -> bool:
        """Sleep a little; False when the time is up."""
        now = time.monotonic()
        if state != self._state or now - self._spoken >= 10:
            log_progress(f"{self._what}: {state} ({self.seconds:.0f} s)")
            self._state, self._spoken = state, now
        time.sleep(self._every_s)
        return self.seconds < self._limit_s


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold the stack's folder: of two engines at work on it, the second fails at once. Also starts the watch below."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        for _ in range(30):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.5)
        else:
            raise OperationFailed(f"Another `pulumi` is at work on {folder}: wait until it has ended, then try again.")
        yield


def _end_with_the_engine() -> None:
    """The engine's death ends this provider: a start that it was waiting for is cleared away by the next `up`."""
    engine = psutil.Process().parent()  # the shell script that started us
    grandparent = engine.parent() if engine else None

    def watch() -> None:
        while all(p is None or (p.is_running() and p.status() != psutil.STATUS_ZOMBIE) for p in (engine, grandparent)):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _without_traceback() -> str:
    error = sys.exc_info()[1]
    return str(error) if isinstance(error, OperationFailed) else traceback.format_exc()


if (spec := getattr(sys.modules["__main__"], "__spec__", None)) and spec.name == "pulumi.dynamic.__main__":
    # The servicer formats what it answers with `traceback.format_exc()`: give it one that knows Failure.
    sys.modules["__main__"].traceback = SimpleNamespace(format_exc=_without_traceback)  # type: ignore[attr-defined]
    _end_with_the_engine()
