"""What only a stack on this computer is asked."""

from __future__ import annotations

from infra.machine.processes import MARKER
from tests.live.declared import Machine
from tests.live.test_serving import agrees
from workloads.machine import proof


def test_nothing_listens_beyond_loopback(machine: Machine) -> None:
    """The dashboard included."""
    agrees(proof.loopback(machine.environment[MARKER]))
