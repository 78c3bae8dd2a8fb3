"""What the Google half hands to `workloads`: the contract of prod and dev, with every cloud value made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pulumi
import pytest
import yaml
from pulumi_gcp import projects

from config.google.infra import GoogleInfra
from config.node_pool_info import Toleration
from config.stack import check
from infra.contract import GooglePlatform, ServingCluster
from infra.google.node_pools import NodePools, NodePoolsArgs
from infra.google.provision import provision
from rehearsal.google import reference_checks, resource_types
from tests.unit.case import blocks, edited

ENDPOINT = "gke-0.example.gke.goog"
ASSIGNED: dict[str, dict[str, Any]] = {
    "gcp:container/cluster:Cluster": {
        "controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"endpoint": ENDPOINT}},
        "fleet": {"membershipLocation": "us-central1", "membershipId": "m"},
    },
    "gcp:redis/instance:Instance": {"host": "10.0.36.4", "port": 6379, "authString": "hush"},
    "gcp:compute/address:Address": {"address": "10.0.0.7"},
    "gcp:compute/globalAddress:GlobalAddress": {"address": "203.0.113.9"},
    "gcp:serviceaccount/account:Account": {"email": "nodes@p", "member": "serviceAccount:nodes@p"},
}


class Cloud(pulumi.runtime.Mocks):
    """Assigns what the program reads, and answers no data source."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return f"{args.name}-id", {**args.inputs, **ASSIGNED.get(args.typ, {})}

    def call(self, args: pulumi.runtime.MockCallArgs) -> NoReturn:
        raise AssertionError(f"{args.token} is a data source: take it from the settings")


def on(stack: str, look: Callable[[GooglePlatform], pulumi.Output[Any] | None], **edit: Any) -> Any:
    """What `look` sees of the platform of `stack`, its output resolved."""
    raw = edited(blocks(stack), {path.replace("__", "."): value for path, value in edit.items()})
    settings = check(stack, raw).infra
    assert isinstance(settings, GoogleInfra)
    seen: list[Any] = []
    pulumi.runtime.set_mocks(Cloud(), project="rayllm", stack=stack, preview=False)

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        found = look(provision(settings, stack))
        return pulumi.Output.from_input(found).apply(seen.append)

    program()
    return seen[0]


def site(platform: GooglePlatform, index: int = 0) -> ServingCluster:
    return platform.clusters[index]


def test_a_kubeconfig_reaches_the_dns_endpoint_and_holds_no_credential() -> None:
    config = yaml.safe_load(on("prod", lambda p: site(p).kubeconfig))
    assert config["clusters"][0]["cluster"] == {"server": f"https://{ENDPOINT}"}
    assert set(config["users"][0]["user"]) == {"exec"}
    assert config["users"][0]["user"]["exec"]["command"] == "gke-gcloud-auth-plugin"
    assert config["current-context"] == config["contexts"][0]["name"] == "prod-us-central1-serving"


def test_a_cluster_has_the_name_and_the_traffic_of_its_region() -> None:
    edit = {"infra__regions__1__traffic": "drained"}
    seen = on("prod", lambda p: pulumi.Output.from_input([(each.name, each.traffic) for each in p.clusters]), **edit)
    assert seen == [("us-central1", "active"), ("us-east4", "drained")]


def test_gpu_nodes_of_a_reservation_are_fixed_and_say_what_a_pod_needs() -> None:
    def look(platform: GooglePlatform) -> None:
        (group,) = site(platform).gpu_pools
        assert (group.ray_accelerator_type, group.gpus_per_node, group.min_nodes, group.max_nodes) == ("B200", 8, 2, 2)
        assert group.node_selector == {"cloud.google.com/gke-accelerator": "nvidia-b200", "rayllm/pool": "a4"}
        assert group.tolerations == (Toleration("nvidia.com/gpu", "present"),)
        assert (group.reservation_bound, group.waits_for_capacity, group.local_ssd_gib) == (True, False, 12000)
        assert site(platform).system_pool.node_selector == {"rayllm/pool": "system"}
        assert site(platform).system_pool.tolerations == ()

    on("prod", look)


def test_flex_start_nodes_may_wait_and_begin_at_none() -> None:
    def look(platform: GooglePlatform) -> None:
        (group,) = site(platform).gpu_pools
        assert (group.reservation_bound, group.waits_for_capacity, group.min_nodes, group.max_nodes) == (
            False,
            True,
            0,
            2,
        )

    on("staging", look)


def test_head_and_workers_have_accounts_of_their_own() -> None:
    accounts = on("prod", lambda p: pulumi.Output.from_input(vars(site(p).service_accounts)))
    assert accounts == {"namespace": "ray", "head": "ray-head", "worker": "ray-worker"}


def test_the_state_of_heads_has_an_address_and_a_secret_password() -> None:
    def look(platform: GooglePlatform) -> pulumi.Output[Any]:
        state = site(platform).redis
        assert state is not None
        assert state.password is not None
        password = state.password
        return pulumi.Output.all(state.address, pulumi.Output.from_input(password.is_secret()), password)

    assert on("prod", look) == ["10.0.36.4:6379", True, "hush"]
    assert on("dev", lambda p: pulumi.Output.from_input(site(p).redis)) is None


def test_weights_and_images_come_from_where_the_settings_say() -> None:
    def look(platform: GooglePlatform) -> pulumi.Output[Any]:
        return pulumi.Output.all(site(platform).model_bucket_url, site(platform, 1).image_repository)

    assert on("prod", look) == [
        "gs://example-rayllm-prod--prod-models",
        "us-east4-docker.pkg.dev/example-rayllm-prod/prod-us-east4-images",
    ]


def test_a_private_entrance_of_two_regions_crosses_regions() -> None:
    def look(platform: GooglePlatform) -> pulumi.Output[Any]:
        entrance = platform.gateway_frontend
        assert entrance is not None
        assert entrance.gateway_class == "gke-l7-cross-regional-internal-managed-mc"
        assert entrance.config_cluster == "us-central1"
        assert entrance.proxy_ranges == ("35.191.0.0/16", "130.211.0.0/22", "10.0.32.0/23", "10.4.32.0/23")
        assert (entrance.certificate, entrance.security_policy) == (None, None)
        assert [a.name for a in entrance.addresses] == ["prod-us-central1-gateway", "prod-us-east4-gateway"]
        return pulumi.Output.all(entrance.dns_zone, *(address.value for address in entrance.addresses))

    assert on("prod", look) == ["prod-zone", "10.0.0.7", "10.0.0.7"]


def test_workloads_wait_for_pools_fleet_and_the_right_to_read_weights() -> None:
    def look(platform: GooglePlatform) -> None:
        assert platform.gateway_frontend is not None
        waits = {type(r).__name__ for r in (*site(platform).depends_on, *platform.gateway_frontend.depends_on)}
        assert waits == {
            "Address",
            "BucketIAMMember",
            "Feature",
            "IAMMember",
            "NodePool",
            "RepositoryIamMember",
            "Subnetwork",
        }

    on("prod", look)


@pytest.mark.parametrize("streaming", [True, False])
def test_nodes_with_image_streaming_may_use_the_project_before_a_pool_starts(
    streaming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image streaming calls an API in the images' project as the node service account."""
    pools: list[NodePoolsArgs] = []

    def node_pools(name: str, args: NodePoolsArgs, opts: Any = None) -> NodePools:
        pools.append(args)
        return NodePools(name, args, opts)

    def look(platform: GooglePlatform) -> pulumi.Output[Any]:
        waits = [each for each in pools[0].depends_on if isinstance(each, projects.IAMMember)]
        return pulumi.Output.all(*(each.role for each in waits))

    monkeypatch.setattr("infra.google.provision.NodePools", node_pools)
    edit = {"infra__image_registry": {"kind": "remote_repository", "image_streaming": streaming}}
    usage = ["roles/serviceusage.serviceUsageConsumer"] if streaming else []
    assert on("dev", look, **edit) == ["roles/container.defaultNodeServiceAccount", *usage]


def test_the_stand_in_refuses_image_streaming_without_the_right_to_use_the_project() -> None:
    pool = resource_types.resource_type("gcp:container/nodePool:NodePool")
    inputs = {"nodeConfig": {"gcfsConfig": {"enabled": True}, "serviceAccount": "nodes@p"}}
    grant = {"role": "roles/serviceusage.serviceUsageConsumer", "member": "serviceAccount:nodes@p"}
    row = {"token": "gcp:projects/iAMMember:IAMMember", "inputs": grant}
    refused = reference_checks.image_streaming_denied
    assert "roles/serviceusage.serviceUsageConsumer" in str(refused(pool, inputs, [{**row, "inputs": {}}]))
    assert refused(pool, inputs, [row]) is None
    assert refused(pool, {"nodeConfig": {"gcfsConfig": {"enabled": False}}}, []) is None
