"""Every name that this layer gives, so that all of them are checked before any is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from config.google import name_limits
from config.google.infra import GoogleSettings
from config.google.name_limits import Kind, Named
from config.google.node_pools import SYSTEM_POOL


@dataclass(frozen=True)
class Names:
    """Names of an environment's resources; each is `environment-region-role` where it has a region."""

    environment: str
    project: str

    def vpc(self) -> str:
        return self._of(Kind.NETWORK, "vpc")

    def subnetwork(self, region: str) -> str:
        return self._of(Kind.SUBNETWORK, "nodes", region)

    def pods_range(self, region: str) -> str:
        return self._of(Kind.SECONDARY_RANGE, "pods", region)

    def services_range(self, region: str) -> str:
        return self._of(Kind.SECONDARY_RANGE, "services", region)

    def proxy_subnetwork(self, region: str, purpose: str) -> str:
        """`purpose` keeps the two kinds apart: they can exist side by side while one takes the other's place."""
        return self._of(Kind.SUBNETWORK, f"{purpose.split('_')[0].lower()}-proxies", region)

    def router(self, region: str) -> str:
        return self._of(Kind.ROUTER, "router", region)

    def nat(self, region: str) -> str:
        return self._of(Kind.NAT, "nat", region)

    def firewall(self) -> str:
        return self._of(Kind.FIREWALL, "load-balancer-to-serve")

    def node_tag(self) -> str:
        """Network tag of every node."""
        return self._of(Kind.FIREWALL, "nodes")

    def node_account(self) -> str:
        return self._of(Kind.SERVICE_ACCOUNT, "nodes")

    def cluster(self, region: str) -> str:
        """The cluster's fleet membership has the same name."""
        return self._of(Kind.CLUSTER, "serving", region)

    def pool(self, region: str, pool: str) -> str:
        return self._of(Kind.NODE_POOL, pool, region)

    def redis(self, region: str) -> str:
        return self._of(Kind.REDIS, "head-state", region)

    def repository(self, region: str) -> str:
        return self._of(Kind.REPOSITORY, "images", region)

    def bucket(self) -> str:
        return name_limits.name(Kind.BUCKET, self.environment, "models", project=self.project)

    def address(self, region: str | None) -> str:
        """None: the global address of a public entrance."""
        return self._of(Kind.ADDRESS, "entrance", region)

    def dns_zone(self) -> str:
        return self._of(Kind.DNS_ZONE, "zone")

    def certificate(self) -> str:
        """Of the certificate, its map and the map's entry."""
        return self._of(Kind.CERTIFICATE, "entrance")

    def dns_authorization(self) -> str:
        return self._of(Kind.DNS_AUTHORIZATION, "entrance")

    def security_policy(self) -> str:
        return self._of(Kind.SECURITY_POLICY, "entrance")

    def _of(self, kind: Kind, role: str, region: str | None = None) -> str:
        return name_limits.name(kind, self.environment, role, region)


def refusals(settings: GoogleSettings, environment: str) -> Iterator[PydanticCustomError]:
    """Names that Google would not take, or that two things ask for; before any resource exists."""
    given = Names(environment, settings.project.id)
    try:
        yield from name_limits.collisions(_pools(settings, given))
        for each in (
            given.vpc,
            given.firewall,
            given.node_tag,
            given.node_account,
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


def _pools(settings: GoogleSettings, given: Names) -> Iterator[Named]:
    for i, region in enumerate(settings.regions):
        cluster = given.cluster(region.name)
        yield Named(Kind.NODE_POOL, given.pool(region.name, SYSTEM_POOL), "infra.system_pool", cluster)
        for j, pool in enumerate(region.pools):
            at = f"infra.regions[{i}].pools[{j}]"
            yield Named(Kind.NODE_POOL, given.pool(region.name, pool.name), at, cluster)
