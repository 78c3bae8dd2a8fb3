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
        "infra.network.range-not-private",
        {"infra.network": {"kind": "new", "base_cidr": "8.0.0.0/8"}},
        ("infra.network.base_cidr: 8.0.0.0/8",),
        "dev",
    ),
    Case(
        "infra.network.range-not-private",
        {f"{RANGES}.nodes": "8.8.0.0/20"},
        ("infra.regions[0].ranges.nodes: 8.8.0.0/20", "10.0.0.0/8"),
        "dev",
    ),
    Case(
        "infra.regions.ip-plan-index-outside-base",
        {"infra.regions.0.ip_plan_index": 64},
        ("infra.regions[0].ip_plan_index: 64", "64"),
        "dev",
        {"infra.regions.0.ip_plan_index": 63},
    ),
    Case(
        "infra.regions.ip-plan-index-outside-base",
        {"infra.network": {"kind": "new", "base_cidr": "10.0.0.0/12"}},
        ("infra.regions[1].ip_plan_index: 4", "room for 4"),
        "prod",
        {"infra.regions.1.ip_plan_index": 4},
    ),
    Case(
        "infra.regions.ip-plan-index-taken",
        {"infra.regions.1.ip_plan_index": 0},
        ("us-central1 and us-east4", "ip_plan_index: 1"),
        "prod",
    ),
    Case(
        "infra.network.ranges-overlap",
        {f"{RANGES}.nodes": "10.2.16.0/20"},
        ("infra.regions[0].ranges.nodes: 10.2.16.0/20", "10.2.0.0/15, the pods range of us-central1"),
        "dev",
    ),
    Case(
        "infra.network.ranges-overlap",
        {f"{RANGES}.services": "10.4.16.0/20"},
        ("infra.regions[0].ranges.services: ", "the services range of us-east4"),
        "prod",
    ),
    Case("infra.network.ranges-overlap", {f"{RANGES}.pods": "172.17.0.0/16"}, ("the Docker bridge",), "dev"),
    Case("infra.network.range-too-small", {f"{RANGES}.services": "10.0.16.0/25"}, ("a /24 or larger",), "dev"),
    Case("infra.network.range-too-small", {f"{RANGES}.global_proxy_only": "10.0.32.0/27"}, ("a /26 or larger",), "dev"),
    Case("infra.network.range-too-small", {f"{RANGES}.redis": "10.0.36.0/30"}, ("a /29 or larger",), "dev"),
    Case("infra.network.range-too-small", {f"{RANGES}.nodes": "10.0.0.0/29"}, ("fewer nodes",), "dev"),
    Case("infra.network.range-too-small", {f"{RANGES}.pods": "10.2.0.0/24"}, ("max_pods_per_node",), "dev"),
    # Names
    Case("infra.regions.name-invalid", {"infra.regions.0.name": "us-middle1"}, ("us-middle1", "us-central1"), "dev"),
    Case("infra.stack-name-invalid", {}, ("my-dev", "Rename the stack to mydev"), "dev", called="my-dev"),
    Case("infra.stack-name-invalid", {}, ("Prod", "Rename the stack to prod"), "prod", called="Prod"),
    Case("infra.name-too-long", {}, ("prod", "characters"), "prod", called="production" + "x" * 20),
    Case("infra.name-too-long", {f"{POOL}.name": "l4-" + "x" * 23}, ("42 characters", "at most 40", "by 2"), "dev"),
    Case("infra.node_pools.name-invalid", {f"{POOL}.name": "L4_spot"}, ("L4_spot", "pool-l4-spot"), "dev"),
    Case("infra.node_pools.name-invalid", {f"{POOL}.name": "usc1-l4"}, ("usc1-l4", "begin like a region"), "dev"),
    Case(
        "infra.name-collision",
        {"infra.regions.0.node_pools.1": POOL_BESIDE},
        ("infra.regions[0].node_pools[0].name and infra.regions[0].node_pools[1].name", "dev-us-central1-l4"),
        "dev",
    ),
    Case(
        "infra.name-collision",
        {f"{POOL}.name": "system"},
        ("infra.system_pool and infra.regions[0].node_pools[0].name", "dev-us-central1-system"),
        "dev",
    ),
    Case("infra.owner-not-a-label", {"infra.owner": "Search Team"}, ("Search Team", "search-team"), "dev"),
    Case("infra.owner-not-a-label", {"infra.owner": ""}, ("empty", "platform"), "dev"),
]
