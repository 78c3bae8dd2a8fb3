"""An edit of the settings under the real engine updates resources in place, replaces them, or changes nothing.

One stack has a node pool for each edit of a pool and a region for each edit of a region, so that one preview shows many
edits and tells them apart. rehearsal/google/resource_types.yaml says which field replaces; it is read from the
provider's source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engine.google_stacks import (
    google_changes,
    google_settings,
    rehearsal_project,
    unexpected_changes,
    write_settings,
)
from tests.harness.pulumi_project import PulumiProject
from tests.unit.case import edited

CREATE, UPDATE, REPLACE, DELETE, NOTHING = "create", "update", "replace", "delete", "nothing"

SPOT = {"kind": "spot"}
FLEX = {"kind": "flex_start", "max_run_duration_hours": 24}
MINE = {"kind": "reservation", "name": "mine", "count": 2, "end_date": "2027-06-30"}
AUTOSCALED = {"kind": "autoscaling", "total_max_nodes": 2}
L4 = {"machine_type": "g2-standard-8", "zones": ["us-central1-a"], "capacity": SPOT, "nodes": AUTOSCALED}
A4 = {"machine_type": "a4-highgpu-8g", "zones": ["us-central1-b"], "capacity": MINE}


@dataclass(frozen=True)
class PoolRow:
    """A node pool called `name`, an edit of it, and the operation that follows."""

    name: str
    pool: Mapping[str, Any]
    edit: Mapping[str, Any]
    operation: str


POOLS = [
    PoolRow("larger-machine", L4, {"machine_type": "g2-standard-16"}, UPDATE),
    PoolRow("more-gpus", L4, {"machine_type": "g2-standard-24"}, REPLACE),
    PoolRow("other-gpu", L4, {"machine_type": "g4-standard-48"}, REPLACE),
    PoolRow("other-driver", L4, {"gpu_driver_version": "DEFAULT"}, REPLACE),
    PoolRow("another-zone", L4, {"zones": ["us-central1-a", "us-central1-c"]}, UPDATE),
    PoolRow(
        "other-order",
        L4 | {"zones": ["us-central1-a", "us-central1-c"]},
        {"zones": ["us-central1-c", "us-central1-a"]},
        NOTHING,
    ),
    PoolRow("more-nodes", L4, {"nodes": {"kind": "autoscaling", "total_max_nodes": 4}}, UPDATE),
    PoolRow("more-pods", L4, {"max_pods_per_node": 64}, REPLACE),
    PoolRow("larger-disk", L4, {"boot_disk_size_gib": 300}, UPDATE),
    PoolRow("spot-to-on-demand", L4, {"capacity": {"kind": "on_demand"}}, REPLACE),
    PoolRow("spot-to-flex-start", L4, {"capacity": FLEX}, REPLACE),
    PoolRow("longer-flex-start", L4 | {"capacity": FLEX}, {"capacity": FLEX | {"max_run_duration_hours": 48}}, REPLACE),
    PoolRow("other-reservation", A4, {"capacity": MINE | {"name": "other"}}, REPLACE),
    PoolRow("more-reserved", A4, {"capacity": MINE | {"count": 3}}, UPDATE),
    PoolRow("reserved-longer", A4, {"capacity": MINE | {"end_date": "2027-09-30"}}, NOTHING),
    PoolRow("delivered", A4 | {"capacity": MINE | {"active": False}}, {"capacity": MINE}, UPDATE),
    PoolRow("now-autoscaled", A4, {"nodes": AUTOSCALED}, UPDATE),
    PoolRow("now-static", A4 | {"nodes": AUTOSCALED}, {"nodes": {"kind": "fixed", "count": 1}}, UPDATE),
    PoolRow("placed-together", A4, {"compact_placement": True}, REPLACE),
]


@dataclass(frozen=True)
class RegionRow:
    """A region called `name`, an edit of it, and the changes of the resources whose names contain it."""

    name: str
    region: Mapping[str, Any]
    edit: Mapping[str, Any]
    changes: Mapping[str, str]
    """Pattern of `Type name` -> operation; nothing else changes."""


REGIONS = [
    RegionRow("us-east1", {}, {"traffic": "drained", "release": "2"}, {}),
    RegionRow(
        "us-east4",
        {"ranges": {"nodes": "10.200.0.0/21"}},
        {"ranges": {"nodes": "10.200.0.0/20"}},
        {"compute.Subnetwork *-nodes": UPDATE},
    ),
    RegionRow(
        "us-west1",
        {"ranges": {"nodes": "10.201.0.0/20"}},
        {"ranges": {"nodes": "10.201.0.0/21"}},
        {"compute.Subnetwork *-nodes": REPLACE, "compute.Address *": REPLACE, "container.*": REPLACE},
    ),
    RegionRow(
        "us-west4",
        {},
        {"ranges": {"pods": "10.210.0.0/15"}},
        {"compute.Subnetwork *-nodes": REPLACE, "compute.Address *": REPLACE, "container.*": REPLACE},
    ),
    RegionRow("us-south1", {}, {"ranges": {"redis": "10.220.0.0/28"}}, {"redis.Instance *": REPLACE}),
]
REMOVED, ADDED = "europe-west4", "asia-southeast1"


@dataclass(frozen=True)
class Row:
    """Edits of the environment, previewed together, each with its changes: pattern of `Type name` -> operation. Nothing
    else changes."""

    name: str
    edits: Mapping[str, tuple[Any, Mapping[str, str]]]


DATA = ("compute.Address", "container.Cluster", "dns.ManagedZone", "redis.Instance", "storage.Bucket")
LABELLED = (*DATA, "artifactregistry.Repository", "container.NodePool", "gkehub.Feature", "pulumi:providers:gcp")
KEYS = {at: f"projects/k/locations/{at}/keyRings/r/cryptoKeys/c" for at in ("us", "us-central1", "us-east4")}

ROWS = [
    Row(
        "in place",
        {
            "infra.gateway.hostname": ("models.example.internal", {"dns.RecordSet *-gateway": REPLACE}),
            "infra.regions.1.traffic": ("drained", {}),
            "infra.gateway.config_cluster_region": ("us-east4", {"gkehub.Feature *ingress": UPDATE}),
            "infra.cluster_defaults.release_channel": ("RAPID", {"container.Cluster *": UPDATE}),
            "infra.cluster_defaults.min_version": ("1.36", {"container.Cluster *": UPDATE}),
            "infra.cluster_defaults.maintenance.window.days": (["MO", "TU"], {"container.Cluster *": UPDATE}),
            "infra.cluster_defaults.control_plane_access.allow_external_traffic": (
                False,
                {"container.Cluster *": UPDATE},
            ),
            "infra.cluster_defaults.gcs_fuse_csi_driver": (True, {"container.Cluster *": UPDATE}),
            "infra.system_pool.machine_type": ("n4-standard-16", {"container.NodePool *-system": UPDATE}),
            "infra.system_pool.total_max_nodes": (9, {"container.NodePool *-system": UPDATE}),
            "infra.redis.memory_gib": (8, {"redis.Instance *": UPDATE}),
        },
    ),
    Row("another owner", {"infra.owner": ("somebody-else", {f"{kind} *": UPDATE for kind in LABELLED})}),
    Row("protection", {"infra.protect": (True, {f"{kind} *": UPDATE for kind in DATA})}),
    Row(
        "location of data",
        {
            "infra.redis.tier": ("BASIC", {"redis.Instance *": REPLACE}),
            "infra.model_bucket.location": ("EU", {"storage.*": REPLACE}),
            "infra.image_registry.upstream": ("https://quay.io", {"artifactregistry.*": REPLACE}),
            "infra.image_registry.image_streaming": (
                False,
                {
                    "container.NodePool *": UPDATE,
                    "projects.IAMMember *-nodes-image-streaming": DELETE,
                    "projects.Service containerfilesystem": DELETE,
                },
            ),
            "infra.gateway.hostname": ("llm.another.example", {"dns.RecordSet *-gateway": REPLACE}),
            "infra.gateway.dns_zone.domain": ("another.example", {"dns.ManagedZone *": REPLACE}),
        },
    ),
    Row(
        "KMS keys",
        {
            "infra.kms_keys": (
                KEYS,
                {
                    "projects.*": CREATE,
                    "kms.*": CREATE,
                    "container.Cluster *": UPDATE,
                    "storage.Bucket *": UPDATE,
                    "container.NodePool *": REPLACE,
                    "redis.Instance *": REPLACE,
                    "artifactregistry.*": REPLACE,
                },
            )
        },
    ),
    Row(
        "an external gateway",
        {
            "infra.gateway.certificate": (
                {"kind": "existing", "name": "llm"},
                {"projects.Service certificatemanager": CREATE},
            ),
            "infra.gateway.cloud_armor": (
                {"allowed_ip_ranges": ["203.0.113.0/24"]},
                {"compute.SecurityPolicy *": CREATE},
            ),
            "infra.gateway.exposure": (
                "external",
                {
                    "compute.GlobalAddress *": CREATE,
                    "compute.Address *": DELETE,
                    "compute.Subnetwork *-global-proxies": DELETE,
                    "compute.Firewall *": UPDATE,
                    "dns.ManagedZone *": REPLACE,
                    "dns.RecordSet *-gateway": REPLACE,
                },
            ),
        },
    ),
]


def region(name: str, index: int, *pools: Mapping[str, Any], **other: Any) -> dict[str, Any]:
    own = L4 | {"name": "l4", "zones": [f"{name}-b"]}
    return {"name": name, "ip_plan_index": index, "node_pools": list(pools or [own]), **other}


COMMON = {
    "infra.gateway": {"hostname": "llm.example.internal", "dns_zone": {"kind": "new", "domain": "example.internal"}},
    "infra.redis": {"tier": "STANDARD_HA"},
    "infra.image_registry": {"kind": "remote_repository"},
    "infra.model_bucket": {"kind": "new", "location": "US"},
}
ONE_FOR_EACH_ROW = edited(
    google_settings("dev"),
    {
        **COMMON,
        "infra.regions": [
            region("us-central1", 0, *({"name": row.name, **row.pool} for row in POOLS)),
            *(region(row.name, index, **row.region) for index, row in enumerate(REGIONS, 1)),
            region(REMOVED, 9),
        ],
    },
)
TWO_REGIONS = edited(
    google_settings("dev"), {**COMMON, "infra.regions": [region("us-central1", 0), region("us-east4", 1)]}
)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> PulumiProject:
    """The stack with a pool or region for each row, after its `up`."""
    return created(tmp_path_factory.mktemp("wide"), ONE_FOR_EACH_ROW)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> PulumiProject:
    """The stack of two regions, after its `up`."""
    return created(tmp_path_factory.mktemp("small"), TWO_REGIONS)


def created(work: Path, settings: Mapping[str, Any]) -> PulumiProject:
    project, _ = rehearsal_project(work, "dev")
    write_settings(project, settings)
    project.up().ok()
    return project


def previewed_changes(project: PulumiProject, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the changes that a preview of `settings` shows, with a comment added to the file."""
    write_settings(project, settings)
    project.stack_file.write_text("# a comment\n" + project.stack_file.read_text())
    return google_changes(project.preview().ok())


def test_an_edit_of_a_node_pool_has_the_expected_operation(wide: PulumiProject) -> None:
    edits = {f"infra.regions.0.node_pools.{i}.{path}": v for i, row in enumerate(POOLS) for path, v in row.edit.items()}
    found = previewed_changes(wide, edited(ONE_FOR_EACH_ROW, edits))
    assert found == {
        f"container.NodePool dev-us-central1-{row.name}": row.operation for row in POOLS if row.operation != NOTHING
    }


def test_an_edit_of_a_region_changes_only_the_expected_resources_of_that_region(wide: PulumiProject) -> None:
    edits = {f"infra.regions.{i}.{path}": v for i, row in enumerate(REGIONS, 1) for path, v in row.edit.items()}
    edits[f"infra.regions.{len(REGIONS) + 1}"] = region(ADDED, 10)  # in the place of REMOVED
    found = previewed_changes(wide, edited(ONE_FOR_EACH_ROW, edits))
    for row in REGIONS:
        own = {key: found.pop(key) for key in list(found) if f"-{row.name}-" in key}
        assert unexpected_changes(own, row.changes) == [], row.name
    # The firewall rule contains the proxy ranges of each region, and the hostname's record contains its address.
    shared = {"compute.Firewall *": UPDATE, "dns.RecordSet *-gateway": UPDATE}
    assert unexpected_changes(found, {f"*-{REMOVED}-*": DELETE, f"*-{ADDED}-*": CREATE, **shared}) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_edit_of_the_environment_changes_only_the_expected_resources(small: PulumiProject, row: Row) -> None:
    found = previewed_changes(small, edited(TWO_REGIONS, {path: value for path, (value, _) in row.edits.items()}))
    assert (
        unexpected_changes(found, {pattern: op for _, changes in row.edits.values() for pattern, op in changes.items()})
        == []
    )
