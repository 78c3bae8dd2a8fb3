"""What the `infra` block may not say of Google Cloud, and what `infra` and `serving` may not say together there."""

from typing import Any

from tests.unit.case import ABSENT, Case

POOL = "infra.regions.0.node_pools.0"

SUBNETWORK = {
    "name": "nodes",
    "pods_range_name": "pods",
    "services_range_name": "services",
    "proxy_only_range": "10.8.0.0/23",
}
VPC: dict[str, Any] = {
    "infra.network": {"kind": "existing", "name": "office", "subnetworks": {"us-central1": SUBNETWORK}},
}
"""dev, in a VPC that exists."""
VPC_OF_TWO_REGIONS: dict[str, Any] = {
    "infra.network": {
        "kind": "existing",
        "name": "office",
        "subnetworks": {"us-central1": SUBNETWORK, "us-east4": {**SUBNETWORK, "proxy_only_range": "10.9.0.0/23"}},
    },
}
SHARED_VPC: dict[str, Any] = {
    "infra.network": {
        **VPC_OF_TWO_REGIONS["infra.network"],
        "kind": "shared_vpc",
        "host_project": {"id": "example-network", "number": 100000000009},
        "redis_range_name": "redis",
    },
}
CLUSTER: dict[str, Any] = {"kind": "existing", "name": "batch", "dns_endpoint": "gke-1.us-central1.gke.goog"}
MEMBER: dict[str, Any] = {**CLUSTER, "membership": "projects/example-rayllm-prod/locations/us-central1/memberships/b"}
PUBLIC: dict[str, Any] = {
    "infra.gateway": {
        "exposure": "external",
        "hostname": "llm.example.com",
        "certificate": {"kind": "managed", "dns_authorization_zone": "example-com"},
        "cloud_armor": {"allowed_ip_ranges": ["203.0.113.0/24"]},
    },
}


def key(location: str) -> str:
    """A Cloud KMS key there."""
    return f"projects/example-keys/locations/{location}/keyRings/gke/cryptoKeys/all"


KEYS: dict[str, Any] = {"infra.kms_keys": {"us-central1": key("us-central1"), "us": key("us")}}
"""All that dev needs: its cluster's and its bucket's."""

CASES = [
    # Maintenance
    Case(
        "google.exclusion-twice",
        {"infra.cluster_defaults.maintenance.exclusions": 2 * [{"name": "hands-off", "start_date": "2026-12-01"}]},
        ("called hands-off",),
        "prod",
    ),
    Case(
        "google.exclusion-too-long",
        {"infra.cluster_defaults.maintenance.exclusions.0.end_date": "2027-03-02"},
        ("for 91 days", "2027-03-01 or earlier"),
        "prod",
        {
            "infra.cluster_defaults.maintenance.exclusions.0.scope": "NO_UPGRADES",
            "infra.cluster_defaults.maintenance.exclusions.0.end_date": "2027-03-01",
        },
    ),
    # Regions and pools
    Case("google.zone-elsewhere", {f"{POOL}.zones": ["us-east4-a"]}, ("us-east4-a", "us-central1-b"), "dev"),
    Case("google.zone-elsewhere", {f"{POOL}.zones": ["us-central1"]}, ("such as us-central1-b",), "dev"),
    Case(
        "google.region-twice",
        {"infra.regions.1.name": "us-central1", "infra.regions.1.node_pools.0.zones": ["us-central1-b"]},
        ("us-central1",),
        "prod",
    ),
    Case("google.all-drained", {"infra.regions.0.traffic": "drained"}, ("traffic: active", "outage"), "dev"),
    Case(
        "google.all-drained",
        {"infra.regions.0.traffic": "drained", "infra.regions.1.traffic": "drained"},
        ("there is none",),
        "prod",
    ),
    Case("google.zone-twice", {f"{POOL}.zones": ["us-central1-b", "us-central1-b"]}, ("us-central1-b",), "prod"),
    # The entrance
    Case(
        "google.certificate-for-a-private-name",
        {"infra.gateway.hostname": "llm.corp.internal"},
        ("for llm.corp.internal", ".internal is not in it"),
        "dev",
        PUBLIC,
    ),
    Case(
        "google.armor-private-source",
        {"infra.gateway.cloud_armor.allowed_ip_ranges": ["203.0.113.0/24", "10.0.0.0/8"]},
        ("has 10.0.0.0/8", "exposure: internal"),
        "dev",
        PUBLIC,
    ),
    # An existing VPC
    Case(
        "google.subnetwork-of-no-region",
        {"infra.network.subnetworks.us-centrl1": {**SUBNETWORK, "proxy_only_range": "10.9.0.0/23"}},
        ("has us-centrl1", "write one of us-central1"),
        "dev",
        VPC,
    ),
    Case(
        "google.one-range-for-two",
        {"infra.network.subnetworks.us-central1.pods_range_name": "services"},
        ("has services for pods",),
        "dev",
        VPC,
    ),
    *(
        Case(
            "google.proxies-range",
            {"infra.network.subnetworks.us-east4.proxy_only_range": given},
            (f"us-east4.proxies is {given}", why),
            "prod",
            VPC_OF_TWO_REGIONS,
        )
        for given, why in (
            ("8.8.8.0/24", "private addresses"),
            ("10.9.0.0/28", "64 addresses"),
            ("10.8.1.0/24", "that of us-central1"),
        )
    ),
    Case(
        "google.host-is-this-project",
        {"infra.network.host_project.id": "example-rayllm-prod"},
        ("kind: existing",),
        "prod",
        SHARED_VPC,
    ),
    Case(
        "google.config-region", {"infra.gateway.config_cluster_region": "us-east1"}, ("us-central1, us-east4",), "prod"
    ),
    Case("google.one-cluster-class", {"infra.gateway.multi_cluster": False}, ("2 regions",), "prod"),
    Case("google.public-without-armor", {"infra.gateway.cloud_armor": ABSENT}, ("allowed_ip_ranges",), "dev", PUBLIC),
    Case("google.public-without-tls", {"infra.gateway.certificate": ABSENT}, ("certificate",), "dev", PUBLIC),
    Case(
        "google.armor-on-private",
        {"infra.gateway.cloud_armor": {"allowed_ip_ranges": ["10.0.0.0/8"]}},
        ("exposure: external",),
        "dev",
    ),
    Case(
        "google.certificate-without-hostname",
        {"infra.gateway.certificate": {"kind": "managed", "dns_authorization_zone": "example-com"}},
        ("gateway.hostname",),
        "dev",
    ),
    Case(
        "google.zone-without-hostname",
        {"infra.gateway.dns_zone": {"kind": "new", "domain": "rayllm.internal"}},
        ("gateway.hostname",),
        "dev",
    ),
    Case(
        "google.hostname-elsewhere",
        {"infra.gateway.hostname": "llm.example.com"},
        ("llm.example.com", ".rayllm.internal"),
        "prod",
    ),
    Case(
        "google.hostname-elsewhere",
        {"infra.gateway.hostname": "llm.not-rayllm.internal"},
        ("llm.not-rayllm.internal",),
        "prod",
    ),
    # What is there already
    Case("google.cluster-outside-vpc", {"infra.regions.0.cluster": CLUSTER}, ("network.kind: existing",), "dev"),
    Case(
        "google.cluster-outside-fleet",
        {"infra.regions.0.cluster.membership": ABSENT},
        ("batch", "projects/P/locations/L/memberships/NAME"),
        "prod",
        {**VPC_OF_TWO_REGIONS, "infra.regions.0.cluster": MEMBER},
    ),
    Case(
        "google.subnetwork-missing",
        {"infra.network.subnetworks.us-central1": ABSENT},
        ("no us-central1", "secondary ranges"),
        "dev",
        VPC,
    ),
    Case(
        "google.proxies-missing",
        {"infra.network.subnetworks.us-central1.proxy_only_range": ABSENT},
        ("REGIONAL_MANAGED_PROXY",),
        "dev",
        VPC,
    ),
    Case(
        "google.proxies-missing",
        {"infra.network.subnetworks.us-east4.proxy_only_range": None},
        ("network.subnetworks.us-east4", "GLOBAL_MANAGED_PROXY"),
        "prod",
        VPC_OF_TWO_REGIONS,
    ),
    Case(
        "google.ranges-of-existing-vpc",
        {"infra.regions.0.ranges": {"nodes": "10.20.0.0/20"}},
        ("network.kind existing",),
        "dev",
        VPC,
    ),
    Case(
        "google.redis-range-missing",
        {"infra.network.redis_range_name": ABSENT},
        ("host project", "head_state: null"),
        "prod",
        SHARED_VPC,
    ),
    # Clusters
    Case(
        "google.api-open-to-all",
        {
            "infra.cluster_defaults.control_plane_access.authorized_networks": [
                {"name": "everybody", "cidr": "0.0.0.0/0"}
            ]
        },
        ("everybody", "DNS endpoint"),
        "dev",
    ),
    Case(
        "google.exclusion-without-window",
        {"infra.cluster_defaults.maintenance.window": None},
        ("window: null",),
        "prod",
    ),
    Case(
        "google.window-too-short",
        {"infra.cluster_defaults.maintenance.window": {"days": ["SA", "SA"], "duration_hours": 8}},
        ("open 32 hours", "48"),
        "dev",
    ),
    Case(
        "google.exclusion-period",
        {"infra.cluster_defaults.maintenance.exclusions.0.end_date": "2026-12-01"},
        ("nodes-are-upgraded-by-hand", "later end_date"),
        "prod",
    ),
    Case(
        "google.exclusion-without-end",
        {"infra.cluster_defaults.maintenance.exclusions.0.scope": "NO_UPGRADES"},
        ("NO_MINOR_OR_NODE_UPGRADES",),
        "prod",
    ),
    # State and keys
    Case("google.head-state-lost", {"infra.redis.tier": "BASIC"}, ("STANDARD_HA",), "prod"),
    Case(
        "google.key-missing",
        {"infra.kms_keys.us": ABSENT},
        ("no key for us:", "bucket", "locations/us/keyRings"),
        "dev",
        KEYS,
    ),
    Case(
        "google.key-missing",
        {"infra.kms_keys.us-central1": ABSENT},
        ("no key for us-central1:", "cluster"),
        "dev",
        KEYS,
    ),
    Case(
        "google.key-elsewhere",
        {"infra.kms_keys.us": key("us-east4")},
        ("kms_keys.us is a key of us-east4", "locations/us"),
        "dev",
        KEYS,
    ),
]
