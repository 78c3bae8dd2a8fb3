"""A RayService as this repository's environments ask for it, as plain data: without a cloud, nothing is unknown."""

from __future__ import annotations

from typing import Any

import pulumi
import yaml

from config.google.infra import GoogleInfra
from config.google.regions import Traffic
from config.google.scheduling import gpu_pool_info, system_pool_info
from config.node_pool_info import GpuNodePoolInfo
from config.releases import RayAuthMode
from config.sizing import worker_groups
from config.stack import check
from config.timeouts import Timeouts
from infra.contract import ServingCluster
from infra.google.service_accounts import SERVICE_ACCOUNTS
from tests.unit.case import blocks, edited
from workloads.kubernetes.ray_service import RayServiceArgs, spec
from workloads.kubernetes.secrets import HUGGING_FACE, SecretKeyRef


def args(stack: str, edit: dict[str, Any] | None = None, *, region: int = 0) -> RayServiceArgs:
    """What the first model of `Pulumi.<stack>.yaml`, with `edit` on top, asks for in one region."""
    found = check(stack, edited(blocks(stack), edit or {}))
    infra, serving = found.infra, found.serving
    assert isinstance(infra, GoogleInfra)
    assert serving is not None
    assert serving.kubernetes is not None
    here = infra.regions[region]
    groups: tuple[GpuNodePoolInfo, ...] = tuple(gpu_pool_info(pool) for pool in here.node_pools)
    nothing: Any = None
    site = ServingCluster(
        name=here.name,
        region=here.name,
        cluster_id=nothing,
        kubeconfig=nothing,
        system_pool=system_pool_info(infra.system_pool),
        gpu_pools=groups,
        service_accounts=SERVICE_ACCOUNTS,
        model_bucket_url=None,
        redis=None,
        image_repository=None,
        traffic=Traffic(here.traffic),
    )
    release = serving.kubernetes.release(here.release)
    assert release is not None
    (service,) = serving.services(release)
    return RayServiceArgs(
        name="llm",
        service=service,
        release=release,
        cluster=site,
        worker_groups=worker_groups(service, groups),
        timeouts=Timeouts(release.request_timeout_s, serving.kubernetes.load_balancer_propagation_s),
        priority_class="rayllm-serving",
        redis_password=None,
        hugging_face_token=SecretKeyRef(HUGGING_FACE),
        scripts_config_map="app-0",
        token_auth=release.ray_auth_mode is RayAuthMode.TOKEN,
        protect=infra.protect,
    )


def manifest(stack: str, edit: dict[str, Any] | None = None) -> dict[str, Any]:
    """`spec` of it, with serveConfigV2 as data."""
    whole = spec(args(stack, edit))
    assert not any(isinstance(value, pulumi.Output) for value in whole.values())
    return {**whole, "serveConfigV2": yaml.safe_load(whole["serveConfigV2"])}


def pods(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`head` and each worker group's name -> its pod template's spec."""
    cluster = whole["rayClusterConfig"]
    return {
        "head": cluster["headGroupSpec"]["template"]["spec"],
        **{group["groupName"]: group["template"]["spec"] for group in cluster["workerGroupSpecs"]},
    }


def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Its only container."""
    (one,) = pod["containers"]
    return one


def variables(pod: dict[str, Any]) -> dict[str, Any]:
    """Name -> value of the container's environment."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(pod)["env"]}
