"""Check references between resources as Google does on create, update and delete, as far as the stand-in covers them.

`rows` are all resources that exist (rehearsal.google.cloud). Each check returns the text of Google's error, or None.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from rehearsal.google import resource_types
from rehearsal.google.resource_types import ResourceType
from rehearsal.plugin_values import UNKNOWN, unwrap, values_at

Row = dict[str, Any]
PROJECT_SERVICE = "gcp:projects/service:Service"
PROJECT_GRANT = "gcp:projects/iAMMember:IAMMember"
USE_PROJECT = "roles/serviceusage.serviceUsageConsumer"
DEFAULT_APIS = {"storage", "monitoring", "logging", "serviceusage"}
"""APIs that are enabled in a new project (cloud.google.com/service-usage/docs/enabled-service)."""


def api_not_enabled(
    resource: ResourceType, project: str, rows: Collection[Row], enabled_by_others: Collection[str]
) -> str | None:
    """Check that the resource's API is enabled: by default, by a projects.Service, or in `enabled_by_others`.

    Text of the error: hashicorp/terraform-provider-google#2971
    """
    services = [
        unwrap(row["inputs"])["service"]
        for row in rows
        if row["token"] == PROJECT_SERVICE and row["project"] == project
    ]
    enabled = DEFAULT_APIS | {service.split(".")[0] for service in services} | set(enabled_by_others)
    if not resource.required_api or enabled & {resource.required_api, "*"}:
        return None
    api = f"{resource.required_api}.googleapis.com"
    return (
        f"googleapi: Error 403: {api} has not been used in project {project} before or it is disabled. Enable it by "
        f"visiting https://console.developers.google.com/apis/api/{api}/overview?project={project} then retry., "
        "accessNotConfigured"
    )


def missing_reference(
    resource: ResourceType, inputs: Mapping[str, Any], own_project: Collection[str], rows: Collection[Row]
) -> str | None:
    """Check that every resource that the inputs name exists. `own_project` is the project's id and number.

    Resources of other projects are unknown to the stand-in and pass.
    """
    for path, module in {**resource.parent, **resource.references}.items():
        for value in values_at(inputs, path):
            project = re.search(r"projects/([^/]+)/", str(value))
            unchecked = value == UNKNOWN or (project and project.group(1) not in own_project)
            if not unchecked and not any(is_reference_to(value, module, row) for row in rows):
                return f"googleapi: Error 404: The resource '{value}' was not found ({resource.name}.{path}), notFound"
    return None


def missing_member(member: str, project: str, rows: Collection[Row]) -> str | None:
    """Check that the member of an IAM grant exists: the project's service accounts, Google's service agents, and the
    pool of Workload Identity, which Google creates with the project's first cluster that has one."""
    outputs = [unwrap(row["outputs"]) for row in rows]
    address = member.removeprefix("serviceAccount:")
    domain = f"@{address.partition('@')[2]}"
    checked = domain == f"@{project}.iam.gserviceaccount.com" or domain.startswith("@gcp-sa-")
    # A service agent's address begins with a project number; the agent of any project is accepted.
    suffix = domain if domain.startswith("@gcp-sa-") else address
    if checked and not any(str(out.get("email", "")).endswith(suffix) for out in outputs):
        return f"googleapi: Error 400: Service account {address} does not exist., badRequest"
    pool = f"{project}.svc.id.goog"
    if pool in member and not any(pool in values_at(out, "workloadIdentityConfig.workloadPool") for out in outputs):
        return (
            f"googleapi: Error 400: Identity Pool does not exist ({pool}). Please check that you specified a valid "
            "resource name as returned in the `name` attribute in the configuration API., badRequest"
        )
    return None


def image_streaming_denied(resource: ResourceType, inputs: Mapping[str, Any], rows: Collection[Row]) -> str | None:
    """Check that the service account of a node pool with image streaming may use the project (GKE, Use Image streaming,
    requirements). GKE creates the pool without this right, and its nodes then pull whole images with this error."""
    node_config = inputs.get("nodeConfig") or {}
    if resource.name != "NodePool" or not (node_config.get("gcfsConfig") or {}).get("enabled"):
        return None
    member = f"serviceAccount:{node_config.get('serviceAccount')}"
    grants = [unwrap(row["inputs"]) for row in rows if row["token"] == PROJECT_GRANT]
    granted = [grant for grant in grants if grant.get("role") == USE_PROJECT and grant.get("member") == member]
    if granted:
        return None
    return (
        f"googleapi: Error 403: {node_config.get('serviceAccount')} does not have required permission to use project. "
        f"Grant the caller the {USE_PROJECT} role, forbidden"
    )


def in_use(row: Row, inputs: Mapping[str, Any], rows: Collection[Row]) -> str | None:
    """Check that no other resource references `row`, and that `row` is no bucket that holds `objects`."""
    users = [other["id"] for other in rows if _refers_to(other, "references", row)]
    if users:
        return (
            f"googleapi: Error 400: The {row['type']} resource '{row['id']}' is already being used by '{users[0]}', "
            "resourceInUseByAnotherResource"
        )
    if row["inputs"].get("objects") and not inputs.get("forceDestroy"):
        return f"Error trying to delete bucket {row['id']} without `force_destroy` set to true"
    return None


def children(row: Row, rows: Collection[Row]) -> list[Row]:
    """Return the resources that Google deletes together with `row`: a cluster's node pools, a secret's versions, and
    the grants on either."""
    return [other for other in rows if _refers_to(other, "parent", row)]


def is_reference_to(value: Any, module: str, row: Row) -> bool:
    """Return True if `value` (a name, a path or a self link) names `row`; a bare name must be of type `module`."""
    text, outputs = str(value), unwrap(row["outputs"])
    if "projects/" in text:
        path = text[text.index("projects/") :]
        return path in (*row["names"], outputs.get("name"))
    names = (*row["names"], row["id"].split("/")[-1], outputs.get("email"))
    return row["token"].split(":")[1] == module and text in names


def _refers_to(other: Row, column: str, row: Row) -> bool:
    modules: Mapping[str, str] = getattr(resource_types.resource_type(other["token"]), column)
    inputs = unwrap(other["inputs"])
    return any(
        is_reference_to(value, module, row) for path, module in modules.items() for value in values_at(inputs, path)
    )
