"""What settings of Google Cloud refuse: what is wrong, why, and what to write instead. settings.py says when."""

from __future__ import annotations

from config.issues import Rule

REGION_TWICE = Rule(
    "google.region-twice",
    problem="region {region} is written twice",
    reason="a region has one cluster",
    fix="write its pools under one entry",
)
ALL_DRAINED = Rule(
    "google.all-drained",
    problem="every region has traffic: drained",
    reason="a drained region's requests go to the others, and there is none",
    fix="write traffic: active for one of them; with a single region a change that needs it drained means a new "
    "region beside it, or protect: false and an outage",
)
CONFIG_REGION = Rule(
    "google.config-region",
    problem="gateway.config_cluster_region is {region}",
    reason="the config cluster, which holds Gateway and HTTPRoute, must be one of this stack's",
    fix="write one of {regions}",
)
ONE_CLUSTER_CLASS = Rule(
    "google.one-cluster-class",
    problem="gateway.multi_cluster is false with {count} regions",
    reason="a single-cluster GatewayClass sends requests to one cluster only",
    fix="write true or take it out, or keep one region",
)
CLUSTER_OUTSIDE_VPC = Rule(
    "google.cluster-outside-vpc",
    problem="cluster.kind is existing with network.kind new",
    reason="that cluster is in another VPC, and load balancer, Redis and the other clusters must be in one",
    fix="write network.kind: existing with the VPC that the cluster is in",
)
CLUSTER_OUTSIDE_FLEET = Rule(
    "google.cluster-outside-fleet",
    problem="the existing cluster {cluster} has no `membership`",
    reason="a multi-cluster Gateway reaches members of the fleet only",
    fix="register it and write membership: projects/P/locations/L/memberships/NAME",
)
SUBNETWORK_MISSING = Rule(
    "google.subnetwork-missing",
    problem="network.subnetworks has no {region}",
    reason="an existing VPC is used as it is: no subnetwork is made in it",
    fix="write the region's subnetwork with its secondary ranges and proxy-only range",
)
PROXIES_MISSING = Rule(
    "google.proxies-missing",
    problem="network.subnetworks.{region} has no proxies",
    reason="an exposure: internal entrance runs on the {purpose} subnetwork, whose range pods must admit",
    fix="write the range of the active proxy-only subnetwork of that purpose",
)
SUBNETWORK_UNKNOWN = Rule(
    "google.subnetwork-of-no-region",
    problem="network.subnetworks has {region}",
    reason="infra.regions has no such region",
    fix="write one of {regions}, or take it out",
)
ONE_RANGE = Rule(
    "google.one-range-for-two",
    problem="network.subnetworks.{region} has {name} for pods and for Services",
    reason="GKE takes a secondary range of its own for each",
    fix="write the names of two ranges",
)
PROXIES = Rule(
    "google.proxies-range",
    problem="network.subnetworks.{region}.proxies is {given}",
    reason="{why}",
    fix="write the range of that region's active proxy-only subnetwork",
)
HOST_IS_SERVICE = Rule(
    "google.host-is-this-project",
    problem="network.host_project.id is {project}, which is infra.project.id",
    reason="a Shared VPC is another project's",
    fix="write network.kind: existing, without `host`",
)
RANGES_OF_EXISTING = Rule(
    "google.ranges-of-existing-vpc",
    problem="`ranges` is set with network.kind {kind}",
    reason="the subnetworks exist already, and their ranges are not ours to choose",
    fix="take `ranges` out",
)
REDIS_RANGE_MISSING = Rule(
    "google.redis-range-missing",
    problem="network.kind is shared with head_state and no network.redis_range_name",
    reason="Memorystore reaches a Shared VPC through private services access only",
    fix="write the name of the host project's allocated range, or head_state: null",
)
STATE_LOST = Rule(
    "google.head-state-lost",
    problem="head_state.tier is BASIC with protect: true",
    reason="a BASIC instance loses everything when its one node fails or is updated, and Ray's heads with it",
    fix="write STANDARD_HA, or protect: false where that may happen",
)
KEY_MISSING = Rule(
    "google.key-missing",
    problem="kms_keys has no key for {location}",
    reason="{what} is there, and Cloud KMS keys work in their own location only",
    fix="write {location}: projects/P/locations/{location}/keyRings/R/cryptoKeys/K, or take kms_keys out",
)
KEY_ELSEWHERE = Rule(
    "google.key-elsewhere",
    problem="kms_keys.{location} is a key of {actual}",
    reason="Cloud KMS keys work in their own location only",
    fix="write a key whose path says locations/{location}",
)
