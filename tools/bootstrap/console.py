"""Console output and subprocesses of the command-line tools.

Standard library only: the system's Python runs this module before anything is installed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

PROGRESS_INTERVAL_S = 5
"""Seconds between two progress lines of a running step."""


class CliError(Exception):
    """End the command with this message and exit status 1, without a traceback."""


def say(line: str = "") -> None:
    """Print one line and flush it, so that it appears at once when the output is a pipe."""
    print(line, flush=True)


def run(
    command: Sequence[str],
    description: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    progress: Callable[[int], str] = lambda _lines: "",
) -> str:
    """Run `command` and return its standard output. Print a progress line every `PROGRESS_INTERVAL_S` seconds.

    `description` names the step in progress lines and in errors. `progress` receives the number of lines that the
    command wrote to standard error and returns the text of the progress line.

    Raises `CliError` with the last 15 lines of output if the command fails.
    """
    started = reported = time.monotonic()
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
        if time.monotonic() - reported >= PROGRESS_INTERVAL_S:
            reported = time.monotonic()
            text = progress(len(errors))
            say(f"  {description}: {text + ', ' if text else ''}{reported - started:.0f} s")
    for reader in readers:
        reader.join()
    if process.returncode != 0:
        tail = "".join(errors[-15:]) or "".join(out[-15:])
        raise CliError(
            f"{description} failed: `{' '.join(command[:4])} ...` exited with {process.returncode}:\n{tail.rstrip()}"
        )
    return "".join(out)


def run_parallel(*jobs: Callable[[], None]) -> None:
    """Run independent jobs in threads and wait for all of them. Raises the first exception that a job raised."""
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


def combined_status(statuses: Sequence[int]) -> int:
    """Return 0 if every exit status is 0, else 1. The status of a process that a signal ended is negative."""
    return int(any(statuses))


def main(command: Callable[[], int]) -> None:
    """Run a command and exit with its status. `CliError` and Ctrl-C print one message instead of a traceback."""
    try:
        sys.exit(command())
    except CliError as error:
        print(f"\n{error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to continue; completed steps are kept.", file=sys.stderr)
        sys.exit(130)


def _collect(stream: Iterable[str], into: list[str]) -> None:
    """Append line by line, so that `len(into)` is current while the process runs."""
    for line in stream:
        into.append(line)
