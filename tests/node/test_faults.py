"""What a fault costs, counted by clients that stream all the while.

Graceful: nothing is lost. Killed: what was streaming when the process died, what came before the Service had let go of
a dead pod's address, and no more. Times are reported and not asserted; `RAYLLM_RECORD=1` writes the table to
docs/operations/faults.md.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.node.conftest import Stack, until
from tests.node.load import Load
from tests.node.record import Page
from tests.rig.node import machine

HEAD = """# What a fault costs

Two workers with one replica each; two streams begun a second by an unmodified `openai` client that does not retry.
Seconds are from the fault until head, workers and replicas are all there again. The last column is what a preview says
meanwhile: nothing that was declared has changed, and what a cluster mends by itself needs no `up`.

The last four are kills. What streamed on the dead process is lost, and so is what comes before the Service has let go
of a dead pod's address: such a connection is refused, and a client that retries (`openai` does, unless told otherwise)
gets its answer elsewhere.

| fault | streams | lost | lost of | seconds | the RayService meanwhile | a preview meanwhile |
|---|---|---|---|---|---|---|
"""
Strike = Callable[[Stack], float | None]
"""Returns from when on nothing is lost any more, by time.monotonic(), where that is not at once."""


def worker_deleted(stack: Stack) -> None:
    stack.delete(stack.running("worker")[0])


def node_cordoned_and_drained(stack: Stack) -> None:
    """As `kubectl drain`: no new pods, and each worker is evicted as soon as the budget has one to spare."""
    names = [each["metadata"]["name"] for each in stack.running("worker")]
    stack.cordon(True)
    try:
        assert stack.evict(names[0]), "the budget of two workers has one to spare"
        assert not stack.evict(names[1]), "and not two"
    finally:
        stack.cordon(False)
    until("the second worker may go", lambda: stack.evict(names[1]))


def head_deleted(stack: Stack) -> None:
    """At once, as with its node. It takes no requests, and what it knows is in Redis."""
    stack.delete(stack.running("head")[0], grace_s=0)


def api_server_and_operator_killed(stack: Stack) -> None:
    """And started again."""
    stack.node.kill("api-server")
    stack.node.kill("operator")
    stack.node.start_api_server()
    stack.node.start_operator()


def redis_restarted(stack: Stack) -> None:
    stack.node.kill("redis")
    stack.node.restart("redis")


def image_missing(stack: Stack) -> None:
    """The registry has lost it, and a worker is to start from it."""
    with stack.node.without_image():
        stack.delete(stack.running("worker")[0])
        until("a pod that has no image", lambda: "ErrImagePull" in stack.waiting("worker"))


def model_file_unreadable(stack: Stack) -> None:
    """A worker that starts finds weights that it may not read; the other replica goes on."""
    with _unreadable(stack):
        gone = stack.running("worker")[0]
        stack.delete(gone)
        until("a replica that cannot start", lambda: "Permission denied" in stack.told())


def disk_full(stack: Stack) -> float:
    """The node's disk is short of the tenth that a kubelet keeps free, until it has ended a worker for it, without the
    grace that a deletion has."""
    filler = Path("/var/lib/filler")
    filler.write_bytes(bytes(FILLER_MIB * 2**20))
    try:
        machine.full(shutil.disk_usage("/var/lib").used / 2**30 / 0.95)
        until("an evicted worker", lambda: len(stack.addresses) < 2)
        return time.monotonic()
    finally:
        machine.full(machine.DISK_GIB)
        filler.unlink()


def haproxy_killed(stack: Stack) -> None:
    _kill(stack, "haproxy")


def router_killed(stack: Stack) -> None:
    """One of a worker's two."""
    _kill(stack, "ray::ServeReplic", "LLMRouter", most=1)


def raylet_killed(stack: Stack) -> float:
    """And with it all of Ray in its pod, whose address is in the Service until the kubelet has seen that."""
    pod = _kill(stack, "raylet")
    until("the Service is without it", lambda: pod not in stack.addresses)
    return time.monotonic()


def _kill(stack: Stack, name: str, title: str = "", most: int | None = None) -> str:
    """kill -9 in the first pod that has such processes; of `most` of them. Returns the pod's address."""
    for pod in [*stack.running("worker"), *stack.running("head")]:
        found = [each for each in stack.processes(pod, name) if title in " ".join(each.cmdline())]
        for process in found[:most]:
            process.kill()
        if found:
            return pod["status"]["podIP"]
    raise AssertionError(f"no pod runs {name} {title}")


@contextmanager
def _unreadable(stack: Stack) -> Iterator[None]:
    weights = next(stack.node.model.glob("*.safetensors"))
    weights.chmod(0o600)
    try:
        yield
    finally:
        weights.chmod(0o644)


GRACEFUL = (
    worker_deleted,
    node_cordoned_and_drained,
    head_deleted,
    api_server_and_operator_killed,
    redis_restarted,
    image_missing,
    model_file_unreadable,
)
KILLS = (disk_full, haproxy_killed, router_killed, raylet_killed)
FILLER_MIB = 1024
"""So that the twentieth which is left holds what is logged meanwhile."""
CALM_S = 4
"""Of streams before a fault and after it is over."""


@pytest.fixture(scope="module")
def page() -> Page:
    return Page("faults.md", HEAD)


@pytest.mark.parametrize("strike", [*GRACEFUL, *KILLS], ids=lambda strike: strike.__name__)
def test_what_is_lost(stack: Stack, page: Page, strike: Strike) -> None:
    until("head, workers and replicas before the fault", stack.whole)
    with Load(stack.url) as load, stack.watched() as said:
        time.sleep(CALM_S)
        struck = time.monotonic()
        over = strike(stack) or struck
        preview = stack.engine.preview()  # long enough for the fault to show
        until("head, workers and replicas after the fault", stack.whole)
        took = time.monotonic() - struck
        time.sleep(CALM_S)
    changed = ", ".join(preview.changed()) or "no changes"
    page.row(strike.__name__.replace("_", " "), *load.counts(struck), f"{took:.0f}", ", then ".join(said), changed)
    assert load.total > 20
    assert not load.lost_after(over), load.causes(struck)
    assert strike in KILLS or not load.lost, load.causes(struck)
