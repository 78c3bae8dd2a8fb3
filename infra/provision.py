"""Stands up the platform that an environment's `infra` block describes."""

from __future__ import annotations

from config.google.infra import GoogleInfra
from config.infra import InfraSettings
from config.issues import ConfigError
from config.local.infra import LocalInfra
from infra.contract import LocalHost, Platform
from infra.local import provision as machine
from paths import CHECKOUT
from workloads.local import host_checks


def provision(settings: InfraSettings, environment: str, demand: host_checks.Demand) -> Platform:
    """Declare the infrastructure; returns the contract for `workloads`. Raises `Refused`, before anything is declared,
    when this computer cannot do what `demand` asks of it."""
    match settings:
        case LocalInfra():
            platform = machine.provision(settings, environment, CHECKOUT)
            for site in platform.sites:
                if isinstance(site, LocalHost) and (found := list(host_checks.check_host(site, demand))):
                    raise ConfigError(found)
            return platform
        case GoogleInfra():
            from infra.google.provision import provision as provision_google  # its SDK takes two seconds to import

            return provision_google(settings, environment)
