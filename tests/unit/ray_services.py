"""The RayServices that this repository's environments declare, as plain data."""

from __future__ import annotations

from typing import Any

import pulumi
import yaml

from config.google.infra import GoogleInfra
from config.google.regions import Traffic
from config.google.scheduling import gpu_pool_info, system_pool_info
from config.region_plan import ServicePlan
from config.releases import RayAuthMode
from config.stack import StackConfig, check
from config.start_timeouts import StartTimeouts
from config.timeouts import Timeouts
from infra.contract import ServingCluster
from infra.google.service_accounts import SERVICE_ACCOUNTS
from tests.unit.case import blocks, edited
from workloads.kubernetes.ray_service import RayServiceArgs, spec
from workloads.kubernetes.secrets import HUGGING_FACE, SecretKeyRef


def args(stack: str, edit: dict[str, Any] | None = None, *, region: int = 0) -> RayServiceArgs:
    """Return the inputs of the first model's RayService in one region of `Pulumi.<stack>.yaml` with `edit` applied."""
    config = check(stack, edited(blocks(stack), edit or {}))
    assert isinstance(config.infra, GoogleInfra)
    (service,) = config.region_plans[config.infra.regions[region].name].services
    return service_args(config, service, region=region)


def service_args(config: StackConfig, service: ServicePlan, *, region: int = 0) -> RayServiceArgs:
    """Return the inputs of the RayService of `service`, which is one of the services of that region's plan."""
    infra, serving = config.infra, config.serving
    assert isinstance(infra, GoogleInfra)
    assert serving is not None
    assert serving.kubernetes is not None
    settings = infra.regions[region]
    plan = config.region_plans[settings.name]
    unknown: Any = None
    cluster = ServingCluster(
        name=settings.name,
        region=settings.name,
        cluster_id=unknown,
        kubeconfig=unknown,
        system_pool=system_pool_info(infra.system_pool),
        gpu_pools=tuple(gpu_pool_info(pool) for pool in settings.node_pools),
        service_accounts=SERVICE_ACCOUNTS,
        model_bucket_url=None,
        redis=None,
        image_repository=None,
        traffic=Traffic(settings.traffic),
    )
    return RayServiceArgs(
        plan=service,
        release=plan.release,
        cluster=cluster,
        timeouts=Timeouts(plan.release.request_timeout_s, serving.kubernetes.load_balancer_propagation_s),
        start_timeouts=StartTimeouts(
            serving.kubernetes.ready_timeout_s, any(each.node_pool.waits_for_capacity for each in service.worker_groups)
        ),
        priority_class="rayllm-serving",
        redis_password=None,
        hugging_face_token=SecretKeyRef(HUGGING_FACE),
        scripts_config_map="pod-scripts-0",
        token_auth=plan.release.ray_auth_mode is RayAuthMode.TOKEN,
        protect=infra.protect,
    )


def manifest(stack: str, edit: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the `spec` of `args`, with serveConfigV2 as data."""
    return manifest_of(args(stack, edit))


def manifest_of(args: RayServiceArgs) -> dict[str, Any]:
    """Return the `spec` of a RayService, with serveConfigV2 as data."""
    whole = spec(args)
    assert not any(isinstance(value, pulumi.Output) for value in whole.values())
    return {**whole, "serveConfigV2": yaml.safe_load(whole["serveConfigV2"])}


def pods(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return `head` and each worker group's name -> the spec of its pod template."""
    cluster = whole["rayClusterConfig"]
    return {
        "head": cluster["headGroupSpec"]["template"]["spec"],
        **{group["groupName"]: group["template"]["spec"] for group in cluster["workerGroupSpecs"]},
    }


def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the pod's only container."""
    (one,) = pod["containers"]
    return one


def variables(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the container's environment variables, name -> value or reference."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(pod)["env"]}
