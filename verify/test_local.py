"""Checks of a stack on this computer only."""

from __future__ import annotations

from verify import local_report
from verify.declared import DeclaredLocal
from verify.test_serving import assert_ok
from workloads.local.processes import PROCESS_TAG_ENV_VAR


def test_nothing_listens_beyond_loopback(local: DeclaredLocal) -> None:
    """The dashboard neither."""
    assert_ok(local_report.loopback_only(local.env_vars[PROCESS_TAG_ENV_VAR]))
