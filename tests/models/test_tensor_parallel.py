"""A replica whose model is split between two workers."""

from __future__ import annotations

from tests.harness.local_stack import Clone, printed_checks
from tests.models import kinds


def test_two_workers_of_one_replica_complete_together(clone: Clone) -> None:
    clone.edit({"serving.engine.tensor_parallel_size": 2})
    printed = clone.make("up")
    assert set(printed_checks(printed).values()) == {"ok"}, printed
    assert "2 RayWorkerProc actor(s)" in printed
    kinds.CHAT.ask(kinds.client(clone))
