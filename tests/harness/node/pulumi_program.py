"""A Pulumi program: the workloads half of this stack, as it is, on a real node instead of a GKE cluster.

`infra/contract.py` is filled in by hand, where infra/google fills it in otherwise. Settings come as the stack's
`rayllm:serving`, like everybody's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pulumi
from pulumi import Output

from config.google.regions import Traffic
from config.google.scheduling import GPU_TAINT, POOL_LABEL
from config.node_pool_info import GpuNodePoolInfo, NodePoolInfo
from config.parsing import parse
from config.region_plan import plan_region
from config.serving import ServingSettings
from infra.contract import GatewayFrontend, GooglePlatform, RedisEndpoint, RegionalAddress, ServingCluster
from infra.google.service_accounts import SERVICE_ACCOUNTS
from tests.harness.node import host, node
from workloads.kubernetes.deploy import deploy

FOLDER = Path(os.environ["RAYLLM_NODE_FOLDER"])
SELECTOR = {POOL_LABEL: node.POOL}


def platform(traffic: Traffic, *, fixed: bool) -> GooglePlatform:
    """One cluster of one node, which stands for several of a size that pods take whole. `fixed`: as many as replicas
    need, and none beyond."""
    gpus = GpuNodePoolInfo(
        name=node.POOL,
        node_selector=SELECTOR,
        tolerations=(GPU_TAINT,),
        machine_type="rig",
        vcpus=4,
        memory_gib=16,
        min_nodes=0,
        max_nodes=3,
        gpus_per_node=1,
        reservation_bound=fixed,
    )
    head = NodePoolInfo(
        name=node.POOL,
        node_selector=SELECTOR,
        tolerations=(GPU_TAINT,),
        machine_type="rig",
        vcpus=8,
        memory_gib=32,
        min_nodes=1,
        max_nodes=1,
    )
    site = ServingCluster(
        name="rig",
        region="rig",
        cluster_id=Output.from_input("rig"),
        kubeconfig=Output.from_input((FOLDER / "admin.kubeconfig").read_text()),
        system_pool=head,
        gpu_pools=(gpus,),
        service_accounts=SERVICE_ACCOUNTS,
        model_bucket_url=None,
        redis=RedisEndpoint(Output.from_input(f"{host.REDIS}:{node.REDIS_PORT}"), Output.secret(node.PASSWORD)),
        image_repository=None,
        traffic=traffic,
    )
    entrance = GatewayFrontend(
        config_cluster="rig",
        gateway_class="gke-l7-rilb",
        proxy_ranges=(f"{host.ADDRESS}/32",),
        addresses=(RegionalAddress("rig", "rig", Output.from_input(host.ADDRESS)),),
        hostname=None,
        certificate=None,
        security_policy=None,
        dns_zone=None,
    )
    return GooglePlatform("rig", (site,), entrance)


if __name__ == "__main__":
    config = pulumi.Config("rayllm")
    serving = parse(ServingSettings, "serving", json.loads(config.require("serving")))
    traffic = Traffic(config.get("traffic") or "active")
    made = platform(traffic, fixed=config.get_bool("fixed") or False)
    (cluster,) = made.clusters
    plan = plan_region(serving, config.get("release") or "", cluster.gpu_pools)
    assert plan is not None, "serving.kubernetes.releases has the release"
    for name, value in deploy(serving, made, {cluster.name: plan}, None).items():
        pulumi.export(name, value)
