"""Count the streams that faults cost which Ray and Kubernetes can bridge: none may be lost.

Times are reported and not asserted. `RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.node import counting
from tests.node.conftest import Stack, until
from tests.node.record import Section


def head_deleted(stack: Stack) -> None:
    """At once, as with its node. It takes no requests, and what it knows is in Redis."""
    stack.delete_pod(stack.ready_pods("head")[0], grace_s=0)


def api_server_and_operator_killed(stack: Stack) -> None:
    """And started again."""
    stack.node.kill("kube-apiserver")
    stack.node.kill("kuberay-operator")
    stack.node.start_program("kube-apiserver")
    stack.node.start_program("kuberay-operator")


def redis_restarted(stack: Stack) -> None:
    stack.node.kill("redis")
    stack.node.start_program("redis")


def image_missing(stack: Stack) -> None:
    """The registry has lost it, and a worker is to start from it."""
    with stack.node.without_image():
        stack.delete_pod(stack.ready_pods("worker")[0])
        until("a pod that has no image", lambda: "ErrImagePull" in stack.waiting_reasons("worker"))


def model_file_unreadable(stack: Stack) -> None:
    """A worker that starts finds weights that it may not read; the other replica goes on."""
    with _unreadable(stack):
        gone = stack.ready_pods("worker")[0]
        stack.delete_pod(gone)
        until("a replica that cannot start", lambda: "Permission denied" in stack.serve_status())


@contextmanager
def _unreadable(stack: Stack) -> Iterator[None]:
    weights = next(stack.node.model.glob("*.safetensors"))
    weights.chmod(0o600)
    try:
        yield
    finally:
        weights.chmod(0o644)


@pytest.fixture(scope="module")
def page() -> Section:
    return Section("faults", counting.FAULT_COLUMNS)


STRIKES = (
    head_deleted,
    api_server_and_operator_killed,
    redis_restarted,
    image_missing,
    model_file_unreadable,
)


@pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: strike.__name__)
def test_nothing_is_lost(stack: Stack, page: Section, strike: counting.Fault) -> None:
    load = counting.measure_fault(stack, page, strike)
    assert not load.lost, load.causes(load.first_start)
