"""A Pulumi program: the workloads half of this stack, unchanged, on a real node instead of GKE clusters.

It fills in `infra/contract.py` by hand, where infra/google fills it in otherwise. The settings are the stack's
`rayllm:serving`, as in every environment.
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
from tests.harness.node import host, node, programs
from workloads.kubernetes.deploy import deploy

FOLDER = Path(os.environ["RAYLLM_NODE_FOLDER"])
SELECTOR = {POOL_LABEL: node.NODE_POOL}
REGION = host.NODE_NAME
POD_STORAGE_GIB = 10
"""Room for a worker's logs and its tiny model. The kubelet evicts a pod that writes more than it requests."""


def platform(traffic: Traffic, *, reservation_bound: bool) -> GooglePlatform:
    """Return a platform of one cluster. Its one node stands for several nodes that are as large as a worker pod.

    `reservation_bound`: the pool has as many nodes as the replicas need, and no spare node.
    """
    gpus = GpuNodePoolInfo(
        name=node.NODE_POOL,
        node_selector=SELECTOR,
        tolerations=(GPU_TAINT,),
        machine_type=host.NODE_NAME,
        vcpus=4,
        memory_gib=16,
        min_nodes=0,
        max_nodes=3,
        gpus_per_node=1,
        pod_storage_gib=POD_STORAGE_GIB,
        reservation_bound=reservation_bound,
    )
    head = NodePoolInfo(
        name=node.NODE_POOL,
        node_selector=SELECTOR,
        tolerations=(GPU_TAINT,),
        machine_type=host.NODE_NAME,
        vcpus=8,
        memory_gib=32,
        min_nodes=1,
        max_nodes=1,
    )
    redis_address = Output.from_input(f"{host.REDIS_ADDRESS}:{programs.REDIS_PORT}")
    cluster = ServingCluster(
        name=REGION,
        region=REGION,
        cluster_id=Output.from_input(REGION),
        kubeconfig=Output.from_input((FOLDER / "admin.kubeconfig").read_text()),
        system_pool=head,
        gpu_pools=(gpus,),
        service_accounts=SERVICE_ACCOUNTS,
        model_bucket_url=None,
        redis=RedisEndpoint(redis_address, Output.secret(programs.REDIS_PASSWORD)),
        image_repository=None,
        traffic=traffic,
    )
    frontend = GatewayFrontend(
        config_cluster=REGION,
        gateway_class="gke-l7-rilb",
        proxy_ranges=(f"{host.NODE_ADDRESS}/32",),
        addresses=(RegionalAddress(REGION, REGION, Output.from_input(host.NODE_ADDRESS)),),
        hostname=None,
        certificate=None,
        security_policy=None,
        dns_zone=None,
    )
    return GooglePlatform(host.NODE_NAME, (cluster,), frontend)


if __name__ == "__main__":
    config = pulumi.Config("rayllm")
    serving = parse(ServingSettings, "serving", json.loads(config.require("serving")))
    traffic = Traffic(config.get("traffic") or "active")
    bound = config.get_bool("reservation_bound") or False
    declared = platform(traffic, reservation_bound=bound)
    (cluster,) = declared.clusters
    plan = plan_region(serving, config.get("release") or "", cluster.gpu_pools)
    assert plan is not None, "serving.kubernetes.releases contains the release"
    for name, value in deploy(serving, declared, {cluster.name: plan}, None).items():
        pulumi.export(name, value)
