"""Count the streams that an edit costs, and check that the edit does what docs/how-to/changes.md says.

No stream may be lost. Times are reported and not asserted. `RAYLLM_RECORD=1` writes the table into
docs/measurements.md.
"""

from __future__ import annotations

import pytest

from tests.node import counting
from tests.node.conftest import Stack
from tests.node.load import Load
from tests.node.record import Section


@pytest.fixture(scope="module")
def page() -> Section:
    return Section("changes", counting.EDIT_COLUMNS)


def test_a_serve_configuration_replaces_every_replica_in_turn(stack: Stack, page: Section) -> None:
    """Under ten times the load of the others, of one token each: forty streams of several tokens a second leave two
    cores nothing to start a replica with."""
    cluster, replicas = stack.active_ray_cluster, stack.running_replicas()
    with Load(stack.url, 40, tokens=1) as load:
        took = counting.timed_up(stack, {"engine.engine_kwargs.max_num_seqs": 32})
    counting.record_edit(
        page,
        load,
        "Serve configuration (`engine.engine_kwargs`)",
        took,
        "in place; Serve replaces every replica, one at a time",
    )
    assert stack.active_ray_cluster == cluster
    assert not replicas & stack.running_replicas()
