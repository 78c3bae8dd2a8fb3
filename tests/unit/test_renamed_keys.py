"""A key or value of an earlier version is one issue that names the new one, and the file written as it says loads."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from config.issues import ConfigError
from config.renamed_keys import REMOVED, RENAMED_KEYS, RENAMED_VALUES, path_pattern
from config.stack import check
from tests.unit.case import ABSENT, blocks, edited
from tests.unit.issues_google import KEYS, PUBLIC, SHARED_VPC
from tests.unit.issues_kubernetes import QWEN

Steps = tuple[str | int, ...]
Where = tuple[str, dict[str, Any], Any]
POOL = "infra.regions.0.node_pools.0"
AUTOSCALED = {"kind": "autoscaling", "min_replicas": 1, "max_replicas": 1, "idle_timeout_s": 300}
LORA = {"dynamic_lora_loading_path": "gs://bucket/adapters", "max_num_adapters_per_replica": 4}
SERVICE = {
    "replicas": {"kind": "fixed", "num_replicas": 1},
    "engine": {"engine_kwargs": {"seed": 1}},
    "model": {"id": "m", "source": "google/gemma-4-E2B-it", "lora": LORA},
}
ADDITIONAL = {**QWEN, **SERVICE, "data_path": "python_proxy", "ingress": {"num_replicas": 1}, "node_pool": "a4"}
BASES: list[tuple[str, dict[str, Any]]] = [
    ("local", {"infra.data_dir": "/tmp/rayllm-renamed"}),
    (
        "prod",
        {
            "infra.regions.0.ip_plan_index": 0,
            "infra.regions.0.ranges": {"global_proxy_only": "10.0.32.0/23", "regional_proxy_only": "10.0.34.0/23"},
            f"{POOL}.nodes": {"kind": "autoscaling", "total_min_nodes": 1, "total_max_nodes": 2},
            f"{POOL}.gpu_driver_version": "LATEST",
            f"{POOL}.boot_disk_size_gib": 200,
            "infra.system_pool": {"total_min_nodes": 1, "total_max_nodes": 6},
            "infra.network": {"kind": "new", "base_cidr": "10.0.0.0/8"},
            "infra.cluster_defaults.maintenance.window": {"duration_hours": 8},
            "infra.cluster_defaults.maintenance.exclusions.0.start_date": "2026-12-01",
            "infra.cluster_defaults.maintenance.exclusions.0.end_date": "2026-12-31",
            "infra.cluster_defaults.control_plane_access": {"allow_external_traffic": True},
            "infra.cluster_defaults.gcs_fuse_csi_driver": False,
            "infra.gateway.config_cluster_region": "us-central1",
            "infra.model_bucket": {"kind": "new"},
            "infra.redis": {"tier": "STANDARD_HA"},
            "infra.image_registry": {"kind": "remote_repository", "image_streaming": True},
            "serving.node_pool": "a4",
            "serving.data_path": "python_proxy",
            "serving.ingress": {"num_replicas": 1},
            **{f"serving.{name}": value for name, value in SERVICE.items()},
            "serving.kubernetes.load_balancer_propagation_s": 120,
            "serving.kubernetes.ready_timeout_s": 3600,
            "serving.kubernetes.additional_models": [ADDITIONAL],
            **{f"serving.kubernetes.releases.r1.{name}": value for name, value in SERVICE.items()},
            "serving.kubernetes.releases.r1.request_timeout_s": 600,
            "serving.kubernetes.releases.r1.ray_auth_mode": "token",
        },
    ),
    (
        "prod",
        {
            f"{POOL}.capacity": {
                "kind": "calendar_mode",
                "name": "spring",
                "count": 2,
                "start_date": "2027-03-01",
                "end_date": "2027-05-30",
            },
            f"{POOL}.nodes": {"kind": "fixed", "count": 2},
            "serving.data_path": "python_proxy",
            "serving.replicas": AUTOSCALED,
            "serving.kubernetes.releases.r1.replicas": AUTOSCALED,
            "serving.kubernetes.additional_models": [{**ADDITIONAL, "replicas": AUTOSCALED}],
        },
    ),
    ("prod", SHARED_VPC),
    ("staging", {f"{POOL}.capacity.max_run_duration_hours": 24}),
    ("dev", {**PUBLIC, "infra.gateway.cloud_armor.rate_limit_per_minute": 600}),
    ("dev", KEYS),
    ("dev", {"infra.gateway.exposure": "internal"}),
]


def walk(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, dict[str, Any]]]:
    """Every mapping in `value`, with its steps."""
    if isinstance(value, dict):
        yield steps, value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from walk(inner, (*steps, key))


def bases() -> Iterator[tuple[str, dict[str, Any]]]:
    for stack, edit in BASES:
        yield stack, edited(blocks(stack), edit)


def issue_of(stack: str, raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refused:
        check(stack, raw)
    (sentence,) = refused.value.sentences
    return sentence


@pytest.mark.parametrize("base", range(len(BASES)))
def test_a_file_with_the_new_names_loads(base: int) -> None:
    stack, raw = list(bases())[base]
    check(stack, raw)


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items(), ids=list(RENAMED_KEYS))
def test_an_old_key_is_one_issue_that_names_the_new_key(old: str, new: str) -> None:
    key, _, written = new.partition(": ")
    name = old.rpartition(".")[2]
    for stack, raw in bases():
        for steps, block in walk(raw):
            if path_pattern((*steps, name), {old: new}) is None or (new != REMOVED and key not in block):
                continue
            if written and block[key] != yaml.safe_load(written):
                continue
            before = copy.deepcopy(block)
            block[name] = True if written else block.get(key, "anyone")
            block.pop(key, None)
            sentence = issue_of(stack, raw)
            block.clear()
            block.update(before)
            assert f".{name}: " in sentence
            assert ("Remove it" if new == REMOVED else f"Write `{new}` instead") in sentence
            return
    pytest.fail(f"no base has {old}")


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [(path, old, new) for path, values in RENAMED_VALUES.items() for old, new in values.items()],
)
def test_an_old_value_is_one_issue_that_names_the_new_value(path: str, old: str, new: str) -> None:
    key = path.rpartition(".")[2]
    for stack, raw in bases():
        for steps, block in walk(raw):
            if path_pattern((*steps, key), {path: {}}) is not None and block.get(key, ABSENT) == new:
                block[key] = old
                sentence = issue_of(stack, raw)
                assert f"Write `{new}`" in sentence
                return
    pytest.fail(f"no base has {path}: {new}")
