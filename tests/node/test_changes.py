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
def section() -> Section:
    """The table in docs/measurements.md."""
    return Section("changes", counting.EDIT_COLUMNS)


def test_a_serve_configuration_replaces_one_replica_at_a_time(stack: Stack, section: Section) -> None:
    """With ten times the load of the other tests, of one token each: forty streams of several tokens a second would
    leave no CPU time to start a replica."""
    cluster, replicas = stack.active_ray_cluster, stack.running_replicas()
    with Load(stack.url, 40, tokens=1) as load:
        duration_s = counting.timed_up(stack, {"engine.engine_kwargs.max_num_seqs": 32})
    counting.record_edit(
        section,
        load,
        "Serve configuration (`engine.engine_kwargs`)",
        duration_s,
        "in place; Serve replaces every replica, one at a time",
    )
    assert stack.active_ray_cluster == cluster
    assert not replicas & stack.running_replicas()
