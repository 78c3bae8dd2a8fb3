"""Check what `up` of a cloud stack needs, before it runs (`make preflight STACK=...`). Read-only.

    python -m tools.preflight STACK

Any machine can check settings and tools. With Google credentials it also checks the project's number, your permissions,
the reservations and the quota. A check that cannot run is reported as "not run".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2

from config import region_plan, stack_file, weights_checks
from config.google.capacity import CalendarMode, Reservation
from config.google.infra import GoogleInfra
from config.google.model_bucket import ExistingBucket
from config.google.node_pools import GpuNodePool
from config.google.warnings import find_warnings
from config.issues import ConfigError
from config.stack import check
from paths import CHECKOUT
from tools import engine_preflight, model_estimate, quota_preflight
from verify.check_result import CheckResult, Status, format_results, result

PERMISSIONS = (
    "artifactregistry.repositories.create",
    "compute.networks.create",
    "compute.subnetworks.create",
    "container.clusters.create",
    "container.clusters.connect",
    "dns.managedZones.create",
    "gkehub.features.create",
    "iam.serviceAccounts.actAs",
    "iam.serviceAccounts.create",
    "redis.instances.create",
    "resourcemanager.projects.setIamPolicy",
    "serviceusage.services.enable",
    "storage.buckets.create",
)
"""One permission for each type of resource that `up` creates. Each stands for the role that contains it."""
COMPUTE_API = "https://compute.googleapis.com/compute/v1"
STORAGE_API = "https://storage.googleapis.com/storage/v1"
RESOURCE_MANAGER_API = "https://cloudresourcemanager.googleapis.com/v3"


def check_results(
    stack: str,
    google: httpx2.Client | None,
    hub: httpx2.Client | None = None,
    ask: engine_preflight.Ask = engine_preflight.ask_vllm,
) -> Iterator[CheckResult]:
    """Yield the result of every check for `up` of `stack`.

    `google` is None without credentials. `hub` asks Hugging Face for the size of models that are not known. `ask` asks
    vLLM about engine arguments that depend on each other.
    """
    try:
        found = stack_file.read(CHECKOUT / f"Pulumi.{stack}.yaml")
        checked = check(stack, found.blocks, has_hugging_face_token=found.has_hugging_face_token)
    except ConfigError as error:
        yield from (CheckResult("settings", sentence, Status.FAILED) for sentence in error.sentences)
        return
    yield CheckResult("settings", "valid", Status.OK)
    yield from engine_preflight.check_results(checked.serving, gpu=isinstance(checked.infra, GoogleInfra), ask=ask)
    if not isinstance(checked.infra, GoogleInfra):
        yield CheckResult("Google", f"stack {stack} runs on this computer; `make preview` checks it", Status.NOT_RUN)
        return
    warnings = list(find_warnings(checked.infra))
    if checked.serving is not None:
        warnings += weights_checks.find_warnings(checked.infra, checked.serving, checked.region_plans)
        warnings += region_plan.find_warnings(checked.region_plans)
    yield from (CheckResult("settings", warning, Status.WARNING) for warning in warnings)
    if checked.serving is not None:
        yield from model_estimate.results(checked, hub)
    for tool, purpose in {"gcloud": "credentials", "gke-gcloud-auth-plugin": "the kubeconfig"}.items():
        found = shutil.which(tool)
        missing = f"not on PATH, and {purpose} needs it. Install the Google Cloud CLI"
        yield result(f"tool {tool}", found or missing, bool(found))
    if google is None:
        yield CheckResult("Google", "no credentials. Run `gcloud auth application-default login`", Status.NOT_RUN)
        return
    yield from _google(checked.infra, google)


def _google(infra: GoogleInfra, google: httpx2.Client) -> Iterator[CheckResult]:
    project = infra.project.id
    reply = google.get(f"{RESOURCE_MANAGER_API}/projects/{project}")
    if reply.status_code != 200:
        yield CheckResult("project", f"{project}: {_message(reply)}", Status.FAILED)
        return
    number = reply.json()["name"].removeprefix("projects/")
    same = number == str(infra.project.number)
    difference = "" if same else f", but the file has {infra.project.number}"
    yield result("project", f"{project} has number {number}{difference}", same)
    yield _permissions(project, google)
    if isinstance(infra.model_bucket, ExistingBucket):
        yield _bucket(infra.model_bucket.name, google)
    for region in infra.regions:
        yield from quota_preflight.check_results(project, region, google)
        for pool in region.node_pools:
            if isinstance(pool.capacity, Reservation | CalendarMode):
                yield from (_reservation(project, pool, pool.capacity, zone, google) for zone in pool.zones)


def _permissions(project: str, google: httpx2.Client) -> CheckResult:
    url = f"{RESOURCE_MANAGER_API}/projects/{project}:testIamPermissions"
    granted = google.post(url, json={"permissions": list(PERMISSIONS)}).json().get("permissions", [])
    if missing := sorted(set(PERMISSIONS) - set(granted)):
        return result("permissions", f"missing: {', '.join(missing)}. Request roles that contain them", False)
    return result("permissions", f"all {len(PERMISSIONS)} granted", True)


def _bucket(bucket: str, google: httpx2.Client) -> CheckResult:
    """Check that nobody can make the weights public: `up` takes an existing bucket as it is."""
    name = f"bucket {bucket}"
    reply = google.get(f"{STORAGE_API}/b/{bucket}", params={"fields": "iamConfiguration"})
    if reply.status_code != 200:
        return CheckResult(name, _message(reply), Status.FAILED)
    found = reply.json().get("iamConfiguration", {}).get("publicAccessPrevention")
    fix = f"its publicAccessPrevention is {found}. Run `gcloud storage buckets update gs://{bucket} --pap`"
    return result(name, "publicAccessPrevention is enforced" if found == "enforced" else fix, found == "enforced")


def _reservation(
    project: str, pool: GpuNodePool, wanted: Reservation | CalendarMode, zone: str, google: httpx2.Client
) -> CheckResult:
    owner = wanted.project or project
    name = f"reservation {wanted.name} in {zone}"
    reply = google.get(f"{COMPUTE_API}/projects/{owner}/zones/{zone}/reservations/{wanted.name}")
    if reply.status_code != 200:
        return CheckResult(name, _message(reply), Status.FAILED)
    found = reply.json()
    specific = found.get("specificReservation", {})
    machine_type = specific.get("instanceProperties", {}).get("machineType", "?")
    count = int(specific.get("count", 0))
    problems = [
        problem
        for problem, is_present in {
            f"its status is {found.get('status')}": found.get("status") != "READY",
            f"it has {machine_type}, the pool needs {pool.machine_type}": machine_type != pool.machine_type,
            f"it has {count} VMs, the pool needs {wanted.count}": count < wanted.count,
            "it is not specific (specificReservationRequired)": not found.get("specificReservationRequired"),
        }.items()
        if is_present
    ]
    return result(name, "; ".join(problems) or f"{count} x {machine_type}, ready", not problems)


def _message(reply: httpx2.Response) -> str:
    try:
        return f"{reply.status_code}: {reply.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"status {reply.status_code}"


def _client() -> httpx2.Client | None:
    """Return a client with the user's access token; None without credentials."""
    token: Any = os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN")
    if not token and shutil.which("gcloud"):
        command = ["gcloud", "auth", "application-default", "print-access-token"]
        token = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.strip()
    return httpx2.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30) if token else None


def main() -> int:
    """Print the results. Return 1 if a check failed."""
    results = list(check_results(sys.argv[1], _client(), httpx2.Client(timeout=10)))
    print("\n".join(format_results(results)))
    return int(any(each.status is Status.FAILED for each in results))


if __name__ == "__main__":
    sys.exit(main())
