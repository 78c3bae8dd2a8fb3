"""What an edit of autoscaling's terms costs those who stream meanwhile. `RAYLLM_RECORD=1` writes the table to
docs/operations/autoscaling-counted.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.node import counting
from tests.node.conftest import Stack
from tests.node.load import Load
from tests.node.record import Page

HEAD = """# What an edit of autoscaling's terms costs, counted

As in [changes-counted.md](changes-counted.md). The bounds leave no choice (two replicas, no more and no fewer), so that
what is counted is the edit; [scaling-counted.md](scaling-counted.md) has workers that come and go.
"""
SCALING = {"kind": "autoscaling", "min_replicas": 2, "max_replicas": 2, "target_ongoing_requests": 32}


@pytest.fixture(scope="session")
def first() -> dict[str, Any]:
    return {"replicas": SCALING}


@pytest.fixture(scope="module")
def page() -> Page:
    return Page("autoscaling-counted.md", HEAD + counting.EDITS)


def test_other_terms_of_autoscaling_replace_every_replica(stack: Stack, page: Page) -> None:
    cluster, replicas = stack.cluster, stack.replicas()
    with Load(stack.url, 4, tokens=2) as load:
        took = counting.up(stack, {"replicas": SCALING | {"target_ongoing_requests": 4}})
    counting.edit(
        page, load, "autoscaling's terms alone", took, "in place, and every replica replaced in turn all the same"
    )
    assert stack.cluster == cluster
    assert not replicas & stack.replicas()
