"""The stand-in's resource types agree with the installed SDK and the discovery documents, and its checks work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from rehearsal.google import computed_outputs, discovery, input_checks, resource_types, sdk_schema
from rehearsal.google.cloud import GoogleApiError, StandInCloud
from rehearsal.google.plugin import GooglePlugin
from rehearsal.google.resource_types import ResourceType
from rehearsal.plugin_values import UNKNOWN, detailed_diff, to_struct
from tests.harness import schema_coverage

RESOURCE_TYPES = [resource_types.resource_type(token) for token in resource_types.tokens()]
NETWORK, SUBNETWORK = "gcp:compute/network:Network", "gcp:compute/subnetwork:Subnetwork"
CLUSTER, POOL = "gcp:container/cluster:Cluster", "gcp:container/nodePool:NodePool"
PROJECT = "acme"
NOT_IN_DOCUMENTS = {
    # Inputs of a cluster that describe node pools inside it. In this stack, node pools are resources of their own.
    "gcp:container/cluster:Cluster nodeConfig",
    "gcp:container/cluster:Cluster nodePools",
    "gcp:container/cluster:Cluster nodePoolAutoConfig.resourceManagerTags",
    "gcp:container/nodePool:NodePool nodeConfig.resourceManagerTags",
    "gcp:compute/securityPolicy:SecurityPolicy rules.preconfiguredWafConfig",
    "gcp:gkehub/feature:Feature fleetDefaultMemberConfig",
}


@pytest.mark.parametrize("resource", RESOURCE_TYPES, ids=lambda resource: resource.module)
def test_every_path_in_the_yaml_file_is_a_field_of_the_sdk(resource: ResourceType):
    common = {"name", "project", "location", "region", "zone", "deletionPolicy", "deletionProtection"}
    paths = {*resource.not_in_body, *resource.force_new} - common | {
        *resource.renames,
        *resource.sets,
        *resource.force_new_if,
        *resource.parent,
        *resource.references,
        *resource.aliases,
        *resource.defaults,
    }
    assert paths - {field.path for field in discovery.all_input_fields(resource)} == set()


@pytest.mark.parametrize("resource", RESOURCE_TYPES, ids=lambda resource: resource.module)
def test_every_assigned_output_has_the_type_that_the_sdk_declares(resource: ResourceType):
    values = computed_outputs.TemplateValues(
        resource, dict.fromkeys(resource.schema.inputs, "a"), {"project": PROJECT}, serial=1
    )
    values.set_resource_id(resource)
    for name, template in resource.outputs.items():
        field = resource.schema.outputs[name.removesuffix("?")]
        assert_type(resource, name, field.type, computed_outputs.render(template, values))


def assert_type(resource: ResourceType, path: str, type_: sdk_schema.FieldType, value: Any) -> None:
    if type_.kind == "object":
        known = sdk_schema.object_fields(resource.schema.package, type_.name)
        for key, inner in value.items():
            assert key in known, f"{path}.{key}"
            assert_type(resource, f"{path}.{key}", known[key].type, inner)
    elif type_.kind == "list":
        assert type_.element
        for inner in value:
            assert_type(resource, path, type_.element, inner)
    else:
        assert isinstance(value, input_checks.PYTHON_TYPES[type_.kind]), path


def test_the_fields_missing_from_the_discovery_documents_are_known():
    missing = {
        f"{resource.token} {path}"
        for resource in RESOURCE_TYPES
        for path in schema_coverage.topmost(schema_coverage.coverage(resource).not_found)
    }
    assert {m for m in missing if not any(m == n or m.startswith(f"{n}.") for n in NOT_IN_DOCUMENTS)} == set()


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
def test_inputs_that_google_would_refuse_fail_with_their_path(
    token: str, inputs: dict[str, Any], path: str, reason: str
):
    resource = resource_types.resource_type(token)
    required = {name: UNKNOWN for name, field in resource.schema.inputs.items() if field.required}
    found = dict(input_checks.find_problems(resource, {**required, **inputs}))
    assert list(found) == [path]
    assert reason in found[path]


def test_an_unknown_resource_type_is_refused():
    request = provider_pb2.CheckRequest(type="gcp:compute/disk:Disk", news=to_struct({"zone": "z"}))
    assert "no entry for gcp:compute/disk:Disk" in str(plugin().Check(request, None))


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
def test_only_force_new_inputs_replace(token: str, old: dict[str, Any], new: dict[str, Any], replaced: list[str]):
    assert sorted(diff(token, old, new).replaces) == replaced


@pytest.mark.parametrize(
    ("token", "old", "new", "delete_first"),
    [
        (NETWORK, {"name": "n", "description": "a"}, {"name": "n", "description": "b"}, True),
        (NETWORK, {"name": "n-1", "__defaults": ["name"]}, {"name": "n-2", "__defaults": ["name"]}, False),
        ("gcp:secretmanager/secret:Secret", {"secretId": "s"}, {"secretId": "s", "tags": {"a": "b"}}, False),
        (POOL, {"name": "p", "nodeCount": 1}, {"name": "p", "nodeCount": 2}, False),
    ],
)  # fmt: skip
def test_a_resource_with_a_written_name_is_deleted_before_its_replacement(
    token: str, old: dict[str, Any], new: dict[str, Any], delete_first: bool
):
    assert diff(token, old, new).deleteBeforeReplace is delete_first


def test_changing_the_providers_project_replaces_and_changing_its_default_labels_updates():
    olds = {"project": PROJECT, "pulumiLabels": {"team": "red", **computed_outputs.ATTRIBUTION_LABEL}}
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
    configured = plugin()
    configured.Configure(SimpleNamespace(args=to_struct(config or {"project": PROJECT})), None)
    request = provider_pb2.DiffRequest(
        type=token, old_inputs=to_struct(old), news=to_struct(new), olds=to_struct(olds or old)
    )
    return configured.Diff(request, None)


def plugin() -> GooglePlugin:
    return GooglePlugin(StandInCloud(Path("never-written")))


def test_a_set_has_no_order_and_a_new_block_is_reported_by_its_leaves():
    assert list(detailed_diff({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 2}, {"x": 1}]}, frozenset({"a"}))) == []
    assert list(detailed_diff({}, {"a": [{"x": {}, "y z": 1}]}, frozenset())) == [
        ("a[0].x", "add"),
        ('a[0]["y z"]', "add"),
    ]


def test_two_runs_assign_equal_outputs():
    first, second = (outputs(CLUSTER, {"name": "c", "location": "us-central1", "fleet": {}}) for _ in range(2))
    assert first == second
    assert first["fleet"]["membership"].endswith("/locations/us-central1/memberships/c")
    assert first["controlPlaneEndpointsConfig"]["dnsEndpointConfig"]["endpoint"].endswith(".us-central1.gke.goog")
    assert "fleet" not in outputs(CLUSTER, {"name": "c", "location": "us-central1"})


def test_a_preview_knows_the_inputs_and_the_planned_outputs_only():
    account = outputs("gcp:serviceaccount/account:Account", {"accountId": "a"}, preview=True)
    assert account["email"] == f"a@{PROJECT}.iam.gserviceaccount.com"
    assert account["uniqueId"] == UNKNOWN
    assert outputs(CLUSTER, {"name": "c"}, preview=True)["masterAuth"]["clusterCaCertificate"] == UNKNOWN


def outputs(token: str, inputs: dict[str, Any], *, preview: bool = False) -> dict[str, Any]:
    resource = resource_types.resource_type(token)
    values = computed_outputs.TemplateValues(resource, inputs, {"project": PROJECT, "region": "us-central1"})
    values.set_resource_id(resource)
    return computed_outputs.all_outputs(resource, inputs, values, {}, preview=preview)


@pytest.fixture
def cloud(tmp_path: Path) -> StandInCloud:
    return StandInCloud(tmp_path / "cloud.json")


def create(cloud: StandInCloud, token: str, **inputs: Any) -> str:
    return cloud.create(resource_types.resource_type(token), inputs, {"project": PROJECT}, {})[0]


def test_create_fails_until_the_api_is_enabled(cloud: StandInCloud):
    with pytest.raises(GoogleApiError, match=r"compute\.googleapis\.com has not been used in project acme"):
        create(cloud, NETWORK, name="n")
    create(cloud, "gcp:projects/service:Service", service="compute.googleapis.com")
    assert create(cloud, NETWORK, name="n") == f"projects/{PROJECT}/global/networks/n"


def test_a_reference_must_exist_unless_it_is_in_another_project(cloud: StandInCloud):
    cloud.enable_apis("*")
    with pytest.raises(GoogleApiError, match=r"404.*'n' was not found"):
        create(cloud, SUBNETWORK, name="s", region="r", network="n")
    create(cloud, SUBNETWORK, name="shared", region="r", network="projects/host/global/networks/n")
    create(cloud, SUBNETWORK, name="theirs", region="r", network="n", project="host")
    network = cloud.seed(NETWORK, {"name": "n"}, PROJECT)
    for i, name in enumerate((network, "n", f"https://www.googleapis.com/compute/v1/{network}")):
        create(cloud, SUBNETWORK, name=f"s{i}", region="r", network=name)


def test_a_delete_fails_while_the_resource_is_referenced_and_takes_the_children_with_it(cloud: StandInCloud):
    cloud.enable_apis("*")
    network = create(cloud, NETWORK, name="n")
    cluster = create(cloud, CLUSTER, name="c", location="r", network="n")
    create(cloud, POOL, name="p", location="r", cluster=cluster)
    with pytest.raises(GoogleApiError, match="resourceInUseByAnotherResource"):
        cloud.delete(resource_types.resource_type(NETWORK), network, {})
    cloud.delete(resource_types.resource_type(CLUSTER), cluster, {})
    assert cloud.ids() == [network]


def test_the_membership_that_a_cluster_creates_can_be_the_config_membership(cloud: StandInCloud):
    cloud.enable_apis("*")
    feature = {"name": "multiclusteringress", "location": "global"}
    spec = {
        "multiclusteringress": {
            "configMembership": f"//gkehub.googleapis.com/projects/{PROJECT}/locations/r/memberships/c"
        }
    }
    with pytest.raises(GoogleApiError, match="was not found"):
        create(cloud, "gcp:gkehub/feature:Feature", **feature, spec=spec)
    create(cloud, CLUSTER, name="c", location="r", fleet={"project": PROJECT})
    create(cloud, "gcp:gkehub/feature:Feature", **feature, spec=spec)


def test_the_member_of_a_grant_must_exist(cloud: StandInCloud):
    cloud.enable_apis("*")

    def grant(member: str) -> None:
        create(cloud, "gcp:projects/iAMMember:IAMMember", role="roles/viewer", member=member)

    with pytest.raises(GoogleApiError, match="Service account a@acme"):
        grant("serviceAccount:a@acme.iam.gserviceaccount.com")
    with pytest.raises(GoogleApiError, match="gcp-sa-multiclusteringress"):
        grant("serviceAccount:service-1@gcp-sa-multiclusteringress.iam.gserviceaccount.com")
    with pytest.raises(GoogleApiError, match="Identity Pool does not exist"):
        grant(
            "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/acme.svc.id.goog/subject/x"
        )
    create(cloud, "gcp:serviceaccount/account:Account", accountId="a")
    create(cloud, CLUSTER, name="c", location="r", workloadIdentityConfig={"workloadPool": "acme.svc.id.goog"})
    grant("serviceAccount:a@acme.iam.gserviceaccount.com")
    grant("serviceAccount:acme.svc.id.goog[ns/sa]")


def test_creating_a_name_twice_fails_and_creating_a_grant_twice_does_not(cloud: StandInCloud):
    cloud.enable_apis("*")
    create(cloud, NETWORK, name="n")
    with pytest.raises(GoogleApiError, match="Error 409"):
        create(cloud, NETWORK, name="n")
    for _ in range(2):
        create(cloud, "gcp:projects/iAMMember:IAMMember", role="roles/viewer", member="user:a@b.c")
