"""`make test` and `make lint` fail when one of what they run does."""

from __future__ import annotations

import signal

import pytest

from tools import dev


@pytest.mark.parametrize(("statuses", "whole"), [([], 0), ([0, 0], 0), ([0, 2], 1), ([0, -signal.SIGTERM], 1)])
def test_one_that_failed_or_was_killed_is_a_failure(statuses: list[int], whole: int) -> None:
    assert dev._all_of(statuses) == whole
