"""The Google stand-in under the real engine: what it refuses, replaces, notices, and how its failures end."""

from __future__ import annotations

import time
from collections.abc import Callable

from rehearsal.google.cloud import Cloud, Failure
from tests.harness.pulumi_project import Engine

Inline = Callable[[str], Engine]
CloudOf = Callable[[Engine], Cloud]

HEAD = "import pulumi, pulumi_gcp as gcp\n"
NETWORK = 'net = gcp.compute.Network("net", name="net", auto_create_subnetworks=False)\n'
GROUND = f"""{HEAD}{NETWORK}
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
MADE = {"net", "sub", "redis", "cluster", "pool"}
CONFIG = {"gcp:project": "acme", "gcp:region": "us-central1"}


def test_a_preview_names_every_wrong_field_by_its_path_and_answers_no_data_source(inline: Inline, cloud_of: CloudOf):
    engine = inline(f"""{HEAD}
gcp.container.NodePool("a", cluster="c", location="r", autoscaling={{"max_node_count": "many"}}, node_config={{
    "taints": [{{"key": "k", "value": "v", "efect": "x"}}], "workload_metadata_config": {{"mode": "GKE_META"}}}})
""")
    cloud_of(engine)
    wrong = engine.init(CONFIG).preview()
    assert wrong.status != 0
    for said in (
        "autoscaling.maxNodeCount: int expected, not 'many'",
        "nodeConfig.taints[0].efect: no such field in the SDK: did you mean effect?",
        "nodeConfig.workloadMetadataConfig.mode: 'GKE_META' is not a value Google knows",
    ):
        assert said in wrong.text
    engine.write(f'{HEAD}gcp.compute.get_network(name="default")')
    assert "the stand-in answers no data source" in engine.preview().text


def test_a_stack_lives_as_its_preview_said_and_notices_what_others_do(inline: Inline, cloud_of: CloudOf):
    engine = inline(GROUND)
    cloud = cloud_of(engine)
    planned = engine.init(CONFIG).preview()
    made = engine.up()
    assert planned.ok().inventory("gcp:").keys() == made.ok().inventory("gcp:").keys() == MADE
    assert planned.inventory("nodePool")["pool"]["nodeConfig"]["machineType"] == "g2-standard-8"
    outputs = engine.outputs()
    assert outputs["dns"].endswith(".us-central1.gke.goog")
    assert outputs["membership"] == "//gkehub.googleapis.com/projects/acme/locations/us-central1/memberships/cluster"
    password = outputs["redis"].split()[1]
    assert password not in str(engine.export())
    assert engine.preview().ok().changed() == {}

    cloud.change("redis", memorySizeGb=9)
    cloud.remove("nodePools/pool")
    seen = engine.refresh().ok()
    assert seen.changed() == {"redis": "update", "pool": "delete"}
    assert engine.up().ok().changed() == {"redis": "update", "pool": "create"}

    engine.write(GROUND.replace("g2-standard-8", "g2-standard-16").replace("10.0.0.0/20", "10.0.0.0/19"))
    assert engine.preview().ok().changed() == {"sub": "update", "pool": "update"}
    engine.write(GROUND.replace('"spot": True', '"spot": False').replace("10.0.0.0/20", "10.0.0.0/21"))
    replaced = engine.preview().ok()
    assert replaced.changed() == {"sub": "replace", "cluster": "replace", "pool": "replace"}
    assert {s.name: s.replaces for s in replaced.steps if s.op == "replace"}["sub"] == ("ipCidrRange",)

    engine.write(GROUND.replace('"spot": True', '"spot": False'))
    assert engine.up().ok().changed() == {"pool": "replace"}
    pool = cloud.ids("NodePool")[0]
    assert cloud.made()[-2:] == [f"delete {pool}", f"create {pool}"]

    kept = engine.destroy("--skip-preview")
    assert "Cannot destroy cluster because deletion_protection is set to true" in kept.text
    assert cloud.ids("Cluster")
    engine.write(GROUND.replace("deletion_protection=True", "deletion_protection=False"))
    assert engine.up().ok().changed()["cluster"] == "update"
    assert "Traceback" not in engine.destroy("--skip-preview").ok().text
    assert cloud.ids() == []


def test_each_failure_is_shown_in_googles_words_and_a_second_up_finishes(inline: Inline, cloud_of: CloudOf):
    words = {
        Failure.QUOTA: "Insufficient regional quota",
        Failure.CONFLICT: "Error 409",
        Failure.RATE: "Error 429",
        Failure.UNAVAILABLE: "Error 503",
        Failure.PERMISSION: "Permission denied",
    }
    buckets = "".join(f'gcp.storage.Bucket("{kind}", name="acme-{kind}", location="US")\n' for kind in words)
    engine = inline(GROUND + buckets)
    cloud = cloud_of(engine)
    engine.init(CONFIG)
    for kind in words:
        cloud.fail(kind, kind)
    cloud.fail(Failure.STOCKOUT, "pool")
    failed = engine.up("--continue-on-error")
    assert failed.failed == {*words, "pool"}
    assert [said for said in (*words.values(), "GCE_STOCKOUT") if said not in failed.text] == []
    assert engine.up().ok().changed() == {**dict.fromkeys(words, "create"), "pool": "update"}
    assert engine.preview().ok().changed() == {}
    assert sorted(cloud.made()) == sorted([f"create {i}" for i in cloud.ids()] + [f"update {cloud.ids('NodePool')[0]}"])


def test_an_engine_that_is_killed_goes_on_where_it_was(inline: Inline, cloud_of: CloudOf):
    engine = inline(GROUND)
    cloud = cloud_of(engine)
    engine.init(CONFIG)
    cloud.fail(Failure.SLOW, "cluster", seconds=600)
    killed = engine.start("up", "--yes", "--skip-preview")
    wait_until(lambda: cloud.left() == 0)
    killed.kill()
    assert cloud.ids("Cluster") == []
    engine.cancel().ok()
    engine.up().ok()
    assert engine.preview().ok().changed() == {}
    assert sorted(cloud.made()) == sorted(f"create {i}" for i in cloud.ids())


def test_what_google_made_for_an_engine_that_was_killed_is_taken_over_by_its_name(inline: Inline, cloud_of: CloudOf):
    engine = inline(HEAD + NETWORK)
    cloud = cloud_of(engine)
    engine.init(CONFIG)
    cloud.fail(Failure.LOST, "net", seconds=600)
    killed = engine.start("up", "--yes", "--skip-preview")
    wait_until(lambda: bool(cloud.made()))
    killed.kill()
    engine.cancel().ok()
    assert "Error 409" in engine.up().text
    pending = engine.export()["deployment"]["pending_operations"]
    assert [(p["type"], p["resource"]["type"]) for p in pending] == [("creating", "gcp:compute/network:Network")]
    # `pulumi refresh --import-pending-creates` of CLI 3.259 only forgets them: what exists is imported by hand.
    words = ("--yes", "--skip-preview", "--protect=false", "--generate-code=false")
    engine.run("import", pending[0]["resource"]["type"], "net", cloud.ids()[0], *words).ok()
    engine.refresh("--skip-preview", "--clear-pending-creates").ok()
    assert engine.up().ok().changed() == {}
    assert cloud.made() == [f"create {i}" for i in cloud.ids()]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
