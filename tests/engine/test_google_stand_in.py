"""The stand-in for Google's API under the real engine: checks, replacements, refresh and injected failures."""

from __future__ import annotations

from collections.abc import Callable

from rehearsal.google.cloud import FailureKind, StandInCloud
from tests.harness.pulumi_project import PulumiProject
from tests.harness.waiting import wait_until

NewProject = Callable[[str], PulumiProject]
InstallCloud = Callable[[PulumiProject], StandInCloud]

HEAD = "import pulumi, pulumi_gcp as gcp\n"
NETWORK = 'net = gcp.compute.Network("net", name="net", auto_create_subnetworks=False)\n'
RESOURCES = f"""{HEAD}{NETWORK}
sub = gcp.compute.Subnetwork("sub", name="sub", network=net.id, region="us-central1", ip_cidr_range="10.0.0.0/20")
redis = gcp.redis.Instance("redis", name="redis", region="us-central1", memory_size_gb=5, auth_enabled=True)
cluster = gcp.container.Cluster("cluster", name="cluster", location="us-central1", network=net.id, subnetwork=sub.id,
    initial_node_count=1, remove_default_node_pool=True, deletion_protection=True, fleet={{"project": "acme"}})
pool = gcp.container.NodePool("pool", name="pool", cluster=cluster.id, location="us-central1",
    node_config={{"machine_type": "g2-standard-8", "spot": True}})
pulumi.export("dns", cluster.control_plane_endpoints_config.dns_endpoint_config.endpoint)
pulumi.export("membership", cluster.fleet.membership)
pulumi.export("redis", pulumi.Output.format("{{}}:{{}} {{}}", redis.host, redis.port, redis.auth_string))
"""
NAMES = {"net", "sub", "redis", "cluster", "pool"}
CONFIG = {"gcp:project": "acme", "gcp:region": "us-central1"}


def test_a_preview_reports_every_wrong_field_by_path_and_data_sources_fail(
    new_project: NewProject, install_cloud: InstallCloud
):
    project = new_project(f"""{HEAD}
gcp.container.NodePool("a", cluster="c", location="r", autoscaling={{"max_node_count": "many"}}, node_config={{
    "taints": [{{"key": "k", "value": "v", "efect": "x"}}], "workload_metadata_config": {{"mode": "GKE_META"}}}})
""")
    install_cloud(project)
    wrong = project.init(CONFIG).preview()
    assert wrong.status != 0
    for message in (
        "autoscaling.maxNodeCount: int expected, not 'many'",
        "nodeConfig.taints[0].efect: no such field in the SDK: did you mean effect?",
        "nodeConfig.workloadMetadataConfig.mode: 'GKE_META' is not a value that Google knows",
    ):
        assert message in wrong.text
    project.write_program(f'{HEAD}gcp.compute.get_network(name="default")')
    assert "the stand-in answers no data source" in project.preview().text


def test_a_stack_from_create_to_delete_with_changes_outside_pulumi(
    new_project: NewProject, install_cloud: InstallCloud
):
    project = new_project(RESOURCES)
    cloud = install_cloud(project)
    preview = project.init(CONFIG).preview()
    up = project.up()
    assert preview.ok().inventory("gcp:").keys() == up.ok().inventory("gcp:").keys() == NAMES
    assert preview.inventory("nodePool")["pool"]["nodeConfig"]["machineType"] == "g2-standard-8"
    outputs = project.outputs()
    assert outputs["dns"].endswith(".us-central1.gke.goog")
    assert outputs["membership"] == "//gkehub.googleapis.com/projects/acme/locations/us-central1/memberships/cluster"
    password = outputs["redis"].split()[1]
    assert password not in str(project.export())
    assert project.preview().ok().changes() == {}

    cloud.change("redis", memorySizeGb=9)
    cloud.remove("nodePools/pool")
    assert project.refresh().ok().changes() == {"redis": "update", "pool": "delete"}
    assert project.up().ok().changes() == {"redis": "update", "pool": "create"}

    project.write_program(RESOURCES.replace("g2-standard-8", "g2-standard-16").replace("10.0.0.0/20", "10.0.0.0/19"))
    assert project.preview().ok().changes() == {"sub": "update", "pool": "update"}
    project.write_program(RESOURCES.replace('"spot": True', '"spot": False').replace("10.0.0.0/20", "10.0.0.0/21"))
    replaced = project.preview().ok()
    assert replaced.changes() == {"sub": "replace", "cluster": "replace", "pool": "replace"}
    assert {s.name: s.replaces for s in replaced.steps if s.op == "replace"}["sub"] == ("ipCidrRange",)

    project.write_program(RESOURCES.replace('"spot": True', '"spot": False'))
    assert project.up().ok().changes() == {"pool": "replace"}
    pool = cloud.ids("NodePool")[0]
    assert cloud.operations()[-2:] == [f"delete {pool}", f"create {pool}"]

    refused = project.destroy("--skip-preview")
    assert "Cannot destroy cluster because deletion_protection is set to true" in refused.text
    assert cloud.ids("Cluster")
    project.write_program(RESOURCES.replace("deletion_protection=True", "deletion_protection=False"))
    assert project.up().ok().changes()["cluster"] == "update"
    assert "Traceback" not in project.destroy("--skip-preview").ok().text
    assert cloud.ids() == []


def test_each_failure_shows_googles_message_and_a_second_up_completes(
    new_project: NewProject, install_cloud: InstallCloud
):
    messages = {
        FailureKind.QUOTA: "Insufficient regional quota",
        FailureKind.CONFLICT: "Error 409",
        FailureKind.RATE: "Error 429",
        FailureKind.UNAVAILABLE: "Error 503",
        FailureKind.PERMISSION: "Permission denied",
    }
    buckets = "".join(f'gcp.storage.Bucket("{kind}", name="acme-{kind}", location="US")\n' for kind in messages)
    project = new_project(RESOURCES + buckets)
    cloud = install_cloud(project)
    project.init(CONFIG)
    for kind in messages:
        cloud.inject_failure(kind, kind)
    cloud.inject_failure(FailureKind.STOCKOUT, "pool")
    failed = project.up("--continue-on-error")
    assert failed.failed == {*messages, "pool"}
    assert [text for text in (*messages.values(), "GCE_STOCKOUT") if text not in failed.text] == []
    assert project.up().ok().changes() == {**dict.fromkeys(messages, "create"), "pool": "update"}
    assert project.preview().ok().changes() == {}
    assert sorted(cloud.operations()) == sorted(
        [f"create {i}" for i in cloud.ids()] + [f"update {cloud.ids('NodePool')[0]}"]
    )


def test_an_up_after_a_killed_engine_continues_where_it_stopped(new_project: NewProject, install_cloud: InstallCloud):
    project = new_project(RESOURCES)
    cloud = install_cloud(project)
    project.init(CONFIG)
    cloud.inject_failure(FailureKind.SLOW, "cluster", seconds=600)
    killed = project.start("up", "--yes", "--skip-preview")
    wait_until("the create that takes long", lambda: cloud.failures_left() == 0)
    killed.kill()
    assert cloud.ids("Cluster") == []
    project.cancel().ok()
    project.up().ok()
    assert project.preview().ok().changes() == {}
    assert sorted(cloud.operations()) == sorted(f"create {i}" for i in cloud.ids())


def test_a_resource_that_a_killed_engine_created_can_be_imported_by_its_id(
    new_project: NewProject, install_cloud: InstallCloud
):
    project = new_project(HEAD + NETWORK)
    cloud = install_cloud(project)
    project.init(CONFIG)
    cloud.inject_failure(FailureKind.LOST, "net", seconds=600)
    killed = project.start("up", "--yes", "--skip-preview")
    wait_until("the create whose answer is lost", cloud.operations)
    killed.kill()
    project.cancel().ok()
    assert "Error 409" in project.up().text
    pending = project.export()["deployment"]["pending_operations"]
    assert [(p["type"], p["resource"]["type"]) for p in pending] == [("creating", "gcp:compute/network:Network")]
    # `pulumi refresh --import-pending-creates` of CLI 3.259 only removes them from the state; so import by hand.
    words = ("--yes", "--skip-preview", "--protect=false", "--generate-code=false")
    project.run("import", pending[0]["resource"]["type"], "net", cloud.ids()[0], *words).ok()
    project.refresh("--skip-preview", "--clear-pending-creates").ok()
    assert project.up().ok().changes() == {}
    assert cloud.operations() == [f"create {i}" for i in cloud.ids()]
