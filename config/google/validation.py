"""What settings of Google Cloud refuse: what is wrong, why, and what to write instead. settings.py says when."""

from __future__ import annotations

from config.base import Rule

ZONE_ELSEWHERE = Rule(
    "google.zone-elsewhere",
    wrong="zone {zone} is not in region {region}",
    why="a node pool's zones are zones of its cluster's region",
    instead="write a zone such as {region}-b, or move the pool to its region",
)
ZONE_TWICE = Rule(
    "google.zone-twice",
    wrong="zone {zone} is written twice",
    why="a pool is in a zone or not, and its numbers of nodes are over all zones",
    instead="write each zone once",
)
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
PUBLIC_WITHOUT_ARMOR = Rule(
    "google.public-without-armor",
    wrong="gateway.exposure is public without gateway.cloud_armor",
    why="anyone on the internet could spend your GPU hours",
    instead="write cloud_armor with the allowed_sources, or exposure: private",
)
ARMOR_ON_PRIVATE = Rule(
    "google.armor-on-private",
    wrong="gateway.cloud_armor is set with exposure: private",
    why="no page of Google's says that Cloud Armor works with cross-region internal load balancers",
    instead="take cloud_armor out (only the VPC reaches a private entrance), or write exposure: public",
)
PUBLIC_WITHOUT_TLS = Rule(
    "google.public-without-tls",
    wrong="gateway.exposure is public without gateway.certificate",
    why="prompts, answers and API keys would cross the internet in clear text",
    instead="write hostname and certificate",
)
CERTIFICATE_WITHOUT_HOSTNAME = Rule(
    "google.certificate-without-hostname",
    wrong="gateway.certificate.kind is managed without gateway.hostname",
    why="Google issues a certificate for a name",
    instead="write the hostname that clients will use",
)
CERTIFICATE_PRIVATE_NAME = Rule(
    "google.certificate-for-a-private-name",
    wrong="gateway.certificate.kind is managed for {hostname}",
    why="Google issues certificates for names in the public DNS only, and .{top} is not in it",
    instead="write a hostname of a domain that you own, or certificate.kind: existing",
)
ARMOR_PRIVATE = Rule(
    "google.armor-private-source",
    wrong="gateway.cloud_armor.allowed_sources has {source}",
    why="callers come from the internet, and none of them has a private address",
    instead="write public addresses, or exposure: private",
)
HOSTNAME_ELSEWHERE = Rule(
    "google.hostname-elsewhere",
    wrong="gateway.hostname {hostname} is not below gateway.dns_zone.domain {domain}",
    why="its record goes into that zone",
    instead="write a hostname that ends with .{domain}",
)
ZONE_WITHOUT_HOSTNAME = Rule(
    "google.zone-without-hostname",
    wrong="gateway.dns_zone is set without gateway.hostname",
    why="the zone would stay empty",
    instead="write the hostname that clients will use",
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
OPEN_TO_ALL = Rule(
    "google.api-open-to-all",
    wrong="authorized network {name} is {cidr}",
    why="the Kubernetes API would answer the whole internet",
    instead="write the addresses of your offices and runners, or none and use the DNS endpoint, which IAM guards",
)
EXCLUSION_WITHOUT_WINDOW = Rule(
    "google.exclusion-without-window",
    wrong="maintenance.exclusions is set with window: null",
    why="GKE takes exclusions only beside a window",
    instead="write a window, or take `window` out for Saturday and Sunday nights",
)
WINDOW_TOO_SHORT = Rule(
    "google.window-too-short",
    wrong="the maintenance window is open {hours} hours in 32 days",
    why="GKE wants 48, in pieces of four hours or more",
    instead="write more days or hours",
    source="GKE, Configure maintenance windows and exclusions",
)
EXCLUSION_TWICE = Rule(
    "google.exclusion-twice",
    wrong="two maintenance.exclusions are called {name}",
    why="GKE knows an exclusion by its name, so that one would be lost",
    instead="give one of them another name",
)
EXCLUSION_TOO_LONG = Rule(
    "google.exclusion-too-long",
    wrong="exclusion {name} has scope NO_UPGRADES for {days} days",
    why="GKE lets security patches be put off for 90 days at most",
    instead="write an ends_at of {latest} or earlier, or the scope NO_MINOR_OR_NODE_UPGRADES",
    source="GKE, Configure maintenance windows and exclusions",
)
EXCLUSION_PERIOD = Rule(
    "google.exclusion-period",
    wrong="exclusion {name} has ends_at {ends} and starts_at {starts}",
    why="it would end before it begins",
    instead="write a later ends_at",
)
EXCLUSION_WITHOUT_END = Rule(
    "google.exclusion-without-end",
    wrong="exclusion {name} has scope NO_UPGRADES and no ends_at",
    why="GKE lets only minor and node upgrades be put off until a version's end of support",
    instead="write ends_at, or the scope NO_MINOR_OR_NODE_UPGRADES",
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
