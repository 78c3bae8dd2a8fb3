"""Validate settings of the `infra` block that depend on each other across its sub-blocks."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from config.google import ip_plan
from config.google.cluster import RAY_OPERATOR_MIN_GKE_VERSION, ExistingCluster, NewCluster
from config.google.ip_plan import CidrOverrides
from config.google.machine_types import CapacityKind
from config.google.network import ExistingNetwork, NewNetwork, SharedVpcNetwork
from config.google.node_pool_spec import gke_version, min_gke_version
from config.google.redis import RedisTier
from config.google.regions import Traffic
from config.issues import ConfigIssue, Rule

if TYPE_CHECKING:
    from config.google.infra import GoogleInfra

REGION_DUPLICATE = Rule(
    "infra.regions.duplicate",
    problem="{region} is listed twice",
    reason="a region has one cluster",
    fix="Write all its node pools under one entry",
)
ALL_DRAINED = Rule(
    "infra.regions.all-drained",
    problem="every region has `traffic: drained`",
    reason="a drained region sends its requests to the others and none is left",
    fix="Set `traffic: active` in one region. With a single region, add a second one first, or set `protect: false` "
    "and accept an outage",
)
MIN_VERSION_TOO_OLD = Rule(
    "infra.cluster_defaults.min-version-too-old",
    problem="{version} is too old",
    reason="{feature} needs {needed}",
    fix="Write {needed} or a later version",
)
CONFIG_CLUSTER_REGION_UNKNOWN = Rule(
    "infra.gateway.config-cluster-region-unknown",
    problem="{region} is not in infra.regions",
    reason="the config cluster, which holds Gateway and HTTPRoute, must be a cluster of this stack",
    fix="Write one of {regions}",
)
MULTI_CLUSTER_REQUIRED = Rule(
    "infra.gateway.multi-cluster-required",
    problem="false with {count} regions",
    reason="a single-cluster GatewayClass sends requests to one cluster only",
    fix="Write true, remove the setting, or keep one region",
)
EXISTING_CLUSTER_ON_NEW_NETWORK = Rule(
    "infra.regions.existing-cluster-on-new-network",
    problem="existing with `infra.network.kind: new`",
    reason="the cluster is in another VPC, and load balancer, Redis and all clusters must be in one VPC",
    fix="Write `infra.network.kind: existing` with the VPC of the cluster",
)
MEMBERSHIP_MISSING = Rule(
    "infra.regions.membership-missing",
    problem="missing for the existing cluster {cluster}",
    reason="a multi-cluster Gateway reaches members of the fleet only",
    fix="Register the cluster and write `membership: projects/P/locations/L/memberships/NAME`",
)
SUBNETWORK_MISSING = Rule(
    "infra.network.subnetwork-missing",
    problem="no subnetwork for {region}",
    reason="the stack creates no subnetwork in an existing VPC",
    fix="Write the region's subnetwork with its secondary ranges and its proxy-only range",
)
PROXY_ONLY_RANGE_MISSING = Rule(
    "infra.network.proxy-only-range-missing",
    problem="missing",
    reason="a gateway with `exposure: internal` uses the {purpose} subnetwork, and pods must accept its range",
    fix="Write the range of the region's active proxy-only subnetwork of that purpose",
)
SUBNETWORK_REGION_UNKNOWN = Rule(
    "infra.network.subnetwork-region-unknown",
    problem="unknown region",
    reason="infra.regions has no such region",
    fix="Write one of {regions}, or remove it",
)
RANGE_NAME_SHARED = Rule(
    "infra.network.range-name-shared",
    problem="{name} is the range of pods and of Services",
    reason="GKE needs one secondary range for each",
    fix="Write the names of two ranges",
)
PROXY_ONLY_RANGE_INVALID = Rule(
    "infra.network.proxy-only-range-invalid",
    problem="{range_} cannot be a proxy-only range",
    reason="{reason}",
    fix="Write the range of the region's active proxy-only subnetwork",
)
HOST_PROJECT_IS_OWN = Rule(
    "infra.network.host-project-is-own",
    problem="{project} is infra.project.id",
    reason="the host project of a Shared VPC is another project",
    fix="Write `kind: existing`, without `host_project`",
)
RANGES_ON_EXISTING_NETWORK = Rule(
    "infra.regions.ranges-on-existing-network",
    problem="set with `infra.network.kind: {kind}`",
    reason="the subnetworks and their ranges exist already",
    fix="Remove `ranges`",
)
REDIS_RANGE_NAME_MISSING = Rule(
    "infra.network.redis-range-name-missing",
    problem="missing with `kind: shared_vpc` and infra.redis",
    reason="Memorystore reaches a Shared VPC only through private services access",
    fix="Write the name of the host project's allocated range, or `infra.redis: null`",
)
BASIC_TIER_WITH_PROTECT = Rule(
    "infra.redis.basic-tier-with-protect",
    problem="BASIC with `infra.protect: true`",
    reason="a BASIC instance loses all data, and the state of the Ray heads, when its one node fails or is updated",
    fix="Write STANDARD_HA, or `infra.protect: false` if the state may be lost",
)
KMS_KEY_MISSING = Rule(
    "infra.kms_keys.missing",
    problem="no key for {location}",
    reason="{what} is in {location}, and a Cloud KMS key works in its own location only",
    fix="Write `{location}: projects/P/locations/{location}/keyRings/R/cryptoKeys/K`, or remove kms_keys",
)
KMS_KEY_WRONG_LOCATION = Rule(
    "infra.kms_keys.wrong-location",
    problem="the key is in {actual}",
    reason="a Cloud KMS key works in its own location only",
    fix="Write a key whose name has locations/{location}",
)


def find_issues(infra: GoogleInfra) -> Iterator[ConfigIssue]:
    """Yield every issue across sub-blocks. Paths are relative to the `infra` block."""
    yield from _region_issues(infra)
    yield from _version_issues(infra)
    yield from _network_issues(infra)
    yield from _gateway_issues(infra)
    yield from _kms_issues(infra)
    if infra.protect and infra.redis is not None and infra.redis.tier is RedisTier.BASIC:
        yield BASIC_TIER_WITH_PROTECT.issue("redis.tier")


def _region_issues(infra: GoogleInfra) -> Iterator[ConfigIssue]:
    seen: set[str] = set()
    for i, region in enumerate(infra.regions):
        if region.name in seen:
            yield REGION_DUPLICATE.issue(f"regions[{i}].name", region=region.name)
        seen.add(region.name)
    if all(region.traffic is Traffic.DRAINED for region in infra.regions):
        yield ALL_DRAINED.issue("regions")


def _version_issues(infra: GoogleInfra) -> Iterator[ConfigIssue]:
    """Yield an issue if new clusters may be older than what they need."""
    new = [region for region in infra.regions if isinstance(region.cluster, NewCluster)]
    features = {RAY_OPERATOR_MIN_GKE_VERSION: "the Ray Operator add-on"} if new else {}
    for pool in (pool for region in new for pool in region.node_pools):
        if version := min_gke_version(CapacityKind(pool.capacity.kind), pool.machine):
            features[version] = f"{pool.machine_type} with capacity.kind {pool.capacity.kind}"
    if not features:
        return
    needed, version = max(features, key=gke_version), infra.cluster_defaults.min_version
    if gke_version(version) < gke_version(needed):
        yield MIN_VERSION_TOO_OLD.issue(
            "cluster_defaults.min_version", version=version, feature=features[needed], needed=needed
        )


def _network_issues(infra: GoogleInfra) -> Iterator[ConfigIssue]:
    network = infra.network
    if isinstance(network, NewNetwork):
        yield from ip_plan.find_issues([infra.ip_request(region) for region in infra.regions], network.base_cidr)
        return
    yield from _subnetwork_issues(infra, network)
    if isinstance(network, SharedVpcNetwork):
        if network.host_project.id == infra.project.id:
            yield HOST_PROJECT_IS_OWN.issue("network.host_project.id", project=infra.project.id)
        if infra.redis is not None and not network.redis_range_name:
            yield REDIS_RANGE_NAME_MISSING.issue("network.redis_range_name")
    for i, region in enumerate(infra.regions):
        if region.ranges != CidrOverrides():
            yield RANGES_ON_EXISTING_NETWORK.issue(f"regions[{i}].ranges", kind=network.kind)


def _subnetwork_issues(infra: GoogleInfra, network: ExistingNetwork | SharedVpcNetwork) -> Iterator[ConfigIssue]:
    regions = [region.name for region in infra.regions]
    for region in regions:
        if region not in network.subnetworks:
            yield SUBNETWORK_MISSING.issue("network.subnetworks", region=region)
    proxies: dict[str, IPv4Network] = {}
    for region, subnetwork in network.subnetworks.items():
        path = f"network.subnetworks.{region}"
        if region not in regions:
            yield SUBNETWORK_REGION_UNKNOWN.issue(path, regions=", ".join(regions))
        if subnetwork.pods_range_name == subnetwork.services_range_name:
            yield RANGE_NAME_SHARED.issue(f"{path}.pods_range_name", name=subnetwork.pods_range_name)
        range_ = subnetwork.proxy_only_range
        if range_ is None:
            if region in regions and infra.proxy_purpose:
                yield PROXY_ONLY_RANGE_MISSING.issue(f"{path}.proxy_only_range", purpose=infra.proxy_purpose)
            continue
        if reason := _proxy_range_problem(range_, proxies):
            yield PROXY_ONLY_RANGE_INVALID.issue(f"{path}.proxy_only_range", range_=range_, reason=reason)
        proxies[region] = range_


def _proxy_range_problem(range_: IPv4Network, proxies: dict[str, IPv4Network]) -> str:
    """Return why `range_` cannot be a proxy-only range beside the `proxies` of other regions; empty if it can."""
    smallest, need = ip_plan.MIN_RANGE_SIZES["global_proxy_only"]
    if not ip_plan.is_private(range_):
        return "a load balancer inside a VPC has private addresses"
    if range_.prefixlen > smallest:
        return need
    other = next((region for region, taken in proxies.items() if taken.overlaps(range_)), None)
    return f"it overlaps the range of {other}, and ranges of one VPC must not overlap" if other else ""


def _gateway_issues(infra: GoogleInfra) -> Iterator[ConfigIssue]:
    regions = [region.name for region in infra.regions]
    if infra.config_cluster_region not in regions:
        yield CONFIG_CLUSTER_REGION_UNKNOWN.issue(
            "gateway.config_cluster_region", region=infra.config_cluster_region, regions=", ".join(regions)
        )
    if len(regions) > 1 and not infra.multi_cluster:
        yield MULTI_CLUSTER_REQUIRED.issue("gateway.multi_cluster", count=len(regions))
    for i, region in enumerate(infra.regions):
        if not isinstance(region.cluster, ExistingCluster):
            continue
        if isinstance(infra.network, NewNetwork):
            yield EXISTING_CLUSTER_ON_NEW_NETWORK.issue(f"regions[{i}].cluster.kind")
        if infra.multi_cluster and region.cluster.membership is None:
            yield MEMBERSHIP_MISSING.issue(f"regions[{i}].cluster.membership", cluster=region.cluster.name)


def _kms_issues(infra: GoogleInfra) -> Iterator[ConfigIssue]:
    if not infra.kms_keys:
        return
    regions = {region.name for region in infra.regions}
    for location in dict.fromkeys(location for location, _ in infra.kms_key_uses):
        if location not in infra.kms_keys:
            what = "a cluster" if location in regions else "the model bucket"
            yield KMS_KEY_MISSING.issue("kms_keys", location=location, what=what)
    for location, key in infra.kms_keys.items():
        if (actual := key.split("/")[3]) != location:
            yield KMS_KEY_WRONG_LOCATION.issue(f"kms_keys.{location}", location=location, actual=actual)
