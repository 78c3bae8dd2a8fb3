"""Each policy accepts the resources of this program, and alone reports the edits that violate it."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockMonitor

from config.google import pricing
from config.google.machine_types import GPU_MACHINE_TYPES, CapacityKind
from config.stack import check
from infra.google.provision import provision
from paths import CHECKOUT
from policies import models
from policies.base import PROTECT, Resource
from policies.inputs import HEAD_POD, UNKNOWN, containers, display, each, plain, pods
from policies.pack import POLICIES, STACK_POLICIES
from policies.reliability import HAPROXY_SERVER_TIMEOUT
from policies.resource_types import (
    CLUSTER,
    FIREWALL,
    NODE_POOL,
    RAY_SERVICE,
)
from tests.golden.inventory import scenarios
from tests.unit.case import blocks, edited
from tests.unit.policy_cases import (
    ABSENT,
    CONTROL_PLANE_IP_ENDPOINT,
    HAND_MADE,
    HEAD,
    MISSING,
    NODE,
    NOT_ALLOWED,
    POD,
    PROJECT_GRANTS,
    SERVE_CONFIG,
    VIOLATIONS,
    WORKER,
    serve_config,
)
from tests.unit.test_google_provision import Cloud
from tests.unit.test_google_settings import PUBLIC
from workloads.kubernetes.deploy import deploy

UNGATED = {"serving.model.gated": False}
"""A model that needs no token: the stacks of this repository have none yet."""
STACKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "prod": ("prod", {}),
    "staging": ("staging", {}),
    "dev": ("dev", {}),
    "public": ("prod", {"infra.gateway": PUBLIC}),
}
"""Name -> the stack file that it starts from, and the settings that differ."""
PROBLEM_AND_FIX = re.compile(r".+\. (Add|Bind|Create|Declare|Export|Grant|Reduce|Remove|Set|Use) .+\.")
"""Message of a violation: the problem, then the fix as an instruction."""


class Google(Cloud):
    """Mocks that also assign the DNS record of a DNS authorization, which this program reads."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        name, outputs = super().new_resource(args)
        proof = {"dnsResourceRecords": [{"name": "proof", "type": "CNAME", "data": "proof"}]}
        return name, {**outputs, **(proof if args.typ.endswith(":DnsAuthorization") else {})}


class Recorder(MockMonitor):
    """Records each resource that the program registers, as the policy pack receives it."""

    def __init__(self, mocks: pulumi.runtime.Mocks) -> None:
        super().__init__(mocks)
        self.recorded: list[Resource] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, the engine's own name
        if request.custom:
            inputs = {**rpc.deserialize_properties(request.object), PROTECT: request.protect}
            self.recorded.append(Resource(request.type, request.name, inputs, request.name, request.provider))
        return super().RegisterResource(request)


def record(stack: str, edit: Mapping[str, Any]) -> Sequence[Resource]:
    """Return all resources of a stack with edited settings, by type and name."""
    settings = check(stack, edited(blocks(stack), dict(edit)))
    recorder = Recorder(Google())
    pulumi.runtime.set_mocks(recorder.mocks, project="rayllm", stack=stack, preview=False, monitor=recorder)

    def program() -> None:
        platform = provision(settings.infra, stack)  # type: ignore[arg-type]
        if settings.serving is not None:
            deploy(settings.serving, platform, settings.region_plans, None)

    pulumi.runtime.test(program)()
    return sorted(recorder.recorded, key=lambda resource: (resource.type, resource.name))


@functools.cache
def resources_of(name: str) -> Sequence[Resource]:
    """Return the resources of an entry of STACKS, recorded once."""
    stack, edit = STACKS[name]
    return record(stack, {**UNGATED, **edit})


def violated(resources: Sequence[Resource], environment: str = "prod") -> set[str]:
    """Return the names of the violated policies that are not advisory."""
    return {name for name, _ in violations_of(resources, environment)} - {
        each.name for each in STACK_POLICIES if each.advisory
    }


def violations_of(resources: Sequence[Resource], environment: str = "prod") -> Iterator[tuple[str, str]]:
    """Yield (policy name, message) of each violation, with the settings in policies/<stack>.json."""
    settings = json.loads((CHECKOUT / "policies" / f"{environment}.json").read_text())
    for policy in POLICIES:
        for resource in resources:
            for message in policy.violations(resource.inputs) if resource.type in policy.types else ():
                assert PROBLEM_AND_FIX.fullmatch(message)
                yield policy.name, message
    for policy in STACK_POLICIES:
        checked = [resource for resource in resources if resource.type in policy.types]
        for message, resource in policy.violations(checked, settings.get(policy.name, {})):
            assert resource is None or resource in checked
            assert PROBLEM_AND_FIX.fullmatch(message)
            yield policy.name, message


def with_edits(resources: Sequence[Resource], token: str, *edits: tuple[str, Any]) -> list[Resource]:
    """Return the resources with other inputs in the last resource of a type; among node pools, in the last with GPUs.

    A path is a JSON pointer, with `~` for a slash in a key and `-` to append to a list.
    """
    (at,) = [
        i
        for i, resource in enumerate(resources)
        if resource.type == token and (token != NODE_POOL or "gpu" in str(resource.inputs))
    ][-1:]
    inputs = copy.deepcopy(dict(resources[at].inputs))
    for path, value in edits:
        *way, last = (step.replace("~", "/") for step in path.split("/"))
        inside: Any = inputs
        for step in way:
            inside = inside[int(step)] if isinstance(inside, list) else inside.setdefault(step, {})
        if value is ABSENT:
            del inside[last]
        elif last == "-":
            inside.append(value)
        else:
            inside[int(last) if isinstance(inside, list) else last] = value
    return [*resources[:at], replace(resources[at], inputs=inputs), *resources[at + 1 :]]


def with_hand_made(name: str) -> list[Resource]:
    """Return the resources of an entry of STACKS and those of HAND_MADE."""
    return [*resources_of(name), *(Resource(token, "by-hand", inputs) for token, inputs in HAND_MADE.items())]


def without(resources: Sequence[Resource], *names: str) -> list[Resource]:
    """Return the resources without those of the given names, all of which exist."""
    assert {each.name for each in resources} >= set(names)
    return [each for each in resources if each.name not in names]


@pytest.mark.parametrize("name", ["prod", "staging", "public"])
def test_no_policy_is_violated_by_this_program(name: str) -> None:
    assert violated(with_hand_made(name), STACKS[name][0]) == set()


def test_dev_violates_only_the_policies_that_keep_data() -> None:
    assert violated(resources_of("dev"), "dev") == {
        "stateful-deletion-protection",
        "stateful-pulumi-protect",
        "rayservice-gcs-fault-tolerance",
    }


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_no_policy_is_violated_by_the_golden_scenarios(scenario: Any) -> None:
    resources = record(scenario.stack, {"serving": None, **scenario.edit})
    advised = {
        "stateful-deletion-protection",
        "stateful-pulumi-protect",
        "redis-high-availability",
        "gpu-monthly-budget",
    }
    assert violated(resources, scenario.stack) - (advised if scenario.stack == "dev" else set()) == set()


@pytest.mark.parametrize(("name", "stack", "token", "path", "value"), VIOLATIONS)
def test_each_edit_violates_exactly_one_policy(name: str, stack: str, token: str, path: str, value: Any) -> None:
    assert violated(with_edits(with_hand_made(stack), token, (path, value)), STACKS[stack][0]) == {name}


@pytest.mark.parametrize("name", MISSING)
def test_each_missing_resource_violates_exactly_one_policy(name: str) -> None:
    stack, gone = MISSING[name]
    assert violated(without(resources_of(stack), *gone), STACKS[stack][0]) == {name}


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_resources_that_are_not_allowed(name: str) -> None:
    assert violated([*resources_of("prod"), NOT_ALLOWED[name]]) == {name}


def test_direct_streaming_without_haproxy() -> None:
    """HAProxy is off on the head and on the workers, so that their flags are equal."""
    (index,) = [
        i for i, variable in enumerate(head_env_vars("prod")) if variable["name"] == "RAY_SERVE_ENABLE_HA_PROXY"
    ]
    flags = tuple((f"{group}/env/{index}/value", "0") for group in (HEAD, WORKER))
    assert violated(with_edits(resources_of("prod"), RAY_SERVICE, *flags)) == {"raycluster-haproxy-streaming"}


def test_a_longer_timeout_of_haproxy_alone_violates_the_timeout_order() -> None:
    """The pods have a longer timeout, and the GCPBackendPolicy does not."""
    (index, *_) = [i for i, variable in enumerate(head_env_vars("prod")) if variable["name"] == HAPROXY_SERVER_TIMEOUT]
    timeouts = tuple((f"{group}/env/{index}/value", "4000") for group in (HEAD, WORKER))
    assert violated(with_edits(resources_of("prod"), RAY_SERVICE, *timeouts)) == {"backendpolicy-timeout-order"}


def head_env_vars(stack: str) -> list[dict[str, Any]]:
    """Return the environment variables of the head of the first RayService."""
    (service, *_) = [resource for resource in resources_of(stack) if resource.type == RAY_SERVICE]
    return service.inputs["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]


def test_compact_placement_excludes_two_zones_and_blue_green_upgrades() -> None:
    compact = ("placementPolicy", {"type": "COMPACT"})
    assert violated(with_edits(resources_of("prod"), NODE_POOL, compact)) == set()
    zones = ("nodeLocations", ["us-east4-a", "us-east4-b"])
    assert violated(with_edits(resources_of("prod"), NODE_POOL, compact, zones)) == {"nodepool-valid-capacity"}
    blue_green = ("upgradeSettings/strategy", "BLUE_GREEN")
    assert violated(with_edits(resources_of("prod"), NODE_POOL, compact, blue_green)) == {"nodepool-valid-capacity"}


def test_a_machine_type_with_gpus_needs_the_taint_without_guest_accelerators() -> None:
    edits = ((f"{NODE}/guestAccelerators", ABSENT), (f"{NODE}/taints", ABSENT))
    assert violated(with_edits(resources_of("prod"), NODE_POOL, *edits)) == {"nodepool-gpu-taint"}


def test_flex_start_excludes_a_fixed_size() -> None:
    edits = (("autoscaling", ABSENT), ("nodeCount", 0))
    assert violated(with_edits(resources_of("staging"), NODE_POOL, *edits), "staging") == {"nodepool-valid-capacity"}


def test_a_private_ip_endpoint_is_allowed() -> None:
    edits = ((CONTROL_PLANE_IP_ENDPOINT, True), ("privateClusterConfig/enablePrivateEndpoint", True))
    assert violated(with_edits(resources_of("prod"), CLUSTER, *edits)) == set()


def test_a_firewall_rule_that_denies_all_sources_is_allowed() -> None:
    edits = (("sourceRanges", ["0.0.0.0/0"]), ("denies", [{"protocol": "all"}]), ("allows", ABSENT))
    assert violated(with_edits(resources_of("prod"), FIREWALL, *edits)) == set()


def test_a_service_agent_may_have_a_broad_role() -> None:
    agent = "serviceAccount:service-1@gcp-sa-multiclusteringress.iam.gserviceaccount.com"
    edits = (("role", "roles/container.admin"), ("members", [agent]))
    assert violated(with_edits(with_hand_made("prod"), PROJECT_GRANTS, *edits)) == set()
    edits = (("role", "roles/container.admin"), ("members", [agent, "user:someone@example.com"]))
    assert violated(with_edits(with_hand_made("prod"), PROJECT_GRANTS, *edits)) == {"iam-no-broad-roles"}


def test_a_head_with_autoscaling_may_have_a_service_account_token() -> None:
    path = POD.format("headGroupSpec", "automountServiceAccountToken")
    assert violated(with_edits(resources_of("staging"), RAY_SERVICE, (path, True)), "staging") == set()


def test_no_message_contains_a_secret() -> None:
    secret = "hf_" + 30 * "z"
    env = [{"name": "VLLM_API_KEY", "value": secret}, {"name": "RAY_TOKEN", "value": secret}]
    resources = with_edits(resources_of("prod"), RAY_SERVICE, (f"{WORKER}/env", [*head_env_vars("prod"), *env]))
    messages = [message for _, message in violations_of(resources)]
    assert any("VLLM_API_KEY" in message for message in messages)
    assert [message for message in messages if secret in message] == []


def test_a_cost_above_the_budget_is_in_the_message() -> None:
    nodes = ("autoscaling/totalMaxNodeCount", 20)
    expensive = with_edits(resources_of("staging"), NODE_POOL, nodes)
    assert violated(expensive, "staging") == {"gpu-monthly-budget"}
    price = GPU_MACHINE_TYPES["a4-highgpu-8g"].price(CapacityKind.FLEX_START)
    assert price is not None
    assert (
        f"{20 * price.usd * pricing.HOURS_PER_MONTH:,.0f} USD"
        in dict(violations_of(expensive, "staging"))["gpu-monthly-budget"]
    )


def test_a_pool_without_a_price_is_named_and_hides_no_known_cost() -> None:
    assert (
        "prod-us-east4-a4 (a4-highgpu-8g, reservation)" in dict(violations_of(resources_of("prod")))["gpu-known-price"]
    )
    assert "gpu-known-price" not in dict(violations_of(resources_of("staging"), "staging"))
    known = [resource for resource in resources_of("staging") if resource.type == NODE_POOL]
    expensive = with_edits(known, NODE_POOL, ("autoscaling/totalMaxNodeCount", 400))
    both = [*expensive, *resources_of("prod")]
    messages = dict(violations_of(both))
    assert {"gpu-monthly-budget", "gpu-known-price"} <= messages.keys()
    assert "prod-us-east4-a4" in messages["gpu-monthly-budget"]


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_settings_of_each_environment_are_in_the_schemas(environment: str) -> None:
    settings = json.loads((CHECKOUT / "policies" / f"{environment}.json").read_text())
    assert settings.pop("all", "mandatory") == ("advisory" if environment == "dev" else "mandatory")
    assert {name: set(values) for name, values in settings.items()}.items() <= {
        policy.name: set(policy.config_schema) for policy in STACK_POLICIES if policy.config_schema
    }.items()


def test_every_policy_is_violated_by_a_test() -> None:
    tried = {name for name, *_ in VIOLATIONS} | NOT_ALLOWED.keys() | MISSING.keys()
    tried |= {"raycluster-haproxy-streaming", "gpu-monthly-budget", "gpu-known-price"}
    assert {policy.name for policy in (*POLICIES, *STACK_POLICIES)} == tried


def test_names_are_unique() -> None:
    names = [policy.name for policy in (*POLICIES, *STACK_POLICIES)]
    assert len(set(names)) == len(names)


def hide_below(value: Any, depth: int) -> Any:
    """Return `value` with UNKNOWN for everything below a depth."""
    if depth == 0:
        return UNKNOWN
    if isinstance(value, Mapping):
        return {key: hide_below(inside, depth - 1) for key, inside in value.items()}
    return [hide_below(inside, depth - 1) for inside in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "text",
    [
        serve_config(),
        serve_config(trust_remote_code=False, allowed_local_media_path=""),
        serve_config(revision=None).replace("google/gemma", "gs://weights/gemma"),
        serve_config(revision=None).replace("google/gemma", "/weights/gemma"),
        serve_config(tokenizer="google/other", tokenizer_revision=40 * "b"),
        serve_config(speculative_config={"model": "google/draft", "revision": 40 * "c"}),
        serve_config(tokenizer="/weights/tokenizer", speculative_config={"method": "ngram"}),
        serve_config(allowed_media_domains=None, language_model_only=True),
        "no mapping",
    ],
)
def test_a_model_that_keeps_the_policies(text: str) -> None:
    assert violated(with_edits(resources_of("prod"), RAY_SERVICE, (SERVE_CONFIG, text))) == set()


def test_without_settings_of_the_stack_code_and_revision_are_its_user_s_choice() -> None:
    text = serve_config(trust_remote_code=True, revision=None)
    resources = [each for each in resources_of("prod") if each.type == RAY_SERVICE]
    edited = with_edits(resources, RAY_SERVICE, (SERVE_CONFIG, text))
    for policy in models.STACK_POLICIES:
        assert list(policy.violations(edited, {})) == []
    trusted = {"allowed_arguments": ["trust_remote_code"]}
    assert list(models.STACK_POLICIES[0].violations(edited, trusted)) == []


@pytest.mark.parametrize("depth", range(1, 12))
def test_unknown_values_violate_no_policy(depth: int) -> None:
    for name in ("prod", "staging", "public"):
        inventory = [replace(resource, inputs=hide_below(resource.inputs, depth)) for resource in with_hand_made(name)]
        assert violated(inventory, STACKS[name][0]) == set()


def test_plain_copies_inputs() -> None:
    assert plain({"a": [{"b": 1}], "c": "text"}) == {"a": [{"b": 1}], "c": "text"}
    assert list(_texts(plain({"a": ["x", "y"]}))) == ["x", "y"]


def test_values_are_displayed_as_their_author_writes_them() -> None:
    assert [display(value) for value in (8000.0, 0.5, "8000", None)] == ["8000", "0.5", "8000", "not set"]


def test_pods_are_named_by_their_group() -> None:
    head, worker = ({"template": {"spec": {"containers": [{"name": name}]}}} for name in ("head", "worker"))
    cluster = {"headGroupSpec": head, "workerGroupSpecs": [{"groupName": "gpus", **worker}]}
    assert [where for where, _ in pods({"spec": cluster})] == [HEAD_POD, "worker group gpus"]
    assert [where for where, _ in containers(worker)] == ["the pod"]


def _texts(value: Any) -> Iterator[str]:
    yield from each(value, "a")
