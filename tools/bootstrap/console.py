"""What a person sees while something takes time. Standard library only: it runs before anything is installed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

EVERY_S = 5
"""Longest silence of a running step."""


class Stop(Exception):
    """Ends the command with one sentence for a person."""


def say(line: str = "") -> None:
    """Print one line now, also when the output is a pipe."""
    print(line, flush=True)


def run(
    command: Sequence[str],
    what: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    progress: Callable[[int], str] = lambda _lines: "",
) -> str:
    """Run `command`, report every few seconds how far it is, and return its standard output.

    `progress` turns the number of lines that the command has written to standard error into words. Raises `Stop` with
    the last lines it wrote when it fails.
    """
    started = spoken = time.monotonic()
    process = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    out: list[str] = []
    errors: list[str] = []
    readers = [
        threading.Thread(target=out.extend, args=(process.stdout,), daemon=True),
        threading.Thread(target=_collect, args=(process.stderr, errors), daemon=True),
    ]
    for reader in readers:
        reader.start()
    while process.poll() is None:
        time.sleep(0.1)
        if time.monotonic() - spoken >= EVERY_S:
            spoken = time.monotonic()
            words = progress(len(errors))
            say(f"  {what}: {words + ', ' if words else ''}{spoken - started:.0f} s")
    for reader in readers:
        reader.join()
    if process.returncode != 0:
        told = "".join(errors[-15:]) or "".join(out[-15:])
        raise Stop(f"{what} failed (`{' '.join(command[:4])} ...` ended with {process.returncode}):\n{told.rstrip()}")
    return "".join(out)


def together(*jobs: Callable[[], None]) -> None:
    """Run independent jobs at the same time; raises the first failure after all have ended."""
    failures: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def main(command: Callable[[], int]) -> None:
    """Run a command-line entry point: `Stop` and Ctrl-C end it with a sentence, not with a traceback."""
    try:
        sys.exit(command())
    except Stop as stop:
        print(f"\n{stop}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing is lost: the same command again goes on from here.", file=sys.stderr)
        sys.exit(130)


def _collect(stream: object, into: list[str]) -> None:
    for line in stream:  # type: ignore[attr-defined]
        into.append(line)
