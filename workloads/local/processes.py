"""Which processes belong to a stack on this computer, and how they end. Plain: no Pulumi.

Ray daemonises, and some of its children outlive their parents (HAProxy, vLLM workers). Everything that a stack starts
therefore carries the stack's mark in the environment variable `MARKER`, which children inherit. Some of Ray's agents
write their title over their environment: those are known as descendants of the others, or by title and working
directory, which is a folder of the mark's name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

PROCESS_TAG_ENV_VAR = "RAYLLM_PROCESS_TAG"
TITLES = ("ray::", "ray-", "VLLM::")


def stack_processes(mark: str) -> list[psutil.Process]:
    """Every live process that carries `mark`, without the caller and its ancestors."""
    own = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    found = {p.pid: p for p in psutil.process_iter() if p.pid not in own and is_stack_process(p, mark)}
    for process in list(found.values()):
        try:
            found |= {child.pid: child for child in process.children(recursive=True)}
        except psutil.Error:
            continue
    return [p for p in found.values() if p.pid not in own and alive(p)]


def is_stack_process(process: psutil.Process, mark: str) -> bool:
    """Whether the stack of `mark` started `process`; False for one that may not be looked into."""
    try:
        if process.environ().get(PROCESS_TAG_ENV_VAR) == mark:
            return True
        title = (process.cmdline() or [""])[0]
        return title.startswith(TITLES) and mark in Path(process.cwd()).parts
    except (psutil.Error, OSError):
        return False


def alive(process: psutil.Process) -> bool:
    """Running, and neither gone nor a zombie that only waits to be reaped."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def terminate_stack(mark: str, say: Callable[[str], None], patience_s: float = 8.0) -> None:
    """End every process of the stack: ask first (SIGTERM), insist after `patience_s` (SIGKILL). Raises RuntimeError
    when one survives, naming it."""
    left = stack_processes(mark)
    for ask, wait_s in ((True, patience_s), (False, 5.0)):
        if not left:
            return
        say(f"ending {len(left)} processes" + ("" if ask else f" that did not end when asked: {describe(left)}"))
        for process in left:
            try:
                process.terminate() if ask else process.kill()
            except psutil.Error:
                continue
        deadline = time.monotonic() + wait_s
        while left and time.monotonic() < deadline:
            time.sleep(0.2)
            # A process that loses its parent loses its trace, too: what was found once is kept until it is gone.
            left = list({p.pid: p for p in [*(p for p in left if alive(p)), *stack_processes(mark)]}.values())
    if left:
        raise RuntimeError(f"these processes of the stack could not be ended: {describe(left)}")


def describe(processes: Iterable[psutil.Process]) -> str:
    """`pid 12 (raylet), pid 13 (haproxy)`."""
    return ", ".join(f"pid {p.pid} ({_name(p)})" for p in processes)


def port_owner(port: int) -> psutil.Process | str | None:
    """Who listens on TCP `port` on any address of this computer: None if nobody, a sentence's worth of words when the
    system does not tell us who."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if connection.pid is None:
                return "a process of another user"
            try:
                return psutil.Process(connection.pid)
            except psutil.NoSuchProcess:
                return None
    return None


def listening(mark: str) -> list[tuple[str, int]]:
    """(address, port) of every TCP socket on which the stack's processes listen."""
    pids = {process.pid for process in stack_processes(mark)}
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
