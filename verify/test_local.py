"""What only a stack on this computer is asked."""

from __future__ import annotations

from verify import local_report
from verify.declared import Machine
from verify.test_serving import agrees
from workloads.local.processes import PROCESS_TAG_ENV_VAR


def test_nothing_listens_beyond_loopback(machine: Machine) -> None:
    """The dashboard included."""
    agrees(local_report.loopback(machine.environment[PROCESS_TAG_ENV_VAR]))
