"""`make preflight` against a Google API that answers as its discovery documents describe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from googleapiclient import discovery_cache

from config import stack_file
from tests.unit.case import blocks, edited
from tools import preflight
from verify.check_result import Status

Reply = dict[str, Any]
PROJECT = "example-rayllm-prod"
RESERVATION: Reply = {
    "status": "READY",
    "specificReservationRequired": True,
    "specificReservation": {"count": "2", "instanceProperties": {"machineType": "a4-highgpu-8g"}},
}
QUOTAS: Reply = {"quotas": [{"metric": "PREEMPTIBLE_NVIDIA_B200_GPUS", "limit": 16.0, "usage": 0.0}]}


def google(**changed: Callable[[httpx2.Request], httpx2.Response] | Reply) -> httpx2.Client:
    """Return a client of a Google API where every check passes, except for the `changed` answers."""
    answers: dict[str, Any] = {
        "project": {"name": "projects/100000000003"},
        "permissions": {"permissions": list(preflight.PERMISSIONS)},
        "reservation": RESERVATION,
        "region": QUOTAS,
        "cloudquotas": {},
        "bucket": {},
        **changed,
    }

    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        kind = (
            "permissions"
            if path.endswith(":testIamPermissions")
            else "reservation"
            if "/reservations/" in path
            else "region"
            if "/regions/" in path
            else "cloudquotas"
            if "/quotaInfos/" in path
            else "bucket"
            if "/b/" in path
            else "project"
        )
        chosen: Any = answers[kind]
        return httpx2.Response(200, json=chosen) if isinstance(chosen, dict) else chosen(request)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def statuses(client: httpx2.Client | None, stack: str = "prod") -> dict[str, Status]:
    results = preflight.check_results(stack, client, ask=lambda *_, **__: [])
    return {each.name: each.status for each in results if not each.name.startswith(("tool ", "memory "))}


def test_all_checks_pass() -> None:
    assert set(statuses(google()).values()) == {Status.OK}


def test_without_credentials_google_is_not_run_rather_than_ok() -> None:
    assert statuses(None)["Google"] is Status.NOT_RUN


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"project": {"name": "projects/1"}}, "project"),
        ({"project": lambda _: httpx2.Response(403, json={"error": {"message": "no"}})}, "project"),
        ({"permissions": {"permissions": list(preflight.PERMISSIONS[1:])}}, "permissions"),
        ({"permissions": {}}, "permissions"),
        ({"reservation": lambda _: httpx2.Response(404)}, "reservation change-me-us-central1 in us-central1-b"),
        ({"reservation": {**RESERVATION, "status": "CREATING"}}, "reservation change-me-us-east4 in us-east4-b"),
        (
            {"reservation": {**RESERVATION, "specificReservationRequired": False}},
            "reservation change-me-us-east4 in us-east4-b",
        ),
        (
            {
                "reservation": {
                    **RESERVATION,
                    "specificReservation": {**RESERVATION["specificReservation"], "count": "1"},
                }
            },
            "reservation change-me-us-east4 in us-east4-b",
        ),
        (
            {
                "reservation": {
                    **RESERVATION,
                    "specificReservation": {"count": "2", "instanceProperties": {"machineType": "a3-highgpu-8g"}},
                }
            },
            "reservation change-me-us-east4 in us-east4-b",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_problem_is_named(changed: Reply, name: str) -> None:
    assert statuses(google(**changed))[name] is Status.FAILED


L4: Reply = {"metric": "PREEMPTIBLE_NVIDIA_L4_GPUS", "limit": 8.0, "usage": 0.0}
FAMILY: Reply = {"dimensions": {"region": "us-central1", "gpu_family": "NVIDIA_L4"}, "details": {"value": "4"}}


@pytest.mark.parametrize(
    ("region", "quotas", "status"),
    [
        ({"quotas": [L4]}, {}, Status.OK),
        ({"quotas": [{**L4, "usage": 8.0}]}, {}, Status.FAILED),
        ({"quotas": [{**L4, "metric": "NVIDIA_L4_GPUS"}]}, {}, Status.NOT_RUN),
        ({"quotas": []}, {"dimensionsInfos": [FAMILY]}, Status.OK),
        ({"quotas": []}, {"dimensionsInfos": [{**FAMILY, "details": {"value": "0"}}]}, Status.FAILED),
        (
            {"quotas": []},
            {"dimensionsInfos": [{**FAMILY, "dimensions": {"gpu_family": "NVIDIA_H100"}}]},
            Status.NOT_RUN,
        ),
    ],
)
def test_quota_is_that_of_the_pools_capacity(region: Reply, quotas: Reply, status: Status) -> None:
    """Spot VMs use preemptible quota; families that Compute Engine does not list are in Cloud Quotas."""
    client = google(region=region, cloudquotas=quotas, project={"name": "projects/100000000001"})
    assert statuses(client, "dev")["quota in us-central1"] is status


def test_a_delivered_reservation_has_used_its_quota() -> None:
    used = {"quotas": [{"metric": "NVIDIA_B200_GPUS", "limit": 16.0, "usage": 16.0}]}
    assert statuses(google(region=used))["quota in us-east4"] is Status.OK


@pytest.mark.parametrize(("prevention", "status"), [("enforced", Status.OK), ("inherited", Status.FAILED)])
def test_an_existing_bucket_must_not_become_public(
    monkeypatch: pytest.MonkeyPatch, prevention: str, status: Status
) -> None:
    edit = {"infra.model_bucket": {"kind": "existing", "name": "weights"}}
    file = stack_file.StackFile(edited(blocks("prod"), edit), has_hugging_face_token=False)
    monkeypatch.setattr(preflight.stack_file, "read", lambda _: file)
    client = google(bucket={"iamConfiguration": {"publicAccessPrevention": prevention}})
    assert statuses(client)["bucket weights"] is status


def test_the_right_to_use_the_nodes_service_account_is_checked() -> None:
    assert "iam.serviceAccounts.actAs" in preflight.PERMISSIONS


def test_the_replies_have_googles_published_form() -> None:
    def schema(document: str, name: str) -> dict[str, Any]:
        file = Path(discovery_cache.__path__[0]) / "documents" / f"{document}.json"
        return json.loads(file.read_text())["schemas"][name]["properties"]

    reservation = schema("compute.v1", "Reservation")
    assert "READY" in reservation["status"]["enum"]
    assert reservation["specificReservationRequired"]["type"] == "boolean"
    assert schema("compute.v1", "AllocationSpecificSKUReservation")["count"]["format"] == "int64"
    assert "machineType" in schema("compute.v1", "AllocationSpecificSKUAllocationReservedInstanceProperties")
    assert {"metric", "limit", "usage"} <= set(schema("compute.v1", "Quota"))
    assert "PREEMPTIBLE_NVIDIA_H100_GPUS" in schema("compute.v1", "Quota")["metric"]["enum"]
    assert "permissions" in schema("cloudresourcemanager.v3", "TestIamPermissionsResponse")
    assert schema("cloudresourcemanager.v3", "Project")["name"]["type"] == "string"
