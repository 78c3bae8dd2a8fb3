"""What settings of Google Cloud refuse: what is wrong, why, and what to write instead. settings.py says when."""

from __future__ import annotations

from config.issues import Rule

REGION_TWICE = Rule(
    "google.region-twice",
    wrong="region {region} is written twice",
    why="a region has one cluster",
    instead="write its pools under one entry",
)
ALL_DRAINED = Rule(
    "google.all-drained",
    wrong="every region has traffic: drained",
    why="a drained region's requests go to the others, and there is none",
    instead="write traffic: active for one of them; with a single region a change that needs it drained means a new "
    "region beside it, or protect: false and an outage",
)
CONFIG_REGION = Rule(
    "google.config-region",
    wrong="gateway.config_region is {region}",
    why="the config cluster, which holds Gateway and HTTPRoute, must be one of this stack's",
    instead="write one of {regions}",
)
ONE_CLUSTER_CLASS = Rule(
    "google.one-cluster-class",
    wrong="gateway.multi_cluster is false with {count} regions",
    why="a single-cluster GatewayClass sends requests to one cluster only",
    instead="write true or take it out, or keep one region",
)
CLUSTER_OUTSIDE_VPC = Rule(
    "google.cluster-outside-vpc",
    wrong="cluster.kind is existing with network.kind new",
    why="that cluster is in another VPC, and load balancer, Redis and the other clusters must be in one",
    instead="write network.kind: existing with the VPC that the cluster is in",
)
CLUSTER_OUTSIDE_FLEET = Rule(
    "google.cluster-outside-fleet",
    wrong="the existing cluster {cluster} has no `membership`",
    why="a multi-cluster Gateway reaches members of the fleet only",
    instead="register it and write membership: projects/P/locations/L/memberships/NAME",
)
SUBNETWORK_MISSING = Rule(
    "google.subnetwork-missing",
    wrong="network.subnetworks has no {region}",
    why="an existing VPC is used as it is: no subnetwork is made in it",
    instead="write the region's subnetwork with its secondary ranges and proxy-only range",
)
PROXIES_MISSING = Rule(
    "google.proxies-missing",
    wrong="network.subnetworks.{region} has no proxies",
    why="an exposure: private entrance runs on the {purpose} subnetwork, whose range pods must admit",
    instead="write the range of the active proxy-only subnetwork of that purpose",
)
SUBNETWORK_UNKNOWN = Rule(
    "google.subnetwork-of-no-region",
    wrong="network.subnetworks has {region}",
    why="infra.regions has no such region",
    instead="write one of {regions}, or take it out",
)
ONE_RANGE = Rule(
    "google.one-range-for-two",
    wrong="network.subnetworks.{region} has {name} for pods and for Services",
    why="GKE takes a secondary range of its own for each",
    instead="write the names of two ranges",
)
PROXIES = Rule(
    "google.proxies-range",
    wrong="network.subnetworks.{region}.proxies is {given}",
    why="{why}",
    instead="write the range of that region's active proxy-only subnetwork",
)
HOST_IS_SERVICE = Rule(
    "google.host-is-this-project",
    wrong="network.host.id is {project}, which is infra.project.id",
    why="a Shared VPC is another project's",
    instead="write network.kind: existing, without `host`",
)
RANGES_OF_EXISTING = Rule(
    "google.ranges-of-existing-vpc",
    wrong="`ranges` is set with network.kind {kind}",
    why="the subnetworks exist already, and their ranges are not ours to choose",
    instead="take `ranges` out",
)
REDIS_RANGE_MISSING = Rule(
    "google.redis-range-missing",
    wrong="network.kind is shared with head_state and no network.redis_range",
    why="Memorystore reaches a Shared VPC through private services access only",
    instead="write the name of the host project's allocated range, or head_state: null",
)
STATE_LOST = Rule(
    "google.head-state-lost",
    wrong="head_state.tier is BASIC with protect: true",
    why="a BASIC instance loses everything when its one node fails or is updated, and Ray's heads with it",
    instead="write STANDARD_HA, or protect: false where that may happen",
)
KEY_MISSING = Rule(
    "google.key-missing",
    wrong="encryption_keys has no key for {location}",
    why="{what} is there, and Cloud KMS keys work in their own location only",
    instead="write {location}: projects/P/locations/{location}/keyRings/R/cryptoKeys/K, or take encryption_keys out",
)
KEY_ELSEWHERE = Rule(
    "google.key-elsewhere",
    wrong="encryption_keys.{location} is a key of {actual}",
    why="Cloud KMS keys work in their own location only",
    instead="write a key whose path says locations/{location}",
)
