"""The serving stack on clusters: in each region the models, in front of all of them one entrance.

Order within a region: GKE's own kinds are there; namespace, accounts, secrets, policies; if the region is drained, its
streams have ended; the RayServices; the models answer. The entrance comes when the RayServices are there and does not
wait until they answer: it finds the Service when there is one. `destroy` goes the same way back, so that nobody is sent
to pods that end, and waits for load balancers and for KubeRay's clean-up of Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import Input, Output, ResourceOptions

from config.google.regions import Traffic
from config.model_service import PRIMARY_SERVICE_NAME, ModelService
from config.region_plan import RegionPlan, ServicePlan
from config.releases import KubernetesServing, RayAuthMode, Release, WaitFor
from config.serving import ServingSettings
from config.timeouts import Timeouts
from infra.contract import GatewayFrontend, GooglePlatform, ServingCluster
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
from workloads.kubernetes.readiness import ray_service as readiness
from workloads.kubernetes.readiness.crds import REQUIRED_CRDS, REQUIRED_CRDS_IN_FLEET, CrdsEstablished
from workloads.kubernetes.readiness.gateway import GatewayProgrammed
from workloads.kubernetes.readiness.ray_service_deletion import RayServiceDeleted
from workloads.kubernetes.readiness.region_drain import RegionDrained
from workloads.kubernetes.secrets import HUGGING_FACE, REDIS, SecretKeyRef, kubernetes_secret


def deploy(
    serving: ServingSettings,
    platform: GooglePlatform,
    region_plans: Mapping[str, RegionPlan],
    hugging_face_token: Output[str] | None,
) -> dict[str, Input[Any]]:
    """Declare everything; returns the stack's outputs. `region_plans`: name of a cluster's region -> its plan."""
    clusters = serving.kubernetes
    assert clusters is not None, "config/cross_validation.py refuses clusters without this block"
    stack = StackContext(serving, clusters, platform, platform.gateway_frontend, hugging_face_token)
    sites = [ClusterWorkloads(stack, site, region_plans[site.name]) for site in platform.clusters]
    front = _entrance(stack, {site.cluster.name: site for site in sites})
    return {
        **front,
        "client_timeout_s": stack.timeouts([site.release for site in sites]).client_timeout_s,
        "regions": {site.cluster.name: site.summary for site in sites},
    }


@dataclass(frozen=True)
class StackContext:
    serving: ServingSettings
    kubernetes: KubernetesServing
    platform: GooglePlatform
    gateway_frontend: GatewayFrontend
    hugging_face_token: Output[str] | None

    def timeouts(self, releases: Sequence[Release]) -> Timeouts:
        """Of what all `releases` go through: the longest answer of any."""
        return Timeouts(
            max(release.request_timeout_s for release in releases), self.kubernetes.load_balancer_propagation_s
        )

    @property
    def backends(self) -> list[Backend]:
        """What the entrance chooses between; the first model takes what no other claims."""
        rate = self.kubernetes.max_rate_per_endpoint
        further = self.kubernetes.additional_models
        return [
            Backend(PRIMARY_SERVICE_NAME, None, rate),
            *(Backend(each.name, each.route, each.max_rate_per_endpoint) for each in further),
        ]


class ClusterWorkloads:
    """One region's cluster."""

    def __init__(self, stack: StackContext, site: ServingCluster, plan: RegionPlan) -> None:
        self.stack = stack
        self.cluster = site
        self.plan = plan
        self.release = plan.release
        self.timeouts = stack.timeouts([plan.release])
        self.services: Mapping[str, ModelService] = {each.name: each.service for each in plan.services}
        self.namespace = site.service_accounts.namespace
        self.crds = CrdsEstablished(
            f"{site.name}-kinds",
            kubeconfig=site.kubeconfig,
            crds=REQUIRED_CRDS_IN_FLEET if stack.gateway_frontend.multi_cluster else REQUIRED_CRDS,
            opts=ResourceOptions(
                depends_on=[*site.depends_on, *stack.gateway_frontend.depends_on], deleted_with=site.cluster
            ),
        )
        self.provider = provider(site)
        self.serving_namespace = ServingNamespace(
            site.name, ServingNamespaceArgs(site.service_accounts), self._inside()
        )
        self.secrets: list[pulumi.Resource] = []
        self.redis_password = self._secret(REDIS, site.redis.password if site.redis else None)
        gated = any(service.model.gated for service in self.services.values())
        self.token = self._secret(HUGGING_FACE, stack.hugging_face_token if gated else None)
        self.drained = self._drained()
        self.ray_services = [self._service(each) for each in plan.services]

    def _inside(self, *after: pulumi.Resource) -> ResourceOptions:
        """Of what is gone when its cluster is gone."""
        return ResourceOptions(
            provider=self.provider, depends_on=[self.crds, *after], deleted_with=self.cluster.cluster
        )

    def _secret(self, name: str, value: Output[str] | None) -> SecretKeyRef | None:
        if value is None:
            return None
        made = kubernetes_secret(
            f"{self.cluster.name}-{name}",
            SecretKeyRef(name),
            self.namespace,
            value,
            self._inside(self.serving_namespace),
        )
        self.secrets.append(made)
        return SecretKeyRef(name)

    def _drained(self) -> list[pulumi.Resource]:
        if self.cluster.traffic is Traffic.ACTIVE:
            return []
        drained = RegionDrained(
            f"{self.cluster.name}-drained",
            kubeconfig=self.cluster.kubeconfig,
            namespace=self.namespace,
            services=list(self.services),
            limit_s=self.timeouts.ray_cluster_deletion_delay_s,
            settle_s=self.timeouts.load_balancer_propagation_s,
            opts=ResourceOptions(depends_on=[self.crds], deleted_with=self.cluster.cluster),
        )
        return [drained]

    def _service(self, plan: ServicePlan) -> RayService:
        name, service, workers = plan.name, plan.service, plan.worker_groups
        stack, site, resource = self.stack, self.cluster, f"{self.cluster.name}-{name}"
        network = RayServiceNetworkPolicies(
            resource,
            RayServiceNetworkPoliciesArgs(
                name, self.namespace, stack.gateway_frontend.proxy_ranges, site.redis is not None
            ),
            self._inside(self.serving_namespace),
        )
        pod_disruption_budgets(
            resource,
            name,
            self.namespace,
            workers,
            head_comes_back=site.redis is not None,
            opts=self._inside(self.serving_namespace),
        )
        gone = RayServiceDeleted(
            f"{resource}-deleted",
            kubeconfig=site.kubeconfig,
            namespace=self.namespace,
            service=name,
            opts=ResourceOptions(depends_on=[self.crds, self.serving_namespace, network, *self.secrets]),
        )
        ray_service = RayService(
            resource,
            RayServiceArgs(
                name=name,
                service=service,
                release=self.release,
                cluster=site,
                worker_groups=workers,
                timeouts=self.timeouts,
                priority_class=PRIORITY_CLASS,
                redis_password=self.redis_password,
                hugging_face_token=self.token if service.model.gated else None,
                scripts_config_map=self.serving_namespace.scripts_config_map,
                token_auth=self.release.ray_auth_mode is RayAuthMode.TOKEN,
                protect=stack.platform.protect,
            ),
            # Not deleted with the cluster: KubeRay has to clean Redis up, and the load balancer to let go.
            ResourceOptions(provider=self.provider, depends_on=[gone, *self.drained]),
        )
        waits = stack.kubernetes.wait_for is WaitFor.READY and not any(
            each.node_pool.waits_for_capacity for each in workers
        )
        readiness.RayServiceReady(
            f"{resource}-ready",
            kubeconfig=site.kubeconfig,
            namespace=self.namespace,
            service=name,
            spec_digest=ray_service.spec_digest,
            wait=waits,
            limit_s=stack.kubernetes.ready_timeout_s,
            opts=ResourceOptions(depends_on=[ray_service], deleted_with=site.cluster),
        )
        return ray_service

    @property
    def summary(self) -> dict[str, Any]:
        """What the stack says of this region."""
        return {
            "traffic": self.cluster.traffic.value,
            "models": {name: service.model.id for name, service in self.services.items()},
            "release": self.plan.release_name,
        }


def _entrance(stack: StackContext, sites: Mapping[str, ClusterWorkloads]) -> dict[str, Input[Any]]:
    entrance = stack.gateway_frontend
    config = sites[entrance.config_cluster]
    timeouts = stack.timeouts([site.release for site in sites.values()])
    sends_to: Sequence[pulumi.Resource] = config.ray_services
    if entrance.multi_cluster:
        sends_to = [
            ServiceExports(
                f"{name}-exports",
                ServiceExportsArgs(site.namespace, [backend.name for backend in stack.backends]),
                ResourceOptions(provider=site.provider, depends_on=[*site.ray_services, *entrance.depends_on]),
            )
            for name, site in sites.items()
            if site.cluster.traffic is Traffic.ACTIVE
        ]
    gateway = InferenceGateway(
        stack.platform.environment,
        InferenceGatewayArgs(entrance, stack.backends, config.namespace, timeouts),
        ResourceOptions(
            provider=config.provider,
            depends_on=[config.crds, config.serving_namespace, *entrance.depends_on, *sends_to],
        ),
    )
    GatewayProgrammed(
        f"{stack.platform.environment}-gateway-programmed",
        kubeconfig=config.cluster.kubeconfig,
        namespace=config.namespace,
        gateway=gateway.gateway,
        routes=gateway.routes,
        spec_digest=gateway.spec_digest,
        wait=stack.kubernetes.wait_for is WaitFor.READY,
        limit_s=stack.kubernetes.ready_timeout_s,
        opts=ResourceOptions(depends_on=[gateway], deleted_with=config.cluster.cluster),
    )
    return {"endpoint": gateway.endpoint}
