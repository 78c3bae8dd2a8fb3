"""The end of a stack that serves. Last of its tier."""

from __future__ import annotations

import time

from tests.node.conftest import RAY, Stack, until
from tests.node.load import Load


def test_a_destroy_lets_the_streams_that_run_end(stack: Stack) -> None:
    """None begins any more: the gateway is gone first."""
    until("two replicas", stack.whole)
    with Load(stack.url, 4, tokens=400) as load:
        time.sleep(3)
        load.hold()
        assert load.begun > load.total, "streams that run"
        stack.engine.destroy().ok()
    print(f"\n{load.total} streams, {len(load.lost)} lost")
    assert not load.lost, load.causes(load.first)
    assert load.total == load.begun
    for kind in ("rayservices", "rayclusters"):
        assert (stack.node.get(f"{RAY}/{kind}") or {"items": []})["items"] == []
    assert stack.node.get("/api/v1/namespaces/ray") is None
