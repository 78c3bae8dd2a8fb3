"""Each environment, and each alternative that the settings offer, creates the expected resources under the real engine.

The stand-in answers no data source, and refuses to create a resource whose API, network, account or cluster does not
exist yet. So an `up` that succeeds also proves that the program uses no data source and that the order is right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from rehearsal.google.cloud import StandInCloud
from tests.engine.google_stacks import (
    google_changes,
    google_settings,
    rehearsal_project,
    unexpected_changes,
    write_settings,
)
from tests.golden.inventory import Inventory, Scenario, differences, inventory, scenarios
from tests.harness.pulumi_project import CommandResult, PulumiProject
from tests.unit.case import edited
from tests.unit.test_frozen_names import COMPONENT_TYPES


@dataclass(frozen=True)
class CreatedStack:
    """A scenario after its preview and its `up`."""

    scenario: Scenario
    project: PulumiProject
    cloud: StandInCloud
    preview: CommandResult
    up: CommandResult
    state: Mapping[str, Any]

    @property
    def inventory(self) -> Inventory:
        return inventory(self.state)


SCENARIOS = {scenario.name: scenario for scenario in scenarios()}
Create = Callable[[str], CreatedStack]


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Create:
    """Creates the stack of a scenario, once for all tests of this module."""
    done: dict[str, CreatedStack] = {}

    def create(name: str) -> CreatedStack:
        if name not in done:
            scenario = SCENARIOS[name]
            project, cloud = rehearsal_project(tmp_path_factory.mktemp(name), scenario.stack, scenario.edit)
            for token, inputs in scenario.exist:
                cloud.seed(token, dict(inputs), google_settings(scenario.stack)["infra"]["project"]["id"])
            preview = project.preview().ok()
            up = project.up().ok()
            done[name] = CreatedStack(scenario, project, cloud, preview, up, project.export())
        return done[name]

    return create


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_stack_has_the_resources_of_its_scenario(created: Create, name: str) -> None:
    assert differences(created(name).scenario, created(name).inventory) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_preview_shows_exactly_what_up_creates(created: Create, name: str) -> None:
    urns = [{step.urn for step in result.steps} for result in (created(name).preview, created(name).up)]
    assert urns[0] == urns[1]
    assert set(created(name).up.counts) == {"create"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_resource_uses_the_one_explicit_provider(created: Create, name: str) -> None:
    resources = created(name).state["deployment"]["resources"]
    providers = [r for r in resources if r["type"] == "pulumi:providers:gcp"]
    assert [p["urn"].split("::")[-1] for p in providers] == ["google"]
    (provider,) = providers
    google = [r for r in resources if r["type"].startswith("gcp:")]
    assert {r["provider"].rpartition("::")[0] for r in google} == {provider["urn"]}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_sdk_translates_every_key_to_camel_case(created: Create, name: str) -> None:
    assert [key for key in _keys(created(name).inventory.inputs) if re.search(r"[a-z]_[a-z]", key)] == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_input_is_null(created: Create, name: str) -> None:
    assert [at for at, inputs in created(name).inventory.inputs.items() if _has_null(inputs)] == []


def test_the_type_tokens_of_components_are_unchanged(created: Create) -> None:
    steps = [step for name in SCENARIOS for step in created(name).up.steps]
    assert {step.type for step in steps if step.type.startswith("rayllm:")} == COMPONENT_TYPES


def test_every_resource_with_labels_has_environment_owner_and_version(created: Create) -> None:
    expected = {"environment": "prod", "owner": "change-me", "stack-version": "0_1_0"}
    shown = created("prod").project.run("stack", "export", "--show-secrets", "--stack", "prod").ok()
    labels = {
        resource["urn"].split("::")[-1]: json.loads(resource["outputs"]["pulumiLabels"]["plaintext"])
        for resource in json.loads(shown.text)["deployment"]["resources"]
        if "pulumiLabels" in resource.get("outputs", {})
    }
    assert len(labels) >= 10
    assert {name: found for name, found in labels.items() if not expected.items() <= found.items()} == {}


def test_a_second_preview_has_no_changes_with_other_google_variables(created: Create) -> None:
    project = created("prod").project
    project.env |= {"GOOGLE_PROJECT": "another", "GOOGLE_REGION": "asia-east1", "CLOUDSDK_COMPUTE_ZONE": "b"}
    assert project.preview().ok().changes() == {}


def test_a_protected_resource_is_not_replaced(created: Create) -> None:
    project = created("prod").project
    write_settings(project, edited(google_settings("prod"), {"infra.model_bucket.location": "EU"}))
    refused = project.preview()
    write_settings(project, google_settings("prod"))
    assert refused.status != 0
    assert "marked for protection" in refused.text


def test_destroy_of_protected_resources_fails_before_it_deletes_anything(created: Create) -> None:
    prod = created("prod")
    ids = prod.cloud.ids()
    refused = prod.project.destroy()
    assert refused.status != 0
    assert "protected" in refused.text
    assert prod.cloud.ids() == ids
    assert [line for line in prod.cloud.operations() if not line.startswith("create")] == []


def test_the_redis_password_is_encrypted_in_the_state(created: Create) -> None:
    resources = created("prod").state["deployment"]["resources"]
    passwords = [r["outputs"]["authString"] for r in resources if r["type"] == "gcp:redis/instance:Instance"]
    assert len(passwords) == 2
    assert all("ciphertext" in password for password in passwords)


def test_adding_a_region_replaces_no_resource_of_the_first(created: Create) -> None:
    project = created("dev").project
    second = google_settings("dev")["infra"]["regions"][0] | {"name": "us-east4", "ip_plan_index": 1}
    second["node_pools"] = [second["node_pools"][0] | {"zones": ["us-east4-a"]}]
    write_settings(project, edited(google_settings("dev"), {"infra.regions.1": second}))
    found = google_changes(project.preview().ok())
    write_settings(project, google_settings("dev"))
    expected = {
        "* dev-us-east4-*": "create",
        "projects.*": "create",
        "gkehub.Feature *": "create",
        "container.Cluster dev-us-central1-serving": "update",  # joins the fleet
        "compute.Firewall *": "update",
        "compute.Subnetwork dev-us-central1-global-proxies": "create",
        "compute.Subnetwork dev-us-central1-regional-proxies": "delete",
    }
    assert unexpected_changes(found, expected) == []


def test_destroy_of_an_unprotected_stack_deletes_every_resource(created: Create) -> None:
    dev = created("dev")
    dev.project.destroy().ok()
    assert dev.cloud.ids() == []


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_null(inner) for inner in value.values())
    return any(map(_has_null, value)) if isinstance(value, list) else value is None
