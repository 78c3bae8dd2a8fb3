"""What the settings of Google Cloud come to. What they refuse is in refusals_google.py."""

from __future__ import annotations

from datetime import date
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import versions
from config.google.infra import GoogleInfra
from config.google.warnings import find_warnings
from config.parsing import models_in
from config.stack import Blocks, check
from paths import CHECKOUT
from tests.unit.case import blocks, edited

PUBLIC = {
    "exposure": "external",
    "certificate": {"kind": "existing", "name": "map"},
    "cloud_armor": {"allowed_ip_ranges": ["203.0.113.0/24"]},
}


def settings(stack: str, edit: dict[str, Any] | None = None) -> GoogleInfra:
    found = check(stack, edited(blocks(stack), edit or {})).infra
    assert isinstance(found, GoogleInfra)
    return found


@pytest.mark.parametrize(
    ("stack", "gateway", "gateway_class", "proxies"),
    [
        ("dev", {}, "gke-l7-rilb", "REGIONAL_MANAGED_PROXY"),
        ("dev", {"multi_cluster": True}, "gke-l7-cross-regional-internal-managed-mc", "GLOBAL_MANAGED_PROXY"),
        ("dev", PUBLIC, "gke-l7-global-external-managed", None),
        ("prod", {}, "gke-l7-cross-regional-internal-managed-mc", "GLOBAL_MANAGED_PROXY"),
        ("prod", PUBLIC, "gke-l7-global-external-managed-mc", None),
    ],
)
def test_class_and_proxies_follow_from_exposure_and_regions(
    stack: str, gateway: dict[str, Any], gateway_class: str, proxies: str | None
) -> None:
    found = settings(stack, {"infra.gateway": gateway})
    assert (found.gateway_class, found.proxy_purpose) == (gateway_class, proxies)


def test_production_in_two_regions_takes_fewer_than_45_lines() -> None:
    assert len((CHECKOUT / "Pulumi.prod.yaml").read_text().splitlines()) < 45


def test_a_zone_where_the_machine_was_not_seen_is_a_warning() -> None:
    (warning,) = find_warnings(settings("staging", {"infra.regions.0.node_pools.0.zones": ["us-central1-f"]}))
    assert "a4-highgpu-8g in us-central1-f" in warning
    assert list(find_warnings(settings("staging"))) == []


@pytest.mark.parametrize(
    ("capacity", "today", "said"),
    [
        ({}, date(2027, 6, 15), ""),
        ({}, date(2027, 6, 16), "ends on 2027-06-30"),
        ({}, date(2027, 6, 30), "ends on 2027-06-30"),
        ({}, date(2027, 7, 1), "ended on 2027-06-30"),
        ({"active": True}, date(2027, 4, 30), "Write `active: false`"),
        ({"active": True}, date(2027, 5, 1), ""),
        ({"active": False}, date(2027, 4, 30), ""),
        ({"active": False}, date(2027, 5, 1), "Write `active: true`"),
        ({"active": False}, date(2027, 7, 1), "ended on"),
    ],
    ids=str,
)
def test_a_reservation_that_is_not_there_today_is_a_warning(capacity: dict[str, Any], today: date, said: str) -> None:
    path = "infra.regions.0.node_pools.0.capacity"
    calendar = {"kind": "calendar_mode", "start_date": "2027-05-01", **capacity} if capacity else {}
    found = settings("prod", {f"{path}.{key}": value for key, value in calendar.items()})
    warnings = list(find_warnings(found, today))
    assert len(warnings) == bool(said)
    assert all(each.startswith("infra.regions[0].node_pools[0].capacity: ") and said in each for each in warnings)


def test_reservations_that_end_together_everywhere_are_a_warning() -> None:
    ends = "infra.regions.0.node_pools.0.capacity.end_date"
    today = date(2026, 12, 1)
    (warning,) = find_warnings(settings("prod", {ends: "2027-09-27"}), today)
    assert "every region end in week 39 of 2027" in warning
    assert list(find_warnings(settings("prod", {ends: "2027-09-26"}), today)) == []


def test_an_entrance_for_everybody_is_a_warning() -> None:
    gateway = {
        "exposure": "external",
        "hostname": "llm.example.com",
        "certificate": {"kind": "managed", "dns_authorization_zone": "example-com"},
        "cloud_armor": {"allowed_ip_ranges": ["0.0.0.0/0"]},
    }
    (warning,) = find_warnings(settings("dev", {"infra.gateway": gateway}))
    assert "600 requests a minute" in warning


def test_a_region_that_is_not_known_is_a_warning() -> None:
    edit = {"infra.regions.0.name": "us-central9", "infra.regions.0.node_pools.0.zones": ["us-central9-a"]}
    (warning,) = find_warnings(settings("dev", edit))
    assert warning.endswith("Check the name."), "another number is another region, not a misspelt one"


def test_a_region_may_be_drained_while_another_takes_its_requests() -> None:
    found = settings("prod", {"infra.regions.0.traffic": "drained"})
    assert [region.traffic for region in found.regions] == ["drained", "active"]
    assert list(find_warnings(found)) == []


def test_keys_of_ones_own_are_used_for_all_that_holds_data() -> None:
    assert settings("prod").kms_key_uses == [
        *(("us-central1", service) for service in ("compute", "container", "redis", "artifactregistry")),
        *(("us-east4", service) for service in ("compute", "container", "redis", "artifactregistry")),
        ("us", "storage"),
    ]
    assert settings("dev", {"infra.model_bucket": None, "infra.image_registry": {"kind": "direct"}}).kms_key_uses == [
        ("us-central1", "compute"),
        ("us-central1", "container"),
    ]


@pytest.mark.parametrize("tag", [":v{}", ":{}rc2", ":{}-py312-cu130", ":{}", ":nightly", "", "@1.4"])
def test_tags_of_the_same_ray_are_accepted(tag: str) -> None:
    image = f"rayproject/ray-llm{tag.format(versions.RAY) if tag != '@1.4' else ''}@sha256:{64 * '1'}"
    image = image.replace("rayproject/ray-llm", "acme/server:1.4") if tag == "@1.4" else image
    settings("dev", {"serving.kubernetes.releases.r1.image": image})


def models_below(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """Return the settings models of a model's fields, and of theirs."""
    seen.add(model)
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            if inner not in seen:
                models_below(inner, seen)
    return seen


def test_every_number_has_an_upper_bound() -> None:
    """Those in `own` have a rule or a validator of their own; the request routers' are Ray's arguments."""
    own = {"max_run_duration_hours", "request_timeout_s", "ip_plan_index", "max_model_len"}
    unbounded = {
        f"{model.__name__}.{name}"
        for model in models_below(Blocks, set())
        if model.__module__ != "config.request_routers"
        for name, field in model.model_fields.items()
        if {int, float} & {field.annotation, *get_args(field.annotation)} and name not in own
        if not any(getattr(each, "le", None) is not None for each in field.metadata)
    }
    assert unbounded == set()
