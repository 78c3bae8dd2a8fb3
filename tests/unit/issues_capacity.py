"""What a GPU pool may not say of its machines and of how it gets them."""

from typing import Any

from tests.unit.case import ABSENT, Case

POOL = "infra.regions.0.node_pools.0"

CALENDAR: dict[str, Any] = {
    f"{POOL}.capacity": {
        "kind": "calendar_mode",
        "name": "spring",
        "count": 80,
        "start_date": "2027-03-01",
        "end_date": "2027-05-30",
    },
}
"""prod with the longest and largest calendar reservation that Google takes."""

CASES = [
    Case(
        "infra.node_pools.too-many-gpus",
        {"infra.regions.0.node_pools.0.capacity.count": 200},
        ("capacity.count: 200 nodes of a4-highgpu-8g have 1600 GPUs", "Write at most 128"),
        "prod",
    ),
    Case(
        "infra.node_pools.too-many-gpus",
        {
            "infra.regions.0.node_pools.0.nodes.total_max_nodes": 500,
            "infra.regions.0.node_pools.0.machine_type": "a4-highgpu-8g",
            "infra.regions.0.node_pools.0.zones": ["us-central1-b"],
        },
        ("nodes.total_max_nodes: 500 nodes", "Write at most 128"),
        "dev",
    ),
    # Machine types
    Case(
        "infra.machine-type-unknown",
        {f"{POOL}.machine_type": "a4-highgpu-4g"},
        ("machine_type: unknown machine type a4-highgpu-4g", "a4-highgpu-8g", "add it to that file"),
        "staging",
    ),
    Case(
        "infra.machine-type-unknown",
        {"infra.system_pool.machine_type": "e2-standard-7"},
        ("e2-standard-7", "e2-standard-8"),
        "staging",
    ),
    Case(
        "infra.node_pools.capacity-kind-unavailable",
        {f"{POOL}.capacity": {"kind": "on_demand"}},
        (
            "capacity.kind: on_demand, because Google does not offer a4-highgpu-8g",
            "calendar_mode, flex_start, reservation, spot",
        ),
        "staging",
    ),
    Case(
        "infra.cluster_defaults.min-version-too-old",
        {"infra.cluster_defaults.min_version": "1.32.2-gke.1651999"},
        ("1.32.2-gke.1651999", "a4-highgpu-8g with capacity.kind flex_start", "1.32.2-gke.1652000"),
        "staging",
        {"infra.cluster_defaults.min_version": "1.32.2-gke.1652000"},
    ),
    Case(
        "infra.cluster_defaults.min-version-too-old",
        {"infra.cluster_defaults.min_version": "1.32"},
        ("1.32.2-gke.1652000",),
        "staging",
    ),
    Case(
        "infra.cluster_defaults.min-version-too-old",
        {"infra.cluster_defaults.min_version": "1.30"},
        ("infra.cluster_defaults.min_version:",),
        "prod",
    ),
    Case(
        "infra.cluster_defaults.min-version-too-old",
        {"infra.cluster_defaults.min_version": "1.32"},
        ("a4-highgpu-8g with capacity.kind reservation needs 1.32.1-gke.1729000",),
        "prod",
    ),
    Case(
        "infra.cluster_defaults.min-version-too-old",
        {"infra.cluster_defaults.min_version": "1.32.2-gke.1475000"},
        ("1.32.2-gke.1652000",),
        "staging",
    ),
    Case(
        "infra.cluster_defaults.min-version-too-old",
        {"infra.cluster_defaults.min_version": "1.30.0-gke.1746999"},
        ("Ray Operator add-on needs 1.30.0-gke.1747000",),
        "dev",
        {"infra.cluster_defaults.min_version": "1.30.0-gke.1747000"},
    ),
    # Zones
    Case("infra.node_pools.zones-missing", {f"{POOL}.zones": []}, (".zones: ", "g2-standard-8"), "dev"),
    Case(
        "infra.node_pools.several-zones",
        {f"{POOL}.zones": ["us-central1-b", "us-central1-c"]},
        ("2 zones (us-central1-b, us-central1-c)", "a reservation is in one"),
        "prod",
    ),
    Case(
        "infra.node_pools.several-zones",
        {f"{POOL}.zones": ["us-central1-b", "us-central1-c"]},
        ("a compact placement is in one",),
        "staging",
        {f"{POOL}.compact_placement": True},
    ),
    Case(
        "infra.node_pools.compact-placement-unavailable",
        {f"{POOL}.compact_placement": True},
        ("g2-standard-8 with capacity.kind spot", "compact placement"),
        "dev",
        {f"{POOL}.zones": ["us-central1-a"]},
    ),
    Case(
        "infra.node_pools.compact-placement-unavailable",
        {f"{POOL}.compact_placement": True},
        ("a3-highgpu-8g with capacity.kind flex_start", "RDMA"),
        "staging",
        {f"{POOL}.machine_type": "a3-highgpu-8g"},
    ),
    # Sizes
    Case("infra.node_pools.nodes-missing", {f"{POOL}.nodes": ABSENT}, ("capacity.kind spot", "total_max_nodes"), "dev"),
    Case(
        "infra.node_pools.min-nodes-without-reservation",
        {f"{POOL}.nodes": {"kind": "fixed", "count": 2}},
        ("nodes.count: 2 with capacity.kind spot", "min_nodes: 0"),
        "dev",
    ),
    Case(
        "infra.node_pools.min-nodes-without-reservation",
        {f"{POOL}.nodes.total_min_nodes": 1},
        ("nodes.total_min_nodes: 1 with", "flex_start"),
        "staging",
    ),
    Case(
        "infra.node_pools.nodes-exceed-reservation",
        {f"{POOL}.nodes": {"kind": "fixed", "count": 3}},
        ("3 nodes", "at most 2 nodes"),
        "prod",
    ),
    Case(
        "infra.node_pools.nodes-exceed-reservation",
        {f"{POOL}.nodes": {"kind": "autoscaling", "total_max_nodes": 81}},
        ("81 nodes", "at most 80 nodes"),
        "prod",
        CALENDAR,
    ),
    Case("infra.node-count-bounds", {f"{POOL}.nodes.total_min_nodes": 5}, ("min_nodes 5", "at most 4"), "dev"),
    Case(
        "infra.node-count-bounds",
        {"infra.system_pool": {"total_min_nodes": 3, "total_max_nodes": 2}},
        ("at most 2",),
        "dev",
    ),
    # Reservations
    Case(
        "infra.node_pools.reservation-name-is-path",
        {f"{POOL}.capacity.name": "projects/other/reservations/spring/reservationBlocks/b1/reservationSubBlocks/s1"},
        ("project: other, name: spring, block: b1, sub_block: s1",),
        "prod",
    ),
    Case(
        "infra.node_pools.reservation-name-is-path",
        {f"{POOL}.capacity.name": "folders/other/spring/"},
        ("name: the-reservation",),
        "prod",
    ),
    Case("infra.node_pools.sub-block-without-block", {f"{POOL}.capacity.sub_block": "s1"}, ("s1", "`block`"), "prod"),
    Case(
        "infra.node_pools.calendar-mode-duration",
        {f"{POOL}.capacity.end_date": "2027-05-31"},
        ("91 days", "1 to 90", "2027-03-02 to 2027-05-30"),
        "prod",
        CALENDAR,
    ),
    Case(
        "infra.node_pools.calendar-mode-duration",
        {f"{POOL}.capacity.end_date": "2027-03-01"},
        ("0 days",),
        "prod",
        CALENDAR,
    ),
    Case(
        "infra.node_pools.calendar-mode-count",
        {f"{POOL}.capacity.count": 81},
        ("81 VMs", "at most 80"),
        "prod",
        CALENDAR,
    ),
    # Flex-start
    Case(
        "infra.node_pools.max-run-duration-too-long",
        {f"{POOL}.capacity.max_run_duration_hours": 169},
        ("at most 168",),
        "staging",
    ),
]
