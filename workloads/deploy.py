"""Puts the serving stack onto every site of a platform: the one place that asks what kind of site it is."""

from __future__ import annotations

from typing import Any

import pulumi

from config.serving import ServingSettings
from infra.contract import LocalHost, Platform, ServingCluster


def deploy(
    serving: ServingSettings | None, platform: Platform, hugging_face_token: pulumi.Output[str] | None = None
) -> dict[str, Any]:
    """Declare the workloads; returns the stack's outputs. `serving` None: infrastructure only."""
    match (serving, platform.sites[0]):
        case None, _:
            return {}
        case ServingSettings(), LocalHost() as site:
            from workloads.local.deploy import deploy as deploy_here

            return deploy_here(serving, site)
        case ServingSettings(), ServingCluster():
            from workloads.kubernetes.deploy import deploy as deploy_there

            return deploy_there(serving, platform, hugging_face_token)
