"""`make check STACK=...`: what an `up` of a cloud environment will need, looked at beforehand. Read-only.

Settings and tools are checked on any machine. With Google credentials it also asks Google: is the project the one that
the file names, may you do what `up` does, which APIs are on, are the reservations there and ready, what quota is left.
What cannot be asked is said to be 'not run', never passed over.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import yaml

from config.google.capacity import CalendarMode, Reservation
from config.google.infra import GoogleInfra
from config.google.node_pools import GpuNodePool
from config.google.regions import Region
from config.issues import ConfigError
from config.stack import check
from paths import CHECKOUT

PERMISSIONS = (
    "artifactregistry.repositories.create",
    "compute.networks.create",
    "compute.subnetworks.create",
    "container.clusters.create",
    "container.clusters.connect",
    "dns.managedZones.create",
    "gkehub.features.create",
    "iam.serviceAccounts.create",
    "redis.instances.create",
    "resourcemanager.projects.setIamPolicy",
    "serviceusage.services.enable",
    "storage.buckets.create",
)
"""One permission for each kind of thing that `up` makes; holding it means holding the role behind it."""
COMPUTE = "https://compute.googleapis.com/compute/v1"
PROJECTS = "https://cloudresourcemanager.googleapis.com/v3"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `holds` None: could not be looked at, and `seen` says why."""

    claim: str
    seen: str
    holds: bool | None


def findings(stack: str, google: httpx2.Client | None) -> Iterator[Finding]:
    """Everything that can be known before an `up` of `stack`. `google` None: no credentials."""
    config = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"]
    try:
        checked = check(stack, {name: config.get(f"rayllm:{name}") for name in ("infra", "serving")})
    except ConfigError as refused:
        yield from (Finding("settings", sentence, False) for sentence in refused.sentences)
        return
    yield Finding("settings", "nothing in the file is refused", True)
    if not isinstance(checked.infra, GoogleInfra):
        yield Finding("cloud", f"stack {stack} runs on a computer; `make preview` looks at that", None)
        return
    yield from (Finding("settings", warning, None) for warning in checked.infra.warnings())
    for tool, why in {"gcloud": "credentials", "gke-gcloud-auth-plugin": "the kubeconfig's exec plugin"}.items():
        found = shutil.which(tool)
        yield Finding(
            f"tool {tool}", found or f"is not on PATH; {why} needs it: install the Google Cloud CLI", bool(found)
        )
    if google is None:
        yield Finding("Google", "not run: no credentials (`gcloud auth application-default login`)", None)
        return
    yield from _asked(checked.infra, google)


def _asked(infra: GoogleInfra, google: httpx2.Client) -> Iterator[Finding]:
    project = infra.project.id
    reply = google.get(f"{PROJECTS}/projects/{project}")
    if reply.status_code != 200:
        yield Finding("project", f"{project}: {_message(reply)}", False)
        return
    number = reply.json()["name"].removeprefix("projects/")
    same = number == str(infra.project.number)
    yield Finding(
        "project", f"{project} has number {number}" + ("" if same else f", the file says {infra.project.number}"), same
    )
    held = google.post(f"{PROJECTS}/projects/{project}:testIamPermissions", json={"permissions": list(PERMISSIONS)})
    missing = sorted(set(PERMISSIONS) - set(held.json().get("permissions", [])))
    seen = (
        f"missing {', '.join(missing)}: ask for the roles that hold them" if missing else f"all {len(PERMISSIONS)} held"
    )
    yield Finding("permissions", seen, not missing)
    for region in infra.regions:
        yield _quota(project, region, google)
        for pool in region.node_pools:
            if isinstance(pool.capacity, Reservation | CalendarMode):
                yield from (_reservation(project, pool, pool.capacity, zone, google) for zone in pool.zones)


def _reservation(
    project: str, pool: GpuNodePool, wanted: Reservation | CalendarMode, zone: str, google: httpx2.Client
) -> Finding:
    owner = wanted.project or project
    claim = f"reservation {wanted.name} in {zone}"
    reply = google.get(f"{COMPUTE}/projects/{owner}/zones/{zone}/reservations/{wanted.name}")
    if reply.status_code != 200:
        return Finding(claim, _message(reply), False)
    found = reply.json()
    specific = found.get("specificReservation", {})
    machine = specific.get("instanceProperties", {}).get("machineType", "?")
    count = int(specific.get("count", 0))
    wrong = [
        words
        for words, bad in {
            f"its state is {found.get('status')}": found.get("status") != "READY",
            f"it holds {machine}, the pool asks for {pool.machine_type}": machine != pool.machine_type,
            f"it holds {count} VMs, the pool asks for {wanted.count}": count < wanted.count,
            "it is not specific (specificReservationRequired)": not found.get("specificReservationRequired"),
        }.items()
        if bad
    ]
    return Finding(claim, "; ".join(wrong) or f"{count} x {machine}, ready", not wrong)


def _quota(project: str, region: Region, google: httpx2.Client) -> Finding:
    """Compute's own regional quotas; those of newer GPU families are in Cloud Quotas and are not asked here."""
    claim = f"quota in {region.name}"
    reply = google.get(f"{COMPUTE}/projects/{project}/regions/{region.name}")
    if reply.status_code != 200:
        return Finding(claim, _message(reply), False)
    gpus = {pool.machine.accelerator.name.upper().replace("-", "_") for pool in region.node_pools}
    rows = [q for q in reply.json().get("quotas", []) if any(gpu in q["metric"] for gpu in gpus)]
    if not rows:
        return Finding(claim, f"Compute lists none for {', '.join(sorted(gpus))}: look at IAM & Admin > Quotas", None)
    seen = ", ".join(f"{q['metric']} {q['usage']:.0f} of {q['limit']:.0f}" for q in rows)
    return Finding(claim, seen, any(q["limit"] > q["usage"] for q in rows))


def _message(reply: httpx2.Response) -> str:
    try:
        return f"{reply.status_code}: {reply.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"answered {reply.status_code}"


def _client() -> httpx2.Client | None:
    token: Any = os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN")
    if not token and shutil.which("gcloud"):
        ask = ["gcloud", "auth", "application-default", "print-access-token"]
        token = subprocess.run(ask, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.strip()
    return httpx2.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30) if token else None


def main() -> int:
    seen = list(findings(sys.argv[1], _client()))
    width = max(len(finding.claim) for finding in seen)
    for finding in seen:
        verdict = {True: "ok ", False: "NO ", None: "-- "}[finding.holds]
        print(f"  {verdict} {finding.claim:{width}}  {finding.seen}")
    return 1 if any(finding.holds is False for finding in seen) else 0


if __name__ == "__main__":
    sys.exit(main())
