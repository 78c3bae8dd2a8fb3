"""What an edit costs those who stream meanwhile, and that it does what docs/how-to/changes.md says.

Nothing is ever lost; times are reported and not asserted. `RAYLLM_RECORD=1` writes the table to
docs/operations/changes-counted.md.
"""

from __future__ import annotations

import pytest

from tests.node import counting
from tests.node.conftest import Stack
from tests.node.load import AT_ONCE, Load
from tests.node.record import Page

HEAD = f"""# What an edit costs, counted

Each row is one edit and one `pulumi up` of the preset, from two replicas on two workers, while an unmodified `openai`
client that does not retry begins streams: at the rate asked for, as long as fewer than {AT_ONCE} are under way. Seconds
are those of `up`, and what they are spent on is in [changes.md](changes.md). [releases-counted.md](releases-counted.md)
has a release that is raised, [regions.md](regions.md) a region that is drained first,
[autoscaling-counted.md](autoscaling-counted.md) an edit of autoscaling's terms, and
[scaling-counted.md](scaling-counted.md) workers that come and go by themselves.
"""


@pytest.fixture(scope="module")
def page() -> Page:
    return Page("changes-counted.md", HEAD + counting.EDITS)


def test_a_serve_configuration_replaces_every_replica_in_turn(stack: Stack, page: Page) -> None:
    """Under ten times the load of the others, of one token each: forty streams of several tokens a second leave two
    cores nothing to start a replica with."""
    cluster, replicas = stack.cluster, stack.replicas()
    with Load(stack.url, 40, tokens=1) as load:
        took = counting.up(stack, {"engine.engine_kwargs.max_num_seqs": 32})
    counting.edit(
        page, load, "Serve configuration (`engine.engine_kwargs`)", took, "in place: every replica replaced in turn"
    )
    assert stack.cluster == cluster
    assert not replicas & stack.replicas()
