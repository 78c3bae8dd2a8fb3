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
from config.model_service import FIRST, Service
from config.releases import Clusters, FurtherService, Release, WaitFor
from config.serving import ServingSettings
from config.sizing import workers_of
from config.timeouts import Timeouts
from infra.contract import ClusterSite, Entrance, Platform
from workloads.kubernetes.disruption_budgets import budgets
from workloads.kubernetes.gateway import Backend, EntranceArgs, GatewayEntrance, ServiceExports, ServiceExportsArgs
from workloads.kubernetes.namespace import PRIORITY_CLASS, Ground, GroundArgs
from workloads.kubernetes.network_policy import RayServiceNetwork, RayServiceNetworkArgs
from workloads.kubernetes.provider import provider
from workloads.kubernetes.ray_service import RayService, RayServiceArgs
from workloads.kubernetes.readiness import ray_service as readiness
from workloads.kubernetes.readiness.crds import NEEDED, NEEDED_IN_FLEET, CrdsReady
from workloads.kubernetes.readiness.gateway import EntranceReady
from workloads.kubernetes.readiness.ray_service_deletion import RayServiceGone
from workloads.kubernetes.readiness.region_drain import Drained
from workloads.kubernetes.secrets import HUGGING_FACE, REDIS, Key, secret


def deploy(
    serving: ServingSettings, platform: Platform, hugging_face_token: Output[str] | None
) -> dict[str, Input[Any]]:
    """Declare everything; returns the stack's outputs."""
    clusters, entrance = serving.clusters, platform.entrance
    assert clusters is not None, "config/cross_validation.py refuses clusters without this block"
    assert entrance is not None, "infra makes an entrance wherever it makes clusters"
    stack = _Stack(serving, clusters, platform, entrance, hugging_face_token)
    sites = [_Site(stack, site) for site in platform.sites if isinstance(site, ClusterSite)]
    front = _entrance(stack, {site.site.name: site for site in sites})
    return {
        **front,
        "client_timeout_s": stack.timeouts([site.release for site in sites]).client_s,
        "regions": {site.site.name: site.summary for site in sites},
    }


@dataclass(frozen=True)
class _Stack:
    serving: ServingSettings
    clusters: Clusters
    platform: Platform
    entrance: Entrance
    hugging_face_token: Output[str] | None

    def timeouts(self, releases: Sequence[Release]) -> Timeouts:
        """Of what all `releases` go through: the longest answer of any."""
        return Timeouts(max(release.longest_answer_s for release in releases), self.clusters.detach_s)

    @property
    def backends(self) -> list[Backend]:
        """What the entrance chooses between; the first model takes what no other claims."""
        rate = self.clusters.requests_per_second_per_worker
        further = self.clusters.services
        return [
            Backend(FIRST, None, rate),
            *(Backend(each.name, each.route, each.requests_per_second_per_worker) for each in further),
        ]


class _Site:
    """One region's cluster."""

    def __init__(self, stack: _Stack, site: ClusterSite) -> None:
        release = stack.clusters.release(site.release)
        assert release is not None, "config/cross_validation.py refuses a region without a release"
        self.stack = stack
        self.site = site
        self.release = release
        self.timeouts = stack.timeouts([release])
        self.services: Mapping[str, Service] = {
            each.name if isinstance(each, FurtherService) else FIRST: each for each in stack.serving.services(release)
        }
        self.namespace = site.service_accounts.namespace
        self.crds = CrdsReady(
            f"{site.name}-kinds",
            kubeconfig=site.kubeconfig,
            crds=NEEDED_IN_FLEET if stack.entrance.multi_cluster else NEEDED,
            opts=ResourceOptions(depends_on=[*site.ready, *stack.entrance.ready], deleted_with=site.cluster),
        )
        self.provider = provider(site)
        self.ground = Ground(site.name, GroundArgs(site.service_accounts), self._inside())
        self.secrets: list[pulumi.Resource] = []
        self.redis_password = self._secret(REDIS, site.head_state.password if site.head_state else None)
        gated = any(service.model.gated for service in self.services.values())
        self.token = self._secret(HUGGING_FACE, stack.hugging_face_token if gated else None)
        self.drained = self._drained()
        self.ray_services = [self._service(name, service) for name, service in self.services.items()]

    def _inside(self, *after: pulumi.Resource) -> ResourceOptions:
        """Of what is gone when its cluster is gone."""
        return ResourceOptions(provider=self.provider, depends_on=[self.crds, *after], deleted_with=self.site.cluster)

    def _secret(self, name: str, value: Output[str] | None) -> Key | None:
        if value is None:
            return None
        made = secret(f"{self.site.name}-{name}", Key(name), self.namespace, value, self._inside(self.ground))
        self.secrets.append(made)
        return Key(name)

    def _drained(self) -> list[pulumi.Resource]:
        if self.site.traffic is Traffic.ACTIVE:
            return []
        drained = Drained(
            f"{self.site.name}-drained",
            kubeconfig=self.site.kubeconfig,
            namespace=self.namespace,
            services=list(self.services),
            limit_s=self.timeouts.cluster_deletion_delay_s,
            settle_s=self.timeouts.detach_s,
            opts=ResourceOptions(depends_on=[self.crds], deleted_with=self.site.cluster),
        )
        return [drained]

    def _service(self, name: str, service: Service) -> RayService:
        stack, site, resource = self.stack, self.site, f"{self.site.name}-{name}"
        workers = workers_of(service, site.gpu_nodes)
        network = RayServiceNetwork(
            resource,
            RayServiceNetworkArgs(name, self.namespace, stack.entrance.proxy_ranges, site.head_state is not None),
            self._inside(self.ground),
        )
        budgets(
            resource,
            name,
            self.namespace,
            workers,
            head_comes_back=site.head_state is not None,
            opts=self._inside(self.ground),
        )
        gone = RayServiceGone(
            f"{resource}-gone",
            kubeconfig=site.kubeconfig,
            namespace=self.namespace,
            service=name,
            opts=ResourceOptions(depends_on=[self.crds, self.ground, network, *self.secrets]),
        )
        ray_service = RayService(
            resource,
            RayServiceArgs(
                name=name,
                service=service,
                release=self.release,
                site=site,
                workers=workers,
                timeouts=self.timeouts,
                priority_class=PRIORITY_CLASS,
                redis_password=self.redis_password,
                hugging_face_token=self.token if service.model.gated else None,
                app=self.ground.app,
                tokens=self.release.ray_tokens,
                protect=stack.platform.protect,
            ),
            # Not deleted with the cluster: KubeRay has to clean Redis up, and the load balancer to let go.
            ResourceOptions(provider=self.provider, depends_on=[gone, *self.drained]),
        )
        waits = stack.clusters.wait_for is WaitFor.READY and not any(each.group.may_wait for each in workers)
        readiness.RayServiceReady(
            f"{resource}-ready",
            kubeconfig=site.kubeconfig,
            namespace=self.namespace,
            service=name,
            generation_key=ray_service.digest,
            wait=waits,
            limit_s=stack.clusters.ready_limit_s,
            opts=ResourceOptions(depends_on=[ray_service], deleted_with=site.cluster),
        )
        return ray_service

    @property
    def summary(self) -> dict[str, Any]:
        """What the stack says of this region."""
        return {
            "traffic": self.site.traffic.value,
            "models": {name: service.model.id for name, service in self.services.items()},
            "release": self.site.release or next(iter(self.stack.clusters.releases)),
        }


def _entrance(stack: _Stack, sites: Mapping[str, _Site]) -> dict[str, Input[Any]]:
    entrance = stack.entrance
    config = sites[entrance.config_site]
    timeouts = stack.timeouts([site.release for site in sites.values()])
    sends_to: Sequence[pulumi.Resource] = config.ray_services
    if entrance.multi_cluster:
        sends_to = [
            ServiceExports(
                f"{name}-exports",
                ServiceExportsArgs(site.namespace, [backend.name for backend in stack.backends]),
                ResourceOptions(provider=site.provider, depends_on=[*site.ray_services, *entrance.ready]),
            )
            for name, site in sites.items()
            if site.site.traffic is Traffic.ACTIVE
        ]
    gateway = GatewayEntrance(
        stack.platform.environment,
        EntranceArgs(entrance, stack.backends, config.namespace, timeouts),
        ResourceOptions(provider=config.provider, depends_on=[config.crds, config.ground, *entrance.ready, *sends_to]),
    )
    EntranceReady(
        f"{stack.platform.environment}-entrance-ready",
        kubeconfig=config.site.kubeconfig,
        namespace=config.namespace,
        gateway=gateway.gateway,
        routes=gateway.routes,
        generation_key=gateway.digest,
        wait=stack.clusters.wait_for is WaitFor.READY,
        limit_s=stack.clusters.ready_limit_s,
        opts=ResourceOptions(depends_on=[gateway], deleted_with=config.site.cluster),
    )
    return {"endpoint": gateway.endpoint}
