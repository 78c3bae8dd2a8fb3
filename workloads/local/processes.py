"""Find and terminate the processes that belong to a stack on this host. Imports no Pulumi.

Ray daemonises, and some of its children outlive their parents (HAProxy, vLLM workers). So every process that a stack
starts has the stack's process tag in the environment variable RAYLLM_PROCESS_TAG, which children inherit. Some of Ray's
agents overwrite their environment with their title. They are found as descendants of the others, or by their title and
their working directory, which is a directory with the tag's name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

PROCESS_TAG_ENV_VAR = "RAYLLM_PROCESS_TAG"
TITLES = ("ray::", "ray-", "VLLM::")
"""Prefixes of the titles that Ray and vLLM give their processes."""


def stack_processes(tag: str) -> list[psutil.Process]:
    """Return every live process of the stack with this tag, without the caller and its ancestors."""
    own = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    found = {p.pid: p for p in psutil.process_iter() if p.pid not in own and is_stack_process(p, tag)}
    for process in list(found.values()):
        try:
            found |= {child.pid: child for child in process.children(recursive=True)}
        except psutil.Error:
            continue
    return [p for p in found.values() if p.pid not in own and alive(p)]


def is_stack_process(process: psutil.Process, tag: str) -> bool:
    """Return True if the stack started `process`; False also if this user may not inspect it."""
    try:
        if process.environ().get(PROCESS_TAG_ENV_VAR) == tag:
            return True
        title = (process.cmdline() or [""])[0]
        return title.startswith(TITLES) and tag in Path(process.cwd()).parts
    except (psutil.Error, OSError):
        return False


def alive(process: psutil.Process) -> bool:
    """Return True if the process runs and is not a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def terminate_stack(tag: str, report: Callable[[str], None], patience_s: float = 8.0) -> None:
    """Terminate every process of the stack: SIGTERM first, SIGKILL after `patience_s` seconds.

    `report` receives lines of progress. Raises RuntimeError, which names the processes that survive.
    """
    remaining = stack_processes(tag)
    for gracefully, wait_s in ((True, patience_s), (False, 5.0)):
        if not remaining:
            return
        suffix = "" if gracefully else f" with SIGKILL: {describe(remaining)}"
        report(f"terminating {len(remaining)} processes{suffix}")
        for process in remaining:
            try:
                process.terminate() if gracefully else process.kill()
            except psutil.Error:
                continue
        deadline = time.monotonic() + wait_s
        while remaining and time.monotonic() < deadline:
            time.sleep(0.2)
            # A process whose parent ends may no longer be recognisable, so keep those that were found before.
            known = [p for p in remaining if alive(p)]
            remaining = list({p.pid: p for p in [*known, *stack_processes(tag)]}.values())
    if remaining:
        raise RuntimeError(f"these processes of the stack did not end: {describe(remaining)}")


def describe(processes: Iterable[psutil.Process]) -> str:
    """Return `pid 12 (raylet), pid 13 (haproxy)`."""
    return ", ".join(f"pid {p.pid} ({_name(p)})" for p in processes)


def port_owner(port: int) -> psutil.Process | str | None:
    """Return the process that listens on TCP `port` on any address, or None.

    Returns a description instead if the system does not reveal the process.
    """
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if connection.pid is None:
                return "a process of another user"
            try:
                return psutil.Process(connection.pid)
            except psutil.NoSuchProcess:
                return None
    return None


def listening(tag: str) -> list[tuple[str, int]]:
    """Return (address, port) of every TCP socket on which the stack's processes listen."""
    pids = {process.pid for process in stack_processes(tag)}
    return [
        (connection.laddr[0], connection.laddr[1])
        for connection in psutil.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids and connection.laddr
    ]


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()[:60].strip() or process.name()
    except psutil.Error:
        return "?"
