"""Deploy the workloads on a platform. The only module that distinguishes the kinds of platform."""

from __future__ import annotations

from typing import Any

import pulumi

from config import region_plan, weights_checks
from config.google.infra import GoogleInfra
from config.stack import StackConfig
from infra.contract import GooglePlatform, LocalPlatform, Platform


def deploy(
    config: StackConfig, platform: Platform, hugging_face_token: pulumi.Output[str] | None = None
) -> dict[str, Any]:
    """Declare the workloads and return the stack's outputs: none if `serving` is null.

    Raises `ConfigError`, before it declares a resource, if the local host cannot run the workloads.
    """
    if config.serving is None:
        return {}
    match platform:
        case LocalPlatform():
            from workloads.local.deploy import deploy as deploy_local

            return deploy_local(config.serving, platform.host)
        case GooglePlatform():
            from workloads.kubernetes.deploy import deploy as deploy_kubernetes

            assert isinstance(config.infra, GoogleInfra)
            for warning in (
                *weights_checks.find_warnings(config.infra, config.serving, config.region_plans),
                *region_plan.find_warnings(config.region_plans),
            ):
                pulumi.log.warn(warning)
            return deploy_kubernetes(config.serving, platform, config.region_plans, hugging_face_token)
