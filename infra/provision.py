"""Stands up the platform that an environment's `infra` block describes."""

from __future__ import annotations

from pathlib import Path

from infra.contract import MachineSite, Platform
from infra.machine import computer
from infra.machine import platform as machine
from infra.settings import InfraSettings
from schema import Refused

CHECKOUT = Path(__file__).resolve().parents[1]


def provision(settings: InfraSettings, environment: str, demand: computer.Demand) -> Platform:
    """Declare the infrastructure; returns the contract for `workloads`."""
    platform = machine.provision(settings, environment, CHECKOUT)
    refuse_unable(platform, demand)
    return platform


def refuse_unable(platform: Platform, demand: computer.Demand) -> None:
    """Stop before any resource is touched when this computer cannot do what is asked."""
    for site in platform.sites:
        if isinstance(site, MachineSite) and (found := list(computer.obstacles(site, demand))):
            raise Refused(found)
