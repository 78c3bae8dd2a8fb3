"""Names of all Google resources of a stack, in one place, so that all are checked before one is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from config.google import name_limits
from config.google.infra import GoogleInfra
from config.google.name_limits import PlannedName, ResourceKind
from config.google.node_pools import SYSTEM_POOL_NAME
from config.issues import ConfigError, ConfigIssue


@dataclass(frozen=True)
class ResourceNames:
    """Names of a stack's resources: `environment-region-role`, or `environment-role` without a region."""

    environment: str
    project: str

    def vpc(self) -> str:
        """Return the name of the VPC."""
        return self._of(ResourceKind.NETWORK, "vpc")

    def subnetwork(self, region: str) -> str:
        """Return the name of the nodes' subnetwork of a region."""
        return self._of(ResourceKind.SUBNETWORK, "nodes", region)

    def pods_range(self, region: str) -> str:
        """Return the name of the secondary range of pods."""
        return self._of(ResourceKind.SECONDARY_RANGE, "pods", region)

    def services_range(self, region: str) -> str:
        """Return the name of the secondary range of Services."""
        return self._of(ResourceKind.SECONDARY_RANGE, "services", region)

    def proxy_subnetwork(self, region: str, purpose: str) -> str:
        """Return the name of a proxy-only subnetwork. Two purposes have two names, because both subnetworks exist for a
        moment when one replaces the other."""
        return self._of(ResourceKind.SUBNETWORK, f"{purpose.split('_')[0].lower()}-proxies", region)

    def router(self, region: str) -> str:
        """Return the name of the Cloud Router of a region."""
        return self._of(ResourceKind.ROUTER, "router", region)

    def nat(self, region: str) -> str:
        """Return the name of the Cloud NAT gateway of a region."""
        return self._of(ResourceKind.NAT, "nat", region)

    def firewall(self) -> str:
        """Return the name of the firewall rule."""
        return self._of(ResourceKind.FIREWALL, "load-balancer-to-serve")

    def node_tag(self) -> str:
        """Return the network tag of every node."""
        return self._of(ResourceKind.FIREWALL, "nodes")

    def node_service_account(self) -> str:
        """Return the name of the nodes' service account."""
        return self._of(ResourceKind.SERVICE_ACCOUNT, "nodes")

    def cluster(self, region: str) -> str:
        """Return the name of the cluster and of its fleet membership."""
        return self._of(ResourceKind.CLUSTER, "serving", region)

    def node_pool(self, region: str, pool: str, setting: str = name_limits.STACK) -> str:
        """Return the name of a node pool. `setting`: settings path of `pool`, for an issue."""
        return name_limits.resource_name(ResourceKind.NODE_POOL, self.environment, pool, region, setting=setting)

    def redis(self, region: str) -> str:
        """Return the name of the Memorystore instance of a region."""
        return self._of(ResourceKind.REDIS, "redis", region)

    def repository(self, region: str) -> str:
        """Return the name of the Artifact Registry repository of a region."""
        return self._of(ResourceKind.REPOSITORY, "images", region)

    def bucket(self) -> str:
        """Return the name of the model bucket."""
        return name_limits.resource_name(ResourceKind.BUCKET, self.environment, "models", project=self.project)

    def address(self, region: str | None) -> str:
        """Return the name of an address. `region` None: the global address of an external gateway."""
        return self._of(ResourceKind.ADDRESS, "gateway", region)

    def dns_zone(self) -> str:
        """Return the name of the DNS zone."""
        return self._of(ResourceKind.DNS_ZONE, "zone")

    def certificate(self) -> str:
        """Return the name of the certificate, its map and the map's entry."""
        return self._of(ResourceKind.CERTIFICATE, "gateway")

    def dns_authorization(self) -> str:
        """Return the name of the DNS authorization."""
        return self._of(ResourceKind.DNS_AUTHORIZATION, "gateway")

    def security_policy(self) -> str:
        """Return the name of the Cloud Armor policy."""
        return self._of(ResourceKind.SECURITY_POLICY, "gateway")

    def _of(self, kind: ResourceKind, role: str, region: str | None = None) -> str:
        return name_limits.resource_name(kind, self.environment, role, region)


def find_issues(infra: GoogleInfra, environment: str) -> Iterator[ConfigIssue]:
    """Yield an issue for names that Google does not accept, or that two node pools would share.

    Names of node pools are checked only if the stack's own name fits every other resource.
    """
    names = ResourceNames(environment, infra.project.id)
    try:
        _plan_fixed_names(names, infra)
        yield from name_limits.collisions(_plan_pool_names(names, infra))
    except ConfigError as error:
        yield from error.issues


def _plan_fixed_names(names: ResourceNames, infra: GoogleInfra) -> None:
    """Make every name without a part from the settings. Raises `ConfigError`."""
    for make in (
        names.vpc,
        names.firewall,
        names.node_tag,
        names.node_service_account,
        names.bucket,
        names.dns_zone,
        names.certificate,
        names.dns_authorization,
        names.security_policy,
    ):
        make()
    names.address(None)
    for region in infra.regions:
        for make in (
            names.subnetwork,
            names.pods_range,
            names.services_range,
            names.router,
            names.nat,
            names.cluster,
            names.redis,
            names.repository,
            names.address,
        ):
            make(region.name)
        names.proxy_subnetwork(region.name, "REGIONAL_MANAGED_PROXY")


def _plan_pool_names(names: ResourceNames, infra: GoogleInfra) -> Iterator[PlannedName]:
    """Yield the name of every node pool. Raises `ConfigError`."""
    for i, region in enumerate(infra.regions):
        cluster = names.cluster(region.name)
        name = names.node_pool(region.name, SYSTEM_POOL_NAME)
        yield PlannedName(ResourceKind.NODE_POOL, name, "infra.system_pool", cluster)
        for j, pool in enumerate(region.node_pools):
            setting = f"infra.regions[{i}].node_pools[{j}].name"
            name = names.node_pool(region.name, pool.name, setting)
            yield PlannedName(ResourceKind.NODE_POOL, name, setting, cluster)
