"""A stack local for the tests of this tier, in a copy of the checkout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.local_stack import Clone, running_clone

PORT_OFFSET = 400
"""So that a stack `local` may run on this computer at the same time."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone with other ports; its stack is destroyed afterwards."""
    yield from running_clone(tmp_path_factory.mktemp("clone"), PORT_OFFSET)
