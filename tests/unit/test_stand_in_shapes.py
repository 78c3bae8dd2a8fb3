"""The stand-in's table agrees with the installed SDK and the discovery documents, and its rules hold; no engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from rehearsal.google import computed_outputs, discovery, input_checks, resource_types, sdk_schema
from rehearsal.google.cloud import Cloud, Refusal
from rehearsal.google.plugin import Google
from rehearsal.google.resource_types import Token
from rehearsal.plugin_values import UNKNOWN, changes, wire
from tests.harness import schema_coverage

ROWS = [resource_types.get(name) for name in resource_types.names()]
NETWORK, SUBNETWORK = "gcp:compute/network:Network", "gcp:compute/subnetwork:Subnetwork"
CLUSTER, POOL = "gcp:container/cluster:Cluster", "gcp:container/nodePool:NodePool"
PROJECT = "acme"
UNCHECKED = {
    # inputs of a cluster that describe pools inside it: pools are resources of their own here
    "gcp:container/cluster:Cluster nodeConfig",
    "gcp:container/cluster:Cluster nodePools",
    "gcp:container/cluster:Cluster nodePoolAutoConfig.resourceManagerTags",
    "gcp:container/nodePool:NodePool nodeConfig.resourceManagerTags",
    "gcp:compute/securityPolicy:SecurityPolicy rules.preconfiguredWafConfig",
    "gcp:gkehub/feature:Feature fleetDefaultMemberConfig",
}


def row(name: str) -> Token:
    return resource_types.get(name)


@pytest.mark.parametrize("token", ROWS, ids=lambda t: t.kind)
def test_every_path_of_the_table_is_a_field_of_the_sdk(token: Token):
    common = {"name", "project", "location", "region", "zone", "deletionPolicy", "deletionProtection"}
    paths = {*token.own, *token.replace} - common | {
        *token.renames,
        *token.sets,
        *token.when,
        *token.parent,
        *token.refers,
        *token.also,
        *token.defaults,
    }
    assert paths - {spot.path for spot in discovery.every_field(token)} == set()


@pytest.mark.parametrize("token", ROWS, ids=lambda t: t.kind)
def test_every_assigned_output_has_the_type_that_the_sdk_declares(token: Token):
    facts = computed_outputs.Facts(token, dict.fromkeys(token.shape.inputs, "a"), {"project": PROJECT}, serial=1)
    facts.identify(token)
    for name, template in token.outputs.items():
        field = token.shape.outputs[name.removesuffix("?")]
        assert_type(token, name, field.type, computed_outputs.fill(template, facts))


def assert_type(token: Token, path: str, type_: sdk_schema.Type, value: Any) -> None:
    if type_.kind == "object":
        known = sdk_schema.fields(token.shape.folder, type_.name)
        for key, inner in value.items():
            assert key in known, f"{path}.{key}"
            assert_type(token, f"{path}.{key}", known[key].type, inner)
    elif type_.kind == "list":
        assert type_.of
        for inner in value:
            assert_type(token, path, type_.of, inner)
    else:
        assert isinstance(value, input_checks.PYTHON[type_.kind]), path


def test_what_the_discovery_documents_do_not_vouch_for_is_known():
    missing = {
        f"{token.name} {path}"
        for token in ROWS
        for path in schema_coverage.topmost(schema_coverage.count(token).not_found)
    }
    assert {m for m in missing if not any(m == u or m.startswith(f"{u}.") for u in UNCHECKED)} == set()


@pytest.mark.parametrize(
    ("token", "inputs", "path", "reason"),
    [
        (POOL, {"nodeConfig": {"taints": [{"key": "a", "value": "b", "effect": UNKNOWN, "efect": "NO_EXECUTE"}]}},
         "nodeConfig.taints[0].efect", "did you mean effect?"),
        (POOL, {"nodeConfig": {"machine_type": "g2"}}, "nodeConfig.machine_type", "did you mean machineType?"),
        (POOL, {"nodeConfig": {"taints": [{"key": "a", "value": "b"}]}}, "nodeConfig.taints[0].effect", "required"),
        (POOL, {"nodeConfig": {"workloadMetadataConfig": {"mode": "GKE_META"}}},
         "nodeConfig.workloadMetadataConfig.mode", "GKE_METADATA"),
        (POOL, {"autoscaling": {"maxNodeCount": "many"}}, "autoscaling.maxNodeCount", "int expected"),
        (CLUSTER, {"gatewayApiConfig": {"channel": "STANDARD"}}, "gatewayApiConfig.channel", "CHANNEL_STANDARD"),
        (CLUSTER, {"monitoringConfig": {"enableComponents": ["DCGN"]}}, "monitoringConfig.enableComponents[0]", "DCGM"),
        (CLUSTER, {"addonsConfig": {"rayOperatorConfigs": [{"enabled": [True]}]}},
         "addonsConfig.rayOperatorConfigs[0].enabled", "bool expected"),
        (NETWORK, {"name": "Capital"}, "name", "pattern"),
        (SUBNETWORK, {"purpose": "GLOBAL_MANAGED_PROXY", "role": "ON"}, "role", "ACTIVE"),
    ],
)  # fmt: skip
def test_a_body_that_google_would_refuse_is_refused_by_its_path(
    token: str, inputs: dict[str, Any], path: str, reason: str
):
    needed = {name: UNKNOWN for name, field in row(token).shape.inputs.items() if field.required}
    found = dict(input_checks.problems(row(token), {**needed, **inputs}))
    assert list(found) == [path]
    assert reason in found[path]


def test_a_type_that_the_table_does_not_know_is_refused():
    asked = provider_pb2.CheckRequest(type="gcp:compute/disk:Disk", news=wire({"zone": "z"}))
    assert "no row for gcp:compute/disk:Disk" in str(Google(Cloud(Path("never-written"))).Check(asked, None))


@pytest.mark.parametrize(
    ("token", "old", "new", "replaced"),
    [
        (SUBNETWORK, {"ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.0.0.0/19"}, []),
        (SUBNETWORK, {"ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.0.0.0/21"}, ["ipCidrRange"]),
        (POOL, {"nodeConfig": {"machineType": "a"}}, {"nodeConfig": {"machineType": "b"}}, []),
        (POOL, {"nodeConfig": {"spot": True}}, {"nodeConfig": {"flexStart": True}},
         ["nodeConfig.flexStart", "nodeConfig.spot"]),
        (POOL, {}, {"nodeConfig": {"diskSizeGb": 1, "guestAccelerators": [{"type": "l4", "count": 1}]}},
         ["nodeConfig.guestAccelerators[0].count", "nodeConfig.guestAccelerators[0].type"]),
        (POOL, {"nodeLocations": ["a", "b"]}, {"nodeLocations": ["b", "a"]}, []),
        (CLUSTER, {"enableFqdnNetworkPolicy": True}, {"enableFqdnNetworkPolicy": False}, ["enableFqdnNetworkPolicy"]),
        (CLUSTER, {"enableFqdnNetworkPolicy": False}, {"enableFqdnNetworkPolicy": True}, []),
        (CLUSTER, {"network": "n"}, {"network": UNKNOWN}, ["network"]),
    ],
)  # fmt: skip
def test_only_what_the_table_says_replaces(token: str, old: dict[str, Any], new: dict[str, Any], replaced: list[str]):
    assert sorted(diff(token, old, new).replaces) == replaced


@pytest.mark.parametrize(
    ("token", "old", "new", "first"),
    [
        (NETWORK, {"name": "n", "description": "a"}, {"name": "n", "description": "b"}, True),
        (NETWORK, {"name": "n-1", "__defaults": ["name"]}, {"name": "n-2", "__defaults": ["name"]}, False),
        ("gcp:secretmanager/secret:Secret", {"secretId": "s"}, {"secretId": "s", "tags": {"a": "b"}}, False),
        (POOL, {"name": "p", "nodeCount": 1}, {"name": "p", "nodeCount": 2}, False),
    ],
)  # fmt: skip
def test_what_has_a_written_name_is_deleted_before_it_is_replaced(
    token: str, old: dict[str, Any], new: dict[str, Any], first: bool
):
    assert diff(token, old, new).deleteBeforeReplace is first


def test_another_project_of_the_provider_replaces_and_another_default_label_updates():
    olds = {"project": PROJECT, "pulumiLabels": {"team": "red", **computed_outputs.ATTRIBUTION}}
    moved = diff(CLUSTER, {"name": "c"}, {"name": "c"}, olds, {"project": "other", "defaultLabels": '{"team":"red"}'})
    assert list(moved.replaces) == ["project"]
    relabelled = diff(
        CLUSTER, {"name": "c"}, {"name": "c"}, olds, {"project": PROJECT, "defaultLabels": '{"team":"x"}'}
    )
    assert (list(relabelled.replaces), list(relabelled.detailedDiff)) == ([], ["pulumiLabels.team"])
    assert relabelled.detailedDiff["pulumiLabels.team"].kind == provider_pb2.PropertyDiff.UPDATE


def diff(
    token: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    olds: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Any:
    provider = Google(Cloud(Path("never-written")))
    provider.Configure(SimpleNamespace(args=wire(config or {"project": PROJECT})), None)
    asked = provider_pb2.DiffRequest(type=token, old_inputs=wire(old), news=wire(new), olds=wire(olds or old))
    return provider.Diff(asked, None)


def test_a_set_has_no_order_and_a_block_that_appears_counts_by_its_leaves():
    assert list(changes({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 2}, {"x": 1}]}, frozenset({"a"}))) == []
    assert list(changes({}, {"a": [{"x": {}, "y z": 1}]}, frozenset())) == [("a[0].x", "add"), ('a[0]["y z"]', "add")]


def test_the_project_name_alone_says_what_is_assigned_so_two_runs_are_alike():
    first, second = (outputs(CLUSTER, {"name": "c", "location": "us-central1", "fleet": {}}) for _ in range(2))
    assert first == second
    assert first["fleet"]["membership"].endswith("/locations/us-central1/memberships/c")
    assert first["controlPlaneEndpointsConfig"]["dnsEndpointConfig"]["endpoint"].endswith(".us-central1.gke.goog")
    assert "fleet" not in outputs(CLUSTER, {"name": "c", "location": "us-central1"})


def test_a_preview_knows_the_inputs_and_what_the_provider_plans_and_nothing_that_google_assigns():
    account = outputs("gcp:serviceaccount/account:Account", {"accountId": "a"}, preview=True)
    assert account["email"] == f"a@{PROJECT}.iam.gserviceaccount.com"
    assert account["uniqueId"] == UNKNOWN
    assert outputs(CLUSTER, {"name": "c"}, preview=True)["masterAuth"]["clusterCaCertificate"] == UNKNOWN


def outputs(token: str, inputs: dict[str, Any], *, preview: bool = False) -> dict[str, Any]:
    facts = computed_outputs.Facts(row(token), inputs, {"project": PROJECT, "region": "us-central1"})
    facts.identify(row(token))
    return computed_outputs.outputs(row(token), inputs, facts, {}, preview=preview)


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path / "cloud.json")


def create(cloud: Cloud, token: str, **inputs: Any) -> str:
    return cloud.create(row(token), inputs, {"project": PROJECT}, {})[0]


def test_nothing_is_made_before_its_api_is_enabled(cloud: Cloud):
    with pytest.raises(Refusal, match=r"compute\.googleapis\.com has not been used in project acme"):
        create(cloud, NETWORK, name="n")
    create(cloud, "gcp:projects/service:Service", service="compute.googleapis.com")
    assert create(cloud, NETWORK, name="n") == f"projects/{PROJECT}/global/networks/n"


def test_what_is_referred_to_must_exist_unless_it_is_of_another_project(cloud: Cloud):
    cloud.enable("*")
    with pytest.raises(Refusal, match=r"404.*'n' was not found"):
        create(cloud, SUBNETWORK, name="s", region="r", network="n")
    create(cloud, SUBNETWORK, name="shared", region="r", network="projects/host/global/networks/n")
    create(cloud, SUBNETWORK, name="theirs", region="r", network="n", project="host")
    network = cloud.seed(NETWORK, {"name": "n"}, PROJECT)
    for i, name in enumerate((network, "n", f"https://www.googleapis.com/compute/v1/{network}")):
        create(cloud, SUBNETWORK, name=f"s{i}", region="r", network=name)


def test_what_is_in_use_stays_and_what_is_a_part_goes_with_the_whole(cloud: Cloud):
    cloud.enable("*")
    network = create(cloud, NETWORK, name="n")
    cluster = create(cloud, CLUSTER, name="c", location="r", network="n")
    create(cloud, POOL, name="p", location="r", cluster=cluster)
    with pytest.raises(Refusal, match="resourceInUseByAnotherResource"):
        cloud.delete(row(NETWORK), network, {})
    cloud.delete(row(CLUSTER), cluster, {})
    assert cloud.ids() == [network]


def test_a_membership_that_a_cluster_brings_can_be_the_config_membership(cloud: Cloud):
    cloud.enable("*")
    feature = {"name": "multiclusteringress", "location": "global"}
    spec = {
        "multiclusteringress": {
            "configMembership": f"//gkehub.googleapis.com/projects/{PROJECT}/locations/r/memberships/c"
        }
    }
    with pytest.raises(Refusal, match="was not found"):
        create(cloud, "gcp:gkehub/feature:Feature", **feature, spec=spec)
    create(cloud, CLUSTER, name="c", location="r", fleet={"project": PROJECT})
    create(cloud, "gcp:gkehub/feature:Feature", **feature, spec=spec)


def test_a_member_must_exist_when_it_is_granted_something(cloud: Cloud):
    cloud.enable("*")

    def grant(member: str) -> None:
        create(cloud, "gcp:projects/iAMMember:IAMMember", role="roles/viewer", member=member)

    with pytest.raises(Refusal, match="Service account a@acme"):
        grant("serviceAccount:a@acme.iam.gserviceaccount.com")
    with pytest.raises(Refusal, match="gcp-sa-multiclusteringress"):
        grant("serviceAccount:service-1@gcp-sa-multiclusteringress.iam.gserviceaccount.com")
    with pytest.raises(Refusal, match="Identity Pool does not exist"):
        grant(
            "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/acme.svc.id.goog/subject/x"
        )
    create(cloud, "gcp:serviceaccount/account:Account", accountId="a")
    create(cloud, CLUSTER, name="c", location="r", workloadIdentityConfig={"workloadPool": "acme.svc.id.goog"})
    grant("serviceAccount:a@acme.iam.gserviceaccount.com")
    grant("serviceAccount:acme.svc.id.goog[ns/sa]")


def test_a_name_is_taken_once_and_a_grant_twice(cloud: Cloud):
    cloud.enable("*")
    create(cloud, NETWORK, name="n")
    with pytest.raises(Refusal, match="Error 409"):
        create(cloud, NETWORK, name="n")
    for _ in range(2):
        create(cloud, "gcp:projects/iAMMember:IAMMember", role="roles/viewer", member="user:a@b.c")
