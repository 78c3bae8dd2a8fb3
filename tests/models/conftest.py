"""A stack local for each file of this tier, in a copy of the checkout.

`Clone.edit` and `make up` on a running stack take less time than another stack.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.local_stack import Clone, running_clone

PORT_OFFSET = 1800
"""Not the offset of tests/serving, so that both tiers may run at the same time."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone with other ports; its stack is destroyed afterwards."""
    yield from running_clone(tmp_path_factory.mktemp("clone"), PORT_OFFSET)
