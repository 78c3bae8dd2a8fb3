"""What each environment, and each alternative that its settings offer, is made of under the real engine.

The stand-in answers no data source and makes nothing whose API, network, account or cluster is not there yet, so an
`up` that ends well also proves that nothing is asked for and that everything comes in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from rehearsal.google.cloud import Cloud
from tests.engine.google_stacks import alone, changes, stack, unexplained, write
from tests.golden.inventory import Inventory, Scenario, differences, inventory, scenarios
from tests.harness.pulumi_project import Engine, Result
from tests.unit.case import edited

TOKENS = {
    "rayllm:infra:Fleet",
    "rayllm:infra:GatewayFrontend",
    "rayllm:infra:GkeCluster",
    "rayllm:infra:ImageRegistry",
    "rayllm:infra:KmsKeyGrants",
    "rayllm:infra:ModelBucket",
    "rayllm:infra:Network",
    "rayllm:infra:NodeServiceAccount",
    "rayllm:infra:NodePools",
    "rayllm:infra:ProjectServices",
    "rayllm:infra:MemorystoreInstance",
    "rayllm:infra:SharedVpcGrants",
}
"""Parts of every URN: another spelling replaces all that is below."""


@dataclass(frozen=True)
class Made:
    """A scenario that was previewed and made."""

    scenario: Scenario
    engine: Engine
    cloud: Cloud
    preview: Result
    up: Result
    state: Mapping[str, Any]

    @property
    def inventory(self) -> Inventory:
        return inventory(self.state)


SCENARIOS = {scenario.name: scenario for scenario in scenarios()}
Make = Callable[[str], Made]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a scenario once for all tests of this module."""
    done: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in done:
            scenario = SCENARIOS[name]
            engine, cloud = stack(tmp_path_factory.mktemp(name), scenario.stack, scenario.edit)
            for token, inputs in scenario.exist:
                cloud.seed(token, dict(inputs), alone(scenario.stack)["infra"]["project"]["id"])
            preview = engine.preview().ok()
            up = engine.up().ok()
            done[name] = Made(scenario, engine, cloud, preview, up, engine.export())
        return done[name]

    return make


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_stack_is_made_of_what_its_specification_says(made: Make, name: str) -> None:
    assert differences(made(name).scenario, made(name).inventory) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_preview_shows_exactly_what_up_then_makes(made: Make, name: str) -> None:
    urns = [{step.urn for step in result.steps} for result in (made(name).preview, made(name).up)]
    assert urns[0] == urns[1]
    assert set(made(name).up.counts) == {"create"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_resource_is_made_by_the_one_provider_in_its_project(made: Make, name: str) -> None:
    resources = made(name).state["deployment"]["resources"]
    providers = [r for r in resources if r["type"] == "pulumi:providers:gcp"]
    assert [p["urn"].split("::")[-1] for p in providers] == ["google"]
    (provider,) = providers
    google = [r for r in resources if r["type"].startswith("gcp:")]
    assert {r["provider"].rpartition("::")[0] for r in google} == {provider["urn"]}


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_input_has_a_key_that_the_sdk_did_not_translate(made: Make, name: str) -> None:
    assert [key for key in _keys(made(name).inventory.inputs) if re.search(r"[a-z]_[a-z]", key)] == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_input_is_null(made: Make, name: str) -> None:
    assert [at for at, inputs in made(name).inventory.inputs.items() if _has_null(inputs)] == []


def test_the_types_of_components_stay_what_they_are(made: Make) -> None:
    steps = [step for name in SCENARIOS for step in made(name).up.steps]
    assert {step.type for step in steps if step.type.startswith("rayllm:")} == TOKENS


def test_everything_that_can_carry_labels_says_environment_owner_and_version(made: Make) -> None:
    expected = {"environment": "prod", "owner": "change-me", "stack-version": "0_1_0"}
    shown = made("prod").engine.run("stack", "export", "--show-secrets", "--stack", "prod").ok()
    labels = {
        resource["urn"].split("::")[-1]: json.loads(resource["outputs"]["pulumiLabels"]["plaintext"])
        for resource in json.loads(shown.text)["deployment"]["resources"]
        if "pulumiLabels" in resource.get("outputs", {})
    }
    assert len(labels) >= 10
    assert {name: found for name, found in labels.items() if not expected.items() <= found.items()} == {}


def test_a_further_preview_has_no_changes_whoever_runs_it(made: Make) -> None:
    engine = made("prod").engine
    engine.environment |= {"GOOGLE_PROJECT": "another", "GOOGLE_REGION": "asia-east1", "CLOUDSDK_COMPUTE_ZONE": "b"}
    assert engine.preview().ok().changed() == {}


def test_what_is_protected_is_not_replaced(made: Make) -> None:
    engine = made("prod").engine
    write(engine, edited(alone("prod"), {"infra.model_bucket.location": "EU"}))
    refused = engine.preview()
    write(engine, alone("prod"))
    assert refused.status != 0
    assert "marked for protection" in refused.text


def test_destroy_refuses_what_is_protected_before_it_touches_anything(made: Make) -> None:
    prod = made("prod")
    there = prod.cloud.ids()
    refused = prod.engine.destroy()
    assert refused.status != 0
    assert "protected" in refused.text
    assert prod.cloud.ids() == there
    assert [line for line in prod.cloud.made() if not line.startswith("create")] == []


def test_the_password_of_redis_is_encrypted_in_the_state(made: Make) -> None:
    resources = made("prod").state["deployment"]["resources"]
    passwords = [r["outputs"]["authString"] for r in resources if r["type"] == "gcp:redis/instance:Instance"]
    assert len(passwords) == 2
    assert all("ciphertext" in password for password in passwords)


def test_a_second_region_replaces_nothing_of_the_first(made: Make) -> None:
    engine = made("dev").engine
    second = alone("dev")["infra"]["regions"][0] | {"name": "us-east4", "ip_plan_index": 1}
    second["node_pools"] = [second["node_pools"][0] | {"zones": ["us-east4-a"]}]
    write(engine, edited(alone("dev"), {"infra.regions.1": second}))
    found = changes(engine.preview().ok())
    write(engine, alone("dev"))
    does = {
        "* dev-us-east4-*": "create",
        "projects.*": "create",
        "gkehub.Feature *": "create",
        "container.Cluster dev-us-central1-serving": "update",  # joins the fleet
        "compute.Firewall *": "update",
        "compute.Subnetwork dev-us-central1-global-proxies": "create",
        "compute.Subnetwork dev-us-central1-regional-proxies": "delete",
    }
    assert unexplained(found, does) == []


def test_what_is_not_protected_goes_without_a_trace(made: Make) -> None:
    dev = made("dev")
    dev.engine.destroy().ok()
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
