"""What the settings may not say of addresses and of what names are made from."""

from tests.unit.case import Case

RANGES = "infra.regions.0.ranges"
POOL = "infra.regions.0.node_pools.0"
POOL_BESIDE = {
    "name": "l4",
    "machine_type": "g2-standard-96",
    "zones": ["us-central1-a"],
    "capacity": {"kind": "spot"},
    "nodes": {"kind": "autoscaling", "total_max_nodes": 1},
}

CASES = [
    Case(
        "addresses.not-private",
        {"infra.network": {"kind": "new", "base_cidr": "8.0.0.0/8"}},
        ("the base is 8.0.0.0/8",),
        "dev",
    ),
    Case(
        "addresses.not-private",
        {f"{RANGES}.nodes": "8.8.0.0/20"},
        ("the nodes range of us-central1 is 8.8.0.0/20", "10.0.0.0/8"),
        "dev",
    ),
    Case(
        "addresses.no-room",
        {"infra.regions.0.ip_plan_index": 64},
        ("index 64", "64"),
        "dev",
        {"infra.regions.0.ip_plan_index": 63},
    ),
    Case(
        "addresses.no-room",
        {"infra.network": {"kind": "new", "base_cidr": "10.0.0.0/12"}},
        ("us-east4 has index 4", "room for 4"),
        "prod",
        {"infra.regions.1.ip_plan_index": 4},
    ),
    Case(
        "addresses.index-taken", {"infra.regions.1.ip_plan_index": 0}, ("us-central1 and us-east4", "index: 1"), "prod"
    ),
    Case(
        "addresses.overlap",
        {f"{RANGES}.nodes": "10.2.16.0/20"},
        ("the nodes range of us-central1 is 10.2.16.0/20", "the pods range of us-central1 is 10.2.0.0/15"),
        "dev",
    ),
    Case(
        "addresses.overlap",
        {f"{RANGES}.services": "10.4.16.0/20"},
        ("the services range of us-central1", "the services range of us-east4"),
        "prod",
    ),
    Case("addresses.overlap", {f"{RANGES}.pods": "172.17.0.0/16"}, ("Docker's bridge",), "dev"),
    Case("addresses.too-small", {f"{RANGES}.services": "10.0.16.0/25"}, ("a /24 or larger",), "dev"),
    Case("addresses.too-small", {f"{RANGES}.global_proxy_only": "10.0.32.0/27"}, ("a /26 or larger",), "dev"),
    Case("addresses.too-small", {f"{RANGES}.redis": "10.0.36.0/30"}, ("a /29 or larger",), "dev"),
    Case("addresses.too-small", {f"{RANGES}.nodes": "10.0.0.0/29"}, ("fewer nodes",), "dev"),
    Case("addresses.too-small", {f"{RANGES}.pods": "10.2.0.0/24"}, ("max_pods_per_node",), "dev"),
    # Names
    Case("names.region", {"infra.regions.0.name": "us-middle1"}, ("us-middle1", "us-central1"), "dev"),
    Case("names.environment", {}, ("called my-dev", "call it mydev"), "dev", called="my-dev"),
    Case("names.environment", {}, ("called Prod", "call it prod"), "prod", called="Prod"),
    Case("names.too-long", {}, ("prod", "characters"), "prod", called="production" + "x" * 20),
    Case("names.too-long", {f"{POOL}.name": "l4-" + "x" * 23}, ("42 characters", "at most 40", "by 2"), "dev"),
    Case("names.role", {f"{POOL}.name": "L4_spot"}, ("L4_spot", "pool-l4-spot"), "dev"),
    Case("names.role", {f"{POOL}.name": "usc1-l4"}, ("usc1-l4", "begin like a region"), "dev"),
    Case(
        "names.collision",
        {"infra.regions.0.node_pools.1": POOL_BESIDE},
        ("infra.regions[0].node_pools[0] and infra.regions[0].node_pools[1]", "dev-us-central1-l4"),
        "dev",
    ),
    Case(
        "names.collision",
        {f"{POOL}.name": "system"},
        ("infra.system_pool and infra.regions[0].node_pools[0]", "dev-us-central1-system"),
        "dev",
    ),
    Case("names.label", {"infra.owner": "Search Team"}, ("Search Team", "search-team"), "dev"),
    Case("names.label", {"infra.owner": ""}, ("empty", "platform"), "dev"),
]
