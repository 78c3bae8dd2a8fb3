"""Count the streams that faults cost which Ray and Kubernetes can bridge: none may be lost.

Times are reported and not asserted. `RAYLLM_RECORD=1` writes the table into docs/measurements.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.waiting import wait_until
from tests.node import counting
from tests.node.conftest import Stack
from tests.node.record import Section


def head_deleted(stack: Stack) -> None:
    """At once, as with the loss of its node. The head receives no requests, and its state is in Redis."""
    stack.delete_pod(stack.ready_pods("head")[0], grace_s=0)


def api_server_and_operator_killed(stack: Stack) -> None:
    """Both are started again at once."""
    stack.node.kill("kube-apiserver")
    stack.node.kill("kuberay-operator")
    stack.node.start_program("kube-apiserver")
    stack.node.start_program("kuberay-operator")


def redis_restarted(stack: Stack) -> None:
    stack.node.kill("redis")
    stack.node.start_program("redis")


def image_missing(stack: Stack) -> None:
    """A worker has to start, and the node and the registry no longer have its image."""
    with stack.node.without_image():
        stack.delete_pod(stack.ready_pods("worker")[0])
        wait_until("a pod without its image", lambda: "ErrImagePull" in stack.waiting_reasons("worker"))


def model_file_unreadable(stack: Stack) -> None:
    """A worker has to start and cannot read the weights; the other replica goes on."""
    with _unreadable(stack):
        stack.delete_pod(stack.ready_pods("worker")[0])
        wait_until("a replica that cannot start", lambda: "Permission denied" in stack.serve_status())


@contextmanager
def _unreadable(stack: Stack) -> Iterator[None]:
    weights = next(stack.node.model.glob("*.safetensors"))
    weights.chmod(0o600)
    try:
        yield
    finally:
        weights.chmod(0o644)


@pytest.fixture(scope="module")
def section() -> Section:
    """The table in docs/measurements.md."""
    return Section("faults", counting.FAULT_COLUMNS)


FAULTS = (
    head_deleted,
    api_server_and_operator_killed,
    redis_restarted,
    image_missing,
    model_file_unreadable,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_loses_no_stream(stack: Stack, section: Section, fault: counting.Fault) -> None:
    load = counting.measure_fault(stack, section, fault)
    assert not load.lost, load.causes(load.first_start)
