"""Settings keys and values that have a new name. Delete this module with the first release.

In a path, `[]` stands for any index and `*` for any key. A new name is written as a user writes it in place of the old
one: a key, or a key and its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

REMOVED = ""
"""New name of a key that has none: take it out."""

_POOL = "infra.regions[].node_pools[]"
_EXCLUSION = "infra.cluster_defaults.maintenance.exclusions[]"
_RELEASE = "serving.kubernetes.releases.*"
_MODEL = "serving.kubernetes.additional_models[]"
_SERVICE_KEYS = {
    "replicas.count": "num_replicas",
    "replicas.idle_node_s": "idle_timeout_s",
    "engine.arguments": "engine_kwargs",
    "model.lora.adapters_bucket": "dynamic_lora_loading_path",
    "model.lora.max_adapters_per_replica": "max_num_adapters_per_replica",
}

RENAMED_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "infra.folder": "data_dir",
        "infra.regions[].index": "ip_plan_index",
        "infra.regions[].pools": "node_pools",
        "infra.regions[].ranges.global_proxies": "global_proxy_only",
        "infra.regions[].ranges.regional_proxies": "regional_proxy_only",
        f"{_POOL}.nodes.min_nodes": "total_min_nodes",
        f"{_POOL}.nodes.max_nodes": "total_max_nodes",
        f"{_POOL}.driver": "gpu_driver_version",
        f"{_POOL}.boot_disk_gib": "boot_disk_size_gib",
        f"{_POOL}.capacity.max_run_hours": "max_run_duration_hours",
        f"{_POOL}.capacity.starts_at": "start_date",
        f"{_POOL}.capacity.ends_at": "end_date",
        "infra.system_pool.min_nodes": "total_min_nodes",
        "infra.system_pool.max_nodes": "total_max_nodes",
        "infra.network.host": "host_project",
        "infra.network.base": "base_cidr",
        "infra.network.redis_range": "redis_range_name",
        "infra.network.subnetworks.*.pods_range": "pods_range_name",
        "infra.network.subnetworks.*.services_range": "services_range_name",
        "infra.network.subnetworks.*.proxies": "proxy_only_range",
        "infra.cluster": "cluster_defaults",
        "infra.cluster_defaults.maintenance.window.hours": "duration_hours",
        f"{_EXCLUSION}.starts_at": "start_date",
        f"{_EXCLUSION}.ends_at": "end_date",
        "infra.cluster_defaults.api_access": "control_plane_access",
        "infra.cluster_defaults.control_plane_access.from_internet": "allow_external_traffic",
        "infra.cluster_defaults.gcs_fuse": "gcs_fuse_csi_driver",
        "infra.gateway.config_region": "config_cluster_region",
        "infra.gateway.certificate.authorization_zone": "dns_authorization_zone",
        "infra.gateway.cloud_armor.allowed_sources": "allowed_ip_ranges",
        "infra.gateway.cloud_armor.requests_per_minute": "rate_limit_per_minute",
        "infra.gateway.callers": REMOVED,
        "infra.model_store": "model_bucket",
        "infra.head_state": "redis",
        "infra.images": "image_registry",
        "infra.image_registry.streaming": "image_streaming",
        "infra.encryption_keys": "kms_keys",
        "serving.clusters": "kubernetes",
        "serving.pool": "node_pool",
        f"{_MODEL}.pool": "node_pool",
        "serving.ingress.replicas": "num_replicas",
        f"{_MODEL}.ingress.replicas": "num_replicas",
        **{f"{at}.{old}": new for at in ("serving", _RELEASE, _MODEL) for old, new in _SERVICE_KEYS.items()},
        "serving.kubernetes.requests_per_second_per_worker": "max_rate_per_endpoint",
        f"{_MODEL}.requests_per_second_per_worker": "max_rate_per_endpoint",
        "serving.kubernetes.detach_s": "load_balancer_propagation_s",
        "serving.kubernetes.ready_limit_s": "ready_timeout_s",
        "serving.kubernetes.services": "additional_models",
        f"{_RELEASE}.longest_answer_s": "request_timeout_s",
        f"{_RELEASE}.ray_tokens": "ray_auth_mode: token",
    }
)
"""Path of an old key -> the key to write instead."""

RENAMED_VALUES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "infra.kind": {"machine": "local"},
        "infra.network.kind": {"shared": "shared_vpc"},
        "infra.image_registry.kind": {"mirror": "remote_repository"},
        "infra.gateway.exposure": {"private": "internal", "public": "external"},
        f"{_POOL}.nodes.kind": {"static": "fixed"},
        f"{_POOL}.capacity.kind": {"calendar": "calendar_mode"},
    }
)
"""Path of a key -> its old values -> the value to write instead."""


def path_pattern(steps: tuple[str | int, ...], known: Mapping[str, object]) -> str | None:
    """Return the path of `known` that `steps` (keys and indices) match, or None."""
    return next((path for path in known if _matches(steps, path)), None)


def _matches(steps: tuple[str | int, ...], path: str) -> bool:
    wanted = path.replace("[]", ".[]").split(".")
    return len(steps) == len(wanted) and all(
        isinstance(step, int) if want == "[]" else want in ("*", step) for step, want in zip(steps, wanted, strict=True)
    )
