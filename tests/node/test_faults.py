"""What a fault costs, counted by clients that stream all the while.

Graceful: nothing is lost. Killed: what was streaming on the process that died, and no more. Times are reported and not
asserted; `RAYLLM_RECORD=1` writes the table to docs/operations/faults.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.node.conftest import Stack, until
from tests.node.load import Load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations" / "faults.md"
HEAD = """# What a fault costs

Written by `RAYLLM_RECORD=1 make test TIER=node` (tests/node/test_faults.py) on the rig's one node: two CPU cores, a
tiny model, two workers with one replica each, two streams begun a second by an unmodified `openai` client that does not
retry. Seconds are those of such a machine, from the fault until head, workers and replicas are all there again.

| fault | streams | lost | lost of | seconds |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Fault:
    """`most` is how many streams may be lost, told when it happens."""

    name: str
    strike: Callable[[Stack], int]


def _delete_worker(stack: Stack) -> int:
    stack.delete(stack.running("worker")[0])
    return 0


def _delete_head(stack: Stack) -> int:
    """The head takes no requests, and what it knows is in Redis."""
    stack.delete(stack.running("head")[0], grace_s=0)
    return 0


def _kill_haproxy(stack: Stack) -> int:
    return _kill(stack, "haproxy")


def _kill_raylet(stack: Stack) -> int:
    return _kill(stack, "raylet")


def _restart_api_server(stack: Stack) -> int:
    stack.node.kill("api-server")
    stack.node.start_api_server()
    return 0


def _restart_operator(stack: Stack) -> int:
    stack.node.kill("operator")
    stack.node.start_operator()
    return 0


def _kill(stack: Stack, name: str) -> int:
    """kill -9 in the worker that has most to do; what may be lost is what begins or runs there until it is noticed."""
    worker = stack.running("worker")[0]
    for process in stack.processes(worker, name):
        process.kill()
    return MOST_OF_A_KILL


MOST_OF_A_KILL = 16
"""Streams: those that were on the killed process, and those that were sent to it before Kubernetes took its pod out of
the Service (a readiness probe every five seconds)."""
FAULTS = (
    Fault("worker deleted", _delete_worker),
    Fault("head lost", _delete_head),
    Fault("HAProxy of a worker killed", _kill_haproxy),
    Fault("raylet of a worker killed", _kill_raylet),
    Fault("API server killed and started again", _restart_api_server),
    Fault("KubeRay operator killed and started again", _restart_operator),
)
CALM_S = 10
"""Of streams before a fault and after it is over."""


@pytest.fixture(scope="module")
def rows() -> Iterator[list[str]]:
    found: list[str] = []
    yield found
    if os.environ.get("RAYLLM_RECORD"):
        PAGE.write_text(HEAD + "".join(found))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_what_is_lost(stack: Stack, rows: list[str], fault: Fault) -> None:
    until("head, workers and replicas before the fault", stack.whole)
    with Load(stack.url) as load:
        time.sleep(CALM_S)
        begun = time.monotonic()
        most = fault.strike(stack)
        time.sleep(CALM_S)  # until it shows
        until("head, workers and replicas after the fault", stack.whole)
        took = time.monotonic() - begun
        time.sleep(CALM_S)
    rows.append(f"| {fault.name} | {load.total} | {len(load.lost)} | {load.causes or '-'} | {took:.0f} |\n")
    print(rows[-1])
    assert load.total > 20
    assert len(load.lost) <= most, load.causes
