"""Stands up the platform that an environment's `infra` block describes."""

from __future__ import annotations

from infra.contract import MachineSite, Platform
from infra.google.settings import GoogleSettings
from infra.machine import computer
from infra.machine import platform as machine
from infra.machine.settings import MachineSettings
from infra.settings import InfraSettings
from paths import CHECKOUT
from schema import Refused


def provision(settings: InfraSettings, environment: str, demand: computer.Demand) -> Platform:
    """Declare the infrastructure; returns the contract for `workloads`. Raises `Refused`, before anything is declared,
    when this computer cannot do what `demand` asks of it."""
    match settings:
        case MachineSettings():
            platform = machine.provision(settings, environment, CHECKOUT)
            for site in platform.sites:
                if isinstance(site, MachineSite) and (found := list(computer.obstacles(site, demand))):
                    raise Refused(found)
            return platform
        case GoogleSettings():
            from infra.google.platform import provision as provision_google  # its SDK takes two seconds to import

            return provision_google(settings, environment)
