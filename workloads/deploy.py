"""Puts the serving stack onto every site of a platform: the one place that asks what kind of site it is."""

from __future__ import annotations

from typing import Any

from infra.contract import MachineSite, Platform
from workloads.settings import ServingSettings


def deploy(serving: ServingSettings | None, platform: Platform) -> dict[str, Any]:
    """Declare the workloads; returns the stack's outputs. `serving` None: infrastructure only."""
    if serving is None:
        return {}
    outputs: dict[str, Any] = {}
    for site in platform.sites:
        match site:
            case MachineSite():
                from workloads.machine.deploy import deploy as deploy_here

                outputs |= deploy_here(serving, site)
            case _:
                continue  # a cluster: workloads/kubernetes
    return outputs
