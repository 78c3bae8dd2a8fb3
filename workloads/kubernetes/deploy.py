"""The workloads of all clusters: the models of each region, and one gateway in front of them.

Order within a region: GKE's CRDs are established; namespace, service accounts, secrets and policies exist; if the
region is drained, its open requests have ended; the RayServices are created; the models answer. The gateway is created
after the RayServices and does not wait until they answer: it finds a Service as soon as KubeRay creates it.

`pulumi destroy` takes the reverse order, so that no client is sent to pods that end. It waits until Google has deleted
the load balancers and KubeRay has cleaned Redis up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import Input, Output, ResourceOptions

from config.google.regions import Traffic
from config.model_service import PRIMARY_SERVICE_NAME
from config.region_plan import RegionPlan, ServicePlan
from config.releases import KubernetesServing, RayAuthMode, Release, WaitFor
from config.serving import ServingSettings
from config.start_timeouts import StartTimeouts
from config.timeouts import Timeouts
from infra.contract import GooglePlatform, ServingCluster
from workloads.kubernetes.disruption_budgets import pod_disruption_budgets
from workloads.kubernetes.gateway import (
    Backend,
    InferenceGateway,
    InferenceGatewayArgs,
    ServiceExports,
    ServiceExportsArgs,
)
from workloads.kubernetes.namespace import PRIORITY_CLASS, ServingNamespace, ServingNamespaceArgs
from workloads.kubernetes.network_policy import RayServiceNetworkPolicies, RayServiceNetworkPoliciesArgs
from workloads.kubernetes.provider import provider
from workloads.kubernetes.ray_service import RayService, RayServiceArgs
from workloads.kubernetes.readiness.crds import REQUIRED_CRDS, REQUIRED_CRDS_IN_FLEET, CrdsEstablished
from workloads.kubernetes.readiness.gateway import GatewayProgrammed
from workloads.kubernetes.readiness.ray_service import RayServiceReady
from workloads.kubernetes.readiness.ray_service_deletion import RayServiceDeleted
from workloads.kubernetes.readiness.region_drain import RegionDrained
from workloads.kubernetes.secrets import HUGGING_FACE, REDIS, SecretKeyRef, kubernetes_secret


def deploy(
    serving: ServingSettings,
    platform: GooglePlatform,
    region_plans: Mapping[str, RegionPlan],
    hugging_face_token: Output[str] | None,
) -> dict[str, Input[Any]]:
    """Declare the workloads of all clusters and return the stack's outputs. `region_plans`: region -> its plan."""
    assert serving.kubernetes is not None, "config/cross_validation.py reports a missing serving.kubernetes"
    stack = StackContext(serving.kubernetes, platform, hugging_face_token)
    regions = {
        cluster.name: ClusterWorkloads(stack, cluster, region_plans[cluster.name]) for cluster in platform.clusters
    }
    gateway = _gateway(stack, regions)
    return {
        "endpoint": gateway.endpoint,
        "client_timeout_s": stack.timeouts([region.release for region in regions.values()]).client_timeout_s,
        "regions": {name: region.summary for name, region in regions.items()},
    }


@dataclass(frozen=True)
class StackContext:
    """Settings that all regions share."""

    kubernetes: KubernetesServing
    platform: GooglePlatform
    hugging_face_token: Output[str] | None

    def timeouts(self, releases: Sequence[Release]) -> Timeouts:
        """Return the timeouts of a component that serves these releases: they follow from the longest request."""
        return Timeouts(
            max(release.request_timeout_s for release in releases), self.kubernetes.load_balancer_propagation_s
        )

    @property
    def backends(self) -> list[Backend]:
        """Back ends of the gateway. The first model receives every request that no other route matches."""
        return [
            Backend(PRIMARY_SERVICE_NAME, None, self.kubernetes.max_rate_per_endpoint),
            *(
                Backend(model.name, model.route, model.max_rate_per_endpoint)
                for model in self.kubernetes.additional_models
            ),
        ]


class ClusterWorkloads:
    """The workloads of one region's cluster."""

    def __init__(self, stack: StackContext, cluster: ServingCluster, plan: RegionPlan) -> None:
        self.stack = stack
        self.cluster = cluster
        self.plan = plan
        self.release = plan.release
        self.timeouts = stack.timeouts([plan.release])
        self.namespace = cluster.service_accounts.namespace
        frontend = stack.platform.gateway_frontend
        self.crds = CrdsEstablished(
            f"{cluster.name}-crds-established",
            kubeconfig=cluster.kubeconfig,
            crds=REQUIRED_CRDS_IN_FLEET if frontend.multi_cluster else REQUIRED_CRDS,
            opts=ResourceOptions(depends_on=[*cluster.depends_on, *frontend.depends_on], deleted_with=cluster.cluster),
        )
        self.provider = provider(cluster)
        self.serving_namespace = ServingNamespace(
            cluster.name, ServingNamespaceArgs(cluster.service_accounts), self._in_cluster()
        )
        self.secrets: list[pulumi.Resource] = []
        self.redis_password = self._secret(REDIS, cluster.redis.password if cluster.redis else None)
        gated = any(service.service.model.gated for service in plan.services)
        self.hugging_face_token = self._secret(HUGGING_FACE, stack.hugging_face_token if gated else None)
        self.drained = self._drained()
        self.ray_services = [self._ray_service(service) for service in plan.services]

    @property
    def summary(self) -> dict[str, Any]:
        """The region's part of the stack's outputs."""
        return {
            "traffic": self.cluster.traffic.value,
            "models": {service.name: service.service.model.id for service in self.plan.services},
            "release": self.plan.release_name,
        }

    def _in_cluster(self, *depends_on: pulumi.Resource) -> ResourceOptions:
        """Options of a resource that Kubernetes deletes together with the cluster."""
        return ResourceOptions(
            provider=self.provider, depends_on=[self.crds, *depends_on], deleted_with=self.cluster.cluster
        )

    def _secret(self, name: str, value: Output[str] | None) -> SecretKeyRef | None:
        if value is None:
            return None
        key = SecretKeyRef(name)
        opts = self._in_cluster(self.serving_namespace)
        self.secrets.append(kubernetes_secret(f"{self.cluster.name}-{name}", key, self.namespace, value, opts))
        return key

    def _drained(self) -> list[pulumi.Resource]:
        if self.cluster.traffic is Traffic.ACTIVE:
            return []
        drained = RegionDrained(
            f"{self.cluster.name}-drained",
            kubeconfig=self.cluster.kubeconfig,
            namespace=self.namespace,
            services=[service.name for service in self.plan.services],
            limit_s=self.timeouts.ray_cluster_deletion_delay_s,
            settle_s=self.timeouts.load_balancer_propagation_s,
            opts=ResourceOptions(depends_on=[self.crds], deleted_with=self.cluster.cluster),
        )
        return [drained]

    def _ray_service(self, plan: ServicePlan) -> RayService:
        name = f"{self.cluster.name}-{plan.name}"
        deleted = self._before_ray_service(name, plan)
        kubernetes = self.stack.kubernetes
        waits_for_capacity = any(group.node_pool.waits_for_capacity for group in plan.worker_groups)
        ray_service = RayService(
            name,
            RayServiceArgs(
                plan=plan,
                release=self.release,
                cluster=self.cluster,
                timeouts=self.timeouts,
                start_timeouts=StartTimeouts(kubernetes.ready_timeout_s, waits_for_capacity),
                priority_class=PRIORITY_CLASS,
                redis_password=self.redis_password,
                hugging_face_token=self.hugging_face_token if plan.service.model.gated else None,
                scripts_config_map=self.serving_namespace.scripts_config_map,
                token_auth=self.release.ray_auth_mode is RayAuthMode.TOKEN,
                protect=self.stack.platform.protect,
            ),
            # Not `deleted_with` the cluster: KubeRay must clean Redis up, and Google must delete the load balancer.
            ResourceOptions(provider=self.provider, depends_on=[deleted, *self.drained]),
        )
        RayServiceReady(
            f"{name}-ready",
            kubeconfig=self.cluster.kubeconfig,
            namespace=self.namespace,
            service=plan.name,
            spec_digest=ray_service.spec_digest,
            wait=kubernetes.wait_for is WaitFor.READY and not waits_for_capacity,
            limit_s=kubernetes.ready_timeout_s,
            opts=ResourceOptions(depends_on=[ray_service], deleted_with=self.cluster.cluster),
        )
        return ray_service

    def _before_ray_service(self, name: str, plan: ServicePlan) -> RayServiceDeleted:
        """Declare what a RayService needs, and return the wait that Pulumi deletes after the RayService."""
        fault_tolerant = self.cluster.redis is not None
        proxy_ranges = self.stack.platform.gateway_frontend.proxy_ranges
        policies = RayServiceNetworkPolicies(
            name,
            RayServiceNetworkPoliciesArgs(plan.name, self.namespace, proxy_ranges, fault_tolerant),
            self._in_cluster(self.serving_namespace),
        )
        pod_disruption_budgets(
            name,
            plan.name,
            self.namespace,
            plan.worker_groups,
            head_restarts=fault_tolerant,
            opts=self._in_cluster(self.serving_namespace),
        )
        return RayServiceDeleted(
            f"{name}-deleted",
            kubeconfig=self.cluster.kubeconfig,
            namespace=self.namespace,
            service=plan.name,
            limit_s=self.timeouts.ray_service_deletion_timeout_s,
            opts=ResourceOptions(depends_on=[self.crds, self.serving_namespace, policies, *self.secrets]),
        )


def _gateway(stack: StackContext, regions: Mapping[str, ClusterWorkloads]) -> InferenceGateway:
    """Declare the gateway in the config cluster, after the Services or ServiceExports to which it sends requests."""
    frontend = stack.platform.gateway_frontend
    config_region = regions[frontend.config_cluster]
    timeouts = stack.timeouts([region.release for region in regions.values()])
    backends: Sequence[pulumi.Resource] = config_region.ray_services
    if frontend.multi_cluster:
        backends = [
            ServiceExports(
                f"{name}-exports",
                ServiceExportsArgs(region.namespace, [backend.name for backend in stack.backends]),
                ResourceOptions(provider=region.provider, depends_on=[*region.ray_services, *frontend.depends_on]),
            )
            for name, region in regions.items()
            if region.cluster.traffic is Traffic.ACTIVE
        ]
    gateway = InferenceGateway(
        stack.platform.environment,
        InferenceGatewayArgs(frontend, stack.backends, config_region.namespace, timeouts),
        ResourceOptions(
            provider=config_region.provider,
            depends_on=[config_region.crds, config_region.serving_namespace, *frontend.depends_on, *backends],
        ),
    )
    GatewayProgrammed(
        f"{stack.platform.environment}-gateway-programmed",
        kubeconfig=config_region.cluster.kubeconfig,
        namespace=config_region.namespace,
        gateway=gateway.gateway,
        routes=gateway.routes,
        spec_digest=gateway.spec_digest,
        exports={
            name: region.cluster.kubeconfig
            for name, region in regions.items()
            if frontend.multi_cluster and region.cluster.traffic is Traffic.ACTIVE
        },
        wait=stack.kubernetes.wait_for is WaitFor.READY,
        limit_s=stack.kubernetes.ready_timeout_s,
        opts=ResourceOptions(depends_on=[gateway], deleted_with=config_region.cluster.cluster),
    )
    return gateway
