"""This computer as a platform: nothing to create, only a folder and ports to hand out."""

from __future__ import annotations

from pathlib import Path

from config.local import ports
from config.local.infra import LocalInfra
from infra.contract import LocalHost, Platform
from workloads.local import host_checks


def local_host(settings: LocalInfra, stack: str, checkout: Path) -> LocalHost:
    """The one site of a machine stack."""
    mark = host_checks.process_tag(stack, checkout)
    return LocalHost(
        name="machine",
        process_tag=mark,
        data_dir=settings.data_dir or Path("/tmp") / mark,
        venv=checkout / host_checks.VENV_NAME,
        ports=ports.plan_ports(settings.port_offset),
        logical_gpus=settings.logical_gpus,
    )


def provision(settings: LocalInfra, environment: str, checkout: Path) -> Platform:
    """The contract for `workloads`."""
    return Platform(
        environment=environment, sites=(local_host(settings, environment, checkout),), gateway_frontend=None
    )
