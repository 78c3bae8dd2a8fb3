"""`make test` and `make lint` fail if one of the processes that they run fails."""

from __future__ import annotations

import signal

import pytest

from tools.bootstrap import console


@pytest.mark.parametrize(("statuses", "whole"), [([], 0), ([0, 0], 0), ([0, 2], 1), ([0, -signal.SIGTERM], 1)])
def test_a_failed_or_killed_process_makes_the_status_1(statuses: list[int], whole: int) -> None:
    assert console.combined_status(statuses) == whole
