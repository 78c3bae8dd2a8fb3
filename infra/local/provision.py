"""This computer as a platform: nothing to create, only a folder and ports to hand out."""

from __future__ import annotations

from pathlib import Path

from config.local import ports
from config.local.infra import MachineSettings
from infra.contract import MachineSite, Platform
from workloads.local import host_checks


def site(settings: MachineSettings, stack: str, checkout: Path) -> MachineSite:
    """The one site of a machine stack."""
    mark = host_checks.mark_of(stack, checkout)
    return MachineSite(
        name="machine",
        mark=mark,
        folder=settings.folder or Path("/tmp") / mark,
        environment=checkout / host_checks.ENVIRONMENT,
        ports=ports.plan(settings.port_offset),
        logical_gpus=settings.logical_gpus,
    )


def provision(settings: MachineSettings, environment: str, checkout: Path) -> Platform:
    """The contract for `workloads`."""
    return Platform(environment=environment, sites=(site(settings, environment, checkout),), entrance=None)
