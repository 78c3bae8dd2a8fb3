"""What the `infra` block of an environment may say: where the stack runs."""

from __future__ import annotations

from infra.machine.settings import MachineSettings

InfraSettings = MachineSettings
