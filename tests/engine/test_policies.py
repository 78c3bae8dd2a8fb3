"""The policy pack in Pulumi's engine: it runs, it finds violations, and unknown values of a preview do not stop it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paths import CHECKOUT
from rehearsal import install_plugins
from rehearsal.google.cloud import StandInCloud
from tests.engine.google_stacks import rehearsal_project
from tests.harness.pulumi_project import CommandResult, PulumiProject

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
import json
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apiextensions import CustomResource


def service(name, grace_s=630, image="us-docker.pkg.dev/example/ray@sha256:" + 64 * "0", exclude=True, models=()):
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
        "serveConfigV2": json.dumps({"applications": [{"args": {"llm_configs": list(models)}}]}),
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
"""A preview does not know many inputs of both programs."""
ALONE = {"rayservice-disruption-budget", "rayservice-network-policy"}
"""Policies that a RayService without other objects violates."""

VIOLATIONS: dict[str, tuple[str, str, set[str]]] = {
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
    "reliability": ("ray", 'service("ends", grace_s=30)', {"rayservice-termination-grace-period", *ALONE}),
    "ray": ("ray", 'service("heads", exclude=False)', {"rayservice-exclude-head"}),
    "models": ("ray", 'service("media", models=[{"engine_kwargs": {}}])', {"rayservice-media-hosts", *ALONE}),
    "container_images": ("ray", 'service("tags", image="rayproject/ray:2")', {"pod-image-digest"}),
    "cost": ("cost", 'pool(100, ["NO_SCHEDULE"])', {"gpu-monthly-budget", "gpu-min-regions"}),
}
"""Module of policies/ -> (program, lines that violate the module's policies, these policies)."""
SETTINGS = {"gpu-monthly-budget": {"max_usd_per_month": 50000}, "gpu-min-regions": {"min_regions": 2}}
PROGRAMS = {"google": (GOOGLE, {}), "ray": (RAY, {}), "cost": (GOOGLE, SETTINGS)}
"""Name -> (source, settings of the policies). A preview takes seconds, so modules share a program."""
DEV_VIOLATIONS = {"stateful-deletion-protection", "stateful-pulumi-protect"}
"""Policies that dev violates, because it keeps no data."""


def pack_options(name: str) -> list[str]:
    """Return the options with which `make` runs the pack for an environment."""
    return ["--policy-pack", str(PACK), "--policy-pack-config", str(PACK / f"{name}.json")]


@pytest.mark.parametrize(
    ("name", "violated"),
    [("prod", {"gpu-known-price"}), ("staging", set()), ("dev", {*DEV_VIOLATIONS, "rayservice-gcs-fault-tolerance"})],
)
def test_the_pack_stops_no_environment(tmp_path: Path, name: str, violated: set[str]) -> None:
    """With infrastructure and workloads, as `make preview` runs it. For dev the pack only advises."""
    project, _ = rehearsal_project(tmp_path, name, {"serving.model.gated": False}, with_clusters=True)
    done = project.preview(*pack_options(name)).ok()
    assert "Policies:" in done.text
    assert "[mandatory]" not in done.text
    assert violated_policies(done) == violated, done.text


def test_without_a_settings_file_every_policy_is_mandatory(tmp_path: Path) -> None:
    project, _ = rehearsal_project(tmp_path, "dev")
    done = dataclasses.replace(project, policy_pack=PACK).preview()
    assert done.status != 0
    assert violated_policies(done) == DEV_VIOLATIONS, done.text


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_module_finds_its_violations(
    program: str, new_project: Callable[[str], PulumiProject], install_cloud: Callable[[PulumiProject], StandInCloud]
) -> None:
    source, settings = PROGRAMS[program]
    violations = [(lines, violated) for name, lines, violated in VIOLATIONS.values() if name == program]
    project = new_project("\n".join([source, *(lines for lines, _ in violations)]))
    install_cloud(project)
    install_plugins.install_kubernetes(project.pulumi_home)
    project.init({"gcp:project": "example", "gcp:defaultLabels": json.dumps(LABELS)})
    file = project.work / "settings.json"
    file.write_text(json.dumps(settings))
    done = project.preview("--policy-pack", str(PACK), "--policy-pack-config", str(file))
    assert done.status != 0, done.text
    assert violated_policies(done) == set().union(*(violated for _, violated in violations)), done.text


def test_every_policy_module_has_a_case() -> None:
    assert VIOLATIONS.keys() == {path.stem for path in PACK.glob("[a-z]*.py")} - {
        "base",
        "inputs",
        "resource_types",
        "pack",
    }


def violated_policies(done: CommandResult) -> set[str]:
    """Return the names of the violated policies. No policy may fail because of an unknown value."""
    assert "can't run policy" not in done.text
    lines = [line.split() for line in done.text.splitlines() if "[severity:" in line]
    return {words[words.index("[severity:") + 2] for words in lines}
