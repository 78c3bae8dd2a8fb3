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
        "infra.cluster_defaults.exclusion-duplicate",
        {"infra.cluster_defaults.maintenance.exclusions": 2 * [{"name": "hands-off", "start_date": "2026-12-01"}]},
        ("the name hands-off",),
        "prod",
    ),
    Case(
        "infra.cluster_defaults.exclusion-too-long",
        {"infra.cluster_defaults.maintenance.exclusions.0.end_date": "2027-03-02"},
        ("lasts 91 days", "2027-03-01 or earlier"),
        "prod",
        {
            "infra.cluster_defaults.maintenance.exclusions.0.scope": "NO_UPGRADES",
            "infra.cluster_defaults.maintenance.exclusions.0.end_date": "2027-03-01",
        },
    ),
    # Regions and pools
    Case(
        "infra.node_pools.zone-outside-region",
        {f"{POOL}.zones": ["us-east4-a"]},
        ("us-east4-a", "us-central1-b"),
        "dev",
    ),
    Case("infra.node_pools.zone-outside-region", {f"{POOL}.zones": ["us-central1"]}, ("such as us-central1-b",), "dev"),
    Case(
        "infra.regions.duplicate",
        {"infra.regions.1.name": "us-central1", "infra.regions.1.node_pools.0.zones": ["us-central1-b"]},
        ("us-central1",),
        "prod",
    ),
    Case("infra.regions.all-drained", {"infra.regions.0.traffic": "drained"}, ("traffic: active", "outage"), "dev"),
    Case(
        "infra.regions.all-drained",
        {"infra.regions.0.traffic": "drained", "infra.regions.1.traffic": "drained"},
        ("none is left",),
        "prod",
    ),
    Case(
        "infra.node_pools.zone-duplicate",
        {f"{POOL}.zones": ["us-central1-b", "us-central1-b"]},
        ("us-central1-b",),
        "prod",
    ),
    # The entrance
    Case(
        "infra.gateway.certificate-private-domain",
        {"infra.gateway.hostname": "llm.corp.internal"},
        ("hostname: llm.corp.internal", ".internal is not in it"),
        "dev",
        PUBLIC,
    ),
    Case(
        "infra.gateway.cloud-armor-private-range",
        {"infra.gateway.cloud_armor.allowed_ip_ranges": ["203.0.113.0/24", "10.0.0.0/8"]},
        ("allowed_ip_ranges[1]: 10.0.0.0/8", "exposure: internal"),
        "dev",
        PUBLIC,
    ),
    # An existing VPC
    Case(
        "infra.network.subnetwork-region-unknown",
        {"infra.network.subnetworks.us-centrl1": {**SUBNETWORK, "proxy_only_range": "10.9.0.0/23"}},
        ("subnetworks.us-centrl1: ", "Write one of us-central1"),
        "dev",
        VPC,
    ),
    Case(
        "infra.network.range-name-shared",
        {"infra.network.subnetworks.us-central1.pods_range_name": "services"},
        ("pods_range_name: services is the range of pods",),
        "dev",
        VPC,
    ),
    *(
        Case(
            "infra.network.proxy-only-range-invalid",
            {"infra.network.subnetworks.us-east4.proxy_only_range": given},
            (f"us-east4.proxy_only_range: {given}", why),
            "prod",
            VPC_OF_TWO_REGIONS,
        )
        for given, why in (
            ("8.8.8.0/24", "private addresses"),
            ("10.9.0.0/28", "64 addresses"),
            ("10.8.1.0/24", "the range of us-central1"),
        )
    ),
    Case(
        "infra.network.host-project-is-own",
        {"infra.network.host_project.id": "example-rayllm-prod"},
        ("kind: existing",),
        "prod",
        SHARED_VPC,
    ),
    Case(
        "infra.gateway.config-cluster-region-unknown",
        {"infra.gateway.config_cluster_region": "us-east1"},
        ("us-central1, us-east4",),
        "prod",
    ),
    Case("infra.gateway.multi-cluster-required", {"infra.gateway.multi_cluster": False}, ("2 regions",), "prod"),
    Case(
        "infra.gateway.cloud-armor-missing",
        {"infra.gateway.cloud_armor": ABSENT},
        ("allowed_ip_ranges",),
        "dev",
        PUBLIC,
    ),
    Case("infra.gateway.certificate-missing", {"infra.gateway.certificate": ABSENT}, ("certificate",), "dev", PUBLIC),
    Case(
        "infra.gateway.cloud-armor-on-internal",
        {"infra.gateway.cloud_armor": {"allowed_ip_ranges": ["10.0.0.0/8"]}},
        ("exposure: external",),
        "dev",
    ),
    Case(
        "infra.gateway.hostname-missing-for-certificate",
        {"infra.gateway.certificate": {"kind": "managed", "dns_authorization_zone": "example-com"}},
        ("gateway.hostname",),
        "dev",
    ),
    Case(
        "infra.gateway.hostname-missing-for-dns-zone",
        {"infra.gateway.dns_zone": {"kind": "new", "domain": "rayllm.internal"}},
        ("gateway.hostname",),
        "dev",
    ),
    Case(
        "infra.gateway.hostname-outside-dns-zone",
        {"infra.gateway.hostname": "llm.example.com"},
        ("llm.example.com", ".rayllm.internal"),
        "prod",
    ),
    Case(
        "infra.gateway.hostname-outside-dns-zone",
        {"infra.gateway.hostname": "llm.not-rayllm.internal"},
        ("llm.not-rayllm.internal",),
        "prod",
    ),
    # What is there already
    Case(
        "infra.regions.existing-cluster-on-new-network",
        {"infra.regions.0.cluster": CLUSTER},
        ("network.kind: existing",),
        "dev",
    ),
    Case(
        "infra.regions.membership-missing",
        {"infra.regions.0.cluster.membership": ABSENT},
        ("batch", "projects/P/locations/L/memberships/NAME"),
        "prod",
        {**VPC_OF_TWO_REGIONS, "infra.regions.0.cluster": MEMBER},
    ),
    Case(
        "infra.network.subnetwork-missing",
        {"infra.network.subnetworks.us-central1": ABSENT},
        ("no subnetwork for us-central1", "secondary ranges"),
        "dev",
        VPC,
    ),
    Case(
        "infra.network.proxy-only-range-missing",
        {"infra.network.subnetworks.us-central1.proxy_only_range": ABSENT},
        ("REGIONAL_MANAGED_PROXY",),
        "dev",
        VPC,
    ),
    Case(
        "infra.network.proxy-only-range-missing",
        {"infra.network.subnetworks.us-east4.proxy_only_range": None},
        ("network.subnetworks.us-east4", "GLOBAL_MANAGED_PROXY"),
        "prod",
        VPC_OF_TWO_REGIONS,
    ),
    Case(
        "infra.regions.ranges-on-existing-network",
        {"infra.regions.0.ranges": {"nodes": "10.20.0.0/20"}},
        ("infra.network.kind: existing",),
        "dev",
        VPC,
    ),
    Case(
        "infra.network.redis-range-name-missing",
        {"infra.network.redis_range_name": ABSENT},
        ("host project", "infra.redis: null"),
        "prod",
        SHARED_VPC,
    ),
    # Clusters
    Case(
        "infra.cluster_defaults.authorized-network-too-wide",
        {
            "infra.cluster_defaults.control_plane_access.authorized_networks": [
                {"name": "everybody", "cidr": "0.0.0.0/0"}
            ]
        },
        ("everybody", "DNS endpoint"),
        "dev",
    ),
    Case(
        "infra.cluster_defaults.exclusion-without-window",
        {"infra.cluster_defaults.maintenance.window": None},
        ("window: null",),
        "prod",
    ),
    Case(
        "infra.cluster_defaults.maintenance-window-too-short",
        {"infra.cluster_defaults.maintenance.window": {"days": ["SA", "SA"], "duration_hours": 8}},
        ("open for 32 hours", "48"),
        "dev",
    ),
    Case(
        "infra.cluster_defaults.exclusion-ends-before-start",
        {"infra.cluster_defaults.maintenance.exclusions.0.end_date": "2026-12-01"},
        ("nodes-are-upgraded-by-hand", "later end_date"),
        "prod",
    ),
    Case(
        "infra.cluster_defaults.exclusion-without-end",
        {"infra.cluster_defaults.maintenance.exclusions.0.scope": "NO_UPGRADES"},
        ("NO_MINOR_OR_NODE_UPGRADES",),
        "prod",
    ),
    # State and keys
    Case("infra.redis.basic-tier-with-protect", {"infra.redis.tier": "BASIC"}, ("STANDARD_HA",), "prod"),
    Case(
        "infra.kms_keys.missing",
        {"infra.kms_keys.us": ABSENT},
        ("no key for us,", "bucket", "locations/us/keyRings"),
        "dev",
        KEYS,
    ),
    Case(
        "infra.kms_keys.missing",
        {"infra.kms_keys.us-central1": ABSENT},
        ("no key for us-central1,", "cluster"),
        "dev",
        KEYS,
    ),
    Case(
        "infra.kms_keys.wrong-location",
        {"infra.kms_keys.us": key("us-east4")},
        ("infra.kms_keys.us: the key is in us-east4", "locations/us"),
        "dev",
        KEYS,
    ),
]
