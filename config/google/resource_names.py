"""Every name that this layer gives, so that all of them are checked before any is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from config.google import name_limits
from config.google.infra import GoogleInfra
from config.google.name_limits import PlannedName, ResourceKind
from config.google.node_pools import SYSTEM_POOL_NAME


@dataclass(frozen=True)
class ResourceNames:
    """Names of an environment's resources; each is `environment-region-role` where it has a region."""

    environment: str
    project: str

    def vpc(self) -> str:
        return self._of(ResourceKind.NETWORK, "vpc")

    def subnetwork(self, region: str) -> str:
        return self._of(ResourceKind.SUBNETWORK, "nodes", region)

    def pods_range(self, region: str) -> str:
        return self._of(ResourceKind.SECONDARY_RANGE, "pods", region)

    def services_range(self, region: str) -> str:
        return self._of(ResourceKind.SECONDARY_RANGE, "services", region)

    def proxy_subnetwork(self, region: str, purpose: str) -> str:
        """`purpose` keeps the two kinds apart: they can exist side by side while one takes the other's place."""
        return self._of(ResourceKind.SUBNETWORK, f"{purpose.split('_')[0].lower()}-proxies", region)

    def router(self, region: str) -> str:
        return self._of(ResourceKind.ROUTER, "router", region)

    def nat(self, region: str) -> str:
        return self._of(ResourceKind.NAT, "nat", region)

    def firewall(self) -> str:
        return self._of(ResourceKind.FIREWALL, "load-balancer-to-serve")

    def node_tag(self) -> str:
        """Network tag of every node."""
        return self._of(ResourceKind.FIREWALL, "nodes")

    def node_service_account(self) -> str:
        return self._of(ResourceKind.SERVICE_ACCOUNT, "nodes")

    def cluster(self, region: str) -> str:
        """The cluster's fleet membership has the same name."""
        return self._of(ResourceKind.CLUSTER, "serving", region)

    def node_pool(self, region: str, pool: str) -> str:
        return self._of(ResourceKind.NODE_POOL, pool, region)

    def redis(self, region: str) -> str:
        return self._of(ResourceKind.REDIS, "redis", region)

    def repository(self, region: str) -> str:
        return self._of(ResourceKind.REPOSITORY, "images", region)

    def bucket(self) -> str:
        return name_limits.resource_name(ResourceKind.BUCKET, self.environment, "models", project=self.project)

    def address(self, region: str | None) -> str:
        """None: the global address of a public entrance."""
        return self._of(ResourceKind.ADDRESS, "gateway", region)

    def dns_zone(self) -> str:
        return self._of(ResourceKind.DNS_ZONE, "zone")

    def certificate(self) -> str:
        """Of the certificate, its map and the map's entry."""
        return self._of(ResourceKind.CERTIFICATE, "gateway")

    def dns_authorization(self) -> str:
        return self._of(ResourceKind.DNS_AUTHORIZATION, "gateway")

    def security_policy(self) -> str:
        return self._of(ResourceKind.SECURITY_POLICY, "gateway")

    def _of(self, kind: ResourceKind, role: str, region: str | None = None) -> str:
        return name_limits.resource_name(kind, self.environment, role, region)


def find_issues(settings: GoogleInfra, environment: str) -> Iterator[PydanticCustomError]:
    """Names that Google would not take, or that two things ask for; before any resource exists."""
    given = ResourceNames(environment, settings.project.id)
    try:
        yield from name_limits.collisions(_pools(settings, given))
        for each in (
            given.vpc,
            given.firewall,
            given.node_tag,
            given.node_service_account,
            given.bucket,
            given.dns_zone,
            given.certificate,
            given.dns_authorization,
            given.security_policy,
        ):
            each()
        given.address(None)
        for region in settings.regions:
            for each in (
                given.subnetwork,
                given.pods_range,
                given.services_range,
                given.router,
                given.nat,
                given.cluster,
                given.redis,
                given.repository,
                given.address,
            ):
                each(region.name)
            given.proxy_subnetwork(region.name, "REGIONAL_MANAGED_PROXY")
    except PydanticCustomError as refusal:
        yield refusal


def _pools(settings: GoogleInfra, given: ResourceNames) -> Iterator[PlannedName]:
    for i, region in enumerate(settings.regions):
        cluster = given.cluster(region.name)
        yield PlannedName(
            ResourceKind.NODE_POOL, given.node_pool(region.name, SYSTEM_POOL_NAME), "infra.system_pool", cluster
        )
        for j, pool in enumerate(region.node_pools):
            at = f"infra.regions[{i}].node_pools[{j}]"
            yield PlannedName(ResourceKind.NODE_POOL, given.node_pool(region.name, pool.name), at, cluster)
