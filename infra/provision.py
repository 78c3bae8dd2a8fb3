"""Provision the platform that the `infra` block of a stack describes."""

from __future__ import annotations

from config.google.infra import GoogleInfra
from config.local.infra import LocalInfra
from config.stack import StackConfig
from infra.contract import Platform
from infra.local.provision import provision as provision_local
from paths import CHECKOUT


def provision(config: StackConfig) -> Platform:
    """Declare the infrastructure of `config` and return the contract for `workloads`."""
    match config.infra:
        case LocalInfra() as infra:
            return provision_local(infra, config.name, CHECKOUT)
        case GoogleInfra() as infra:
            from infra.google.provision import provision as provision_google  # its SDK takes two seconds to import

            return provision_google(infra, config.name)
