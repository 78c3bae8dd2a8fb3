"""The policy pack under the real engine: it runs, it bites, and what is unknown in a preview does not silence it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paths import CHECKOUT
from rehearsal import kubernetes
from rehearsal.google.cloud import Cloud
from tests.engine.google_stacks import stack
from tests.harness.pulumi_project import Engine, Result

PACK = CHECKOUT / "policies"
LABELS = {"environment": "prod", "owner": "serving"}
GOOGLE = """
import pulumi
import pulumi_gcp as gcp

nodes = gcp.serviceaccount.Account("nodes", account_id="example-nodes")


def pool(most, taints):
    gcp.container.NodePool(
        "gpus",
        cluster="serving",
        location="us-central1",
        autoscaling={"total_max_node_count": most},
        network_config={"enable_private_nodes": True},
        management={"auto_repair": False},
        node_config={
            "machine_type": "a3-highgpu-8g",
            "flex_start": True,
            "service_account": nodes.email,
            "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": effect} for effect in taints],
            "workload_metadata_config": {"mode": "GKE_METADATA"},
            "resource_labels": {"environment": "prod", "owner": "serving"},
        },
    )
"""
RAY = (
    GOOGLE
    + """
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apiextensions import CustomResource


def service(name, grace_s=630, image="us-docker.pkg.dev/example/ray@sha256:" + 64 * "0", exclude=True):
    hard_stop = {"name": "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S", "value": "620"}
    env = [hard_stop, {"name": "NOT_KNOWN", "value": nodes.unique_id}]
    head, worker = (
        {
            "serviceAccountName": role,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": grace_s,
            "containers": [{"name": "ray", "image": image, "env": env}],
        }
        for role in ("head", "worker")
    )
    spec = {
        "excludeHeadPodFromServeSvc": exclude,
        "rayClusterConfig": {
            "rayVersion": "2.60.0",
            "gcsFaultToleranceOptions": {"redisAddress": nodes.unique_id},
            "headGroupSpec": {"template": {"spec": head}},
            "workerGroupSpecs": [{"groupName": "gpus", "template": {"spec": worker}}],
        },
    }
    in_cluster = pulumi.ResourceOptions(provider=Provider(name, kubeconfig=nodes.unique_id))
    CustomResource(name, "ray.io/v1", "RayService", metadata={"name": name}, spec=spec, opts=in_cluster)
"""
)
"""Much of both is unknown in a preview."""
AROUND = {"rayservice-disruption-budget", "rayservice-network-policy"}
"""What the stack policies miss around a RayService that is all alone."""

BREAKS: dict[str, tuple[str, str, set[str]]] = {
    "network": (
        "google",
        """
network = gcp.compute.Network("vpc", auto_create_subnetworks=False)
gcp.compute.Firewall("open", network=network.id, allows=[{"protocol": "tcp"}], source_ranges=["0.0.0.0/0"])
""",
        {"firewall-restricted-sources"},
    ),
    "identity": (
        "google",
        'gcp.projects.IAMMember("all", project="example", role="roles/editor", member="user:x@y.z")',
        {"iam-no-broad-roles"},
    ),
    "data_protection": (
        "google",
        'gcp.storage.Bucket("weights", location="US", public_access_prevention="enforced")',
        {"stateful-deletion-protection", "stateful-pulumi-protect"},
    ),
    "gpu_node_pools": ("google", "pool(1, [])", {"nodepool-gpu-taint"}),
    "labels": ("google", 'gcp.Provider("bare", project="example")', {"provider-default-labels"}),
    "reliability": ("ray", 'service("ends", grace_s=30)', {"rayservice-termination-grace-period", *AROUND}),
    "ray": ("ray", 'service("heads", exclude=False)', {"rayservice-exclude-head"}),
    "container_images": ("ray", 'service("tags", image="rayproject/ray:2")', {"pod-image-digest"}),
    "cost": ("cost", 'pool(100, ["NO_SCHEDULE"])', {"gpu-monthly-budget", "gpu-min-regions"}),
}
"""Module -> the program that breaks it, by which lines, and who says so."""
SETTINGS = {"gpu-monthly-budget": {"max_usd_per_month": 50000}, "gpu-min-regions": {"min_regions": 2}}
PROGRAMS = {"google": (GOOGLE, {}), "ray": (RAY, {}), "cost": (GOOGLE, SETTINGS)}
"""What each begins with, and the pack's settings for it. A preview takes seconds: modules share one where they can."""
DEV = {"stateful-deletion-protection", "stateful-pulumi-protect"}
"""What dev is advised of: it comes and goes."""


def given(name: str) -> list[str]:
    """What `make` gives the engine for an environment."""
    return ["--policy-pack", str(PACK), "--policy-pack-config", str(PACK / f"{name}.json")]


@pytest.mark.parametrize(("name", "speaks"), [("prod", {"gpu-known-price"}), ("staging", set()), ("dev", DEV)])
def test_what_the_pack_says_of_each_environment(tmp_path: Path, name: str, speaks: set[str]) -> None:
    """Both halves, as `make preview` runs them: nothing stops, and dev is advised."""
    engine, _ = stack(tmp_path, name, {"serving.model.gated": False}, with_clusters=True)
    done = engine.preview(*given(name)).ok()
    assert "Policies:" in done.text
    assert "[mandatory]" not in done.text
    assert spoke(done) == speaks | ({"rayservice-gcs-fault-tolerance"} if name == "dev" else set()), done.text


def test_without_a_file_all_of_it_is_mandatory(tmp_path: Path) -> None:
    engine, _ = stack(tmp_path, "dev")
    done = dataclasses.replace(engine, policy_pack=PACK).preview()
    assert done.status != 0
    assert spoke(done) == DEV, done.text


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_module_bites(program: str, inline: Callable[[str], Engine], cloud_of: Callable[[Engine], Cloud]) -> None:
    source, settings = PROGRAMS[program]
    broken = [(lines, speaks) for where, lines, speaks in BREAKS.values() if where == program]
    engine = inline("\n".join([source, *(lines for lines, _ in broken)]))
    cloud_of(engine)
    kubernetes.mount(engine.home)
    engine.init({"gcp:project": "example", "gcp:defaultLabels": json.dumps(LABELS)})
    file = engine.work / "settings.json"
    file.write_text(json.dumps(settings))
    done = engine.preview("--policy-pack", str(PACK), "--policy-pack-config", str(file))
    assert done.status != 0, done.text
    assert spoke(done) == set().union(*(speaks for _, speaks in broken)), done.text


def test_every_module_is_run() -> None:
    assert BREAKS.keys() == {path.stem for path in PACK.glob("[a-z]*.py")} - {
        "base",
        "inputs",
        "resource_types",
        "pack",
    }


def spoke(done: Result) -> set[str]:
    """Names of the policies that said something; none may have been tripped by an unknown."""
    assert "can't run policy" not in done.text
    lines = [line.split() for line in done.text.splitlines() if "[severity:" in line]
    return {words[words.index("[severity:") + 2] for words in lines}
