"""What Google checks when something is made, changed or deleted, as far as the stand-in does it too.

`rows` are everything that exists (rehearsal.google.cloud). Each function returns the text of the error, or None.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from rehearsal.google import resource_types
from rehearsal.google.resource_types import Token
from rehearsal.plugin_values import UNKNOWN, at, bare

Row = dict[str, Any]
SERVICE = "gcp:projects/service:Service"
DEFAULT_APIS = {"storage", "monitoring", "logging", "serviceusage"}
"""Enabled in a new project (cloud.google.com/service-usage/docs/enabled-service)."""


def not_enabled(token: Token, project: str, rows: Collection[Row], by_others: Collection[str]) -> str | None:
    """The API must be enabled, by a projects.Service or `by_others`. Text: hashicorp/terraform-provider-google#2971"""
    services = [bare(r["inputs"])["service"] for r in rows if r["token"] == SERVICE and r["project"] == project]
    enabled = DEFAULT_APIS | {service.split(".")[0] for service in services} | set(by_others)
    if not token.needs or enabled & {token.needs, "*"}:
        return None
    api = f"{token.needs}.googleapis.com"
    return (
        f"googleapi: Error 403: {api} has not been used in project {project} before or it is disabled. Enable it by "
        f"visiting https://console.developers.google.com/apis/api/{api}/overview?project={project} then retry., "
        "accessNotConfigured"
    )


def not_found(token: Token, inputs: Mapping[str, Any], ours: Collection[str], rows: Collection[Row]) -> str | None:
    """What the inputs refer to must exist, unless it is of another project; `ours` are our project's id and number."""
    for path, kind in {**token.parent, **token.refers}.items():
        for value in at(inputs, path):
            named = re.search(r"projects/([^/]+)/", str(value))
            known = value == UNKNOWN or (named and named.group(1) not in ours)
            if not known and not any(means(value, kind, row) for row in rows):
                return f"googleapi: Error 404: The resource '{value}' was not found ({token.title}.{path}), notFound"
    return None


def no_such_member(member: str, project: str, rows: Collection[Row]) -> str | None:
    """Our own accounts and Google's agents exist before they are granted something; the pool of Workload Identity
    appears with the project's first cluster that has it."""
    outputs = [bare(row["outputs"]) for row in rows]
    address = member.removeprefix("serviceAccount:")
    domain = f"@{address.partition('@')[2]}"
    checked = domain == f"@{project}.iam.gserviceaccount.com" or domain.startswith("@gcp-sa-")
    same = domain if domain.startswith("@gcp-sa-") else address  # an agent's number is the project's, wherever from
    if checked and not any(str(out.get("email", "")).endswith(same) for out in outputs):
        return f"googleapi: Error 400: Service account {address} does not exist., badRequest"
    pool = f"{project}.svc.id.goog"
    if pool in member and not any(pool in at(out, "workloadIdentityConfig.workloadPool") for out in outputs):
        return (
            f"googleapi: Error 400: Identity Pool does not exist ({pool}). Please check that you specified a valid "
            "resource name as returned in the `name` attribute in the configuration API., badRequest"
        )
    return None


def in_use(row: Row, inputs: Mapping[str, Any], rows: Collection[Row]) -> str | None:
    """What others refer to stays, and so does a bucket that holds `objects`."""
    users = [other["id"] for other in rows if _names(other, "refers", row)]
    title = row["title"]
    if users:
        return (
            f"googleapi: Error 400: The {title} resource '{row['id']}' is already being used by '{users[0]}', "
            "resourceInUseByAnotherResource"
        )
    if row["inputs"].get("objects") and not inputs.get("forceDestroy"):
        return f"Error trying to delete bucket {row['id']} without `force_destroy` set to true"
    return None


def parts(row: Row, rows: Collection[Row]) -> list[Row]:
    """What goes when `row` goes: the pools of a cluster, the versions of a secret, the grants on either."""
    return [other for other in rows if _names(other, "parent", row)]


def means(value: Any, kind: str, row: Row) -> bool:
    """Whether `value` (a name, a path or a self link) is this resource, of type `kind` or known under its names."""
    text, outputs = str(value), bare(row["outputs"])
    if "projects/" in text:
        path = text[text.index("projects/") :]
        return path in (*row["names"], outputs.get("name"))
    return row["token"].split(":")[1] == kind and text in (
        *row["names"],
        row["id"].split("/")[-1],
        outputs.get("email"),
    )


def _names(other: Row, column: str, row: Row) -> bool:
    named: Mapping[str, str] = getattr(resource_types.get(other["token"]), column)
    inputs = bare(other["inputs"])
    return any(means(value, kind, row) for path, kind in named.items() for value in at(inputs, path))
