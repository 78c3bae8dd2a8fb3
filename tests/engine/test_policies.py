"""The policy pack under the real engine: it runs, it bites, and what is unknown in a preview does not silence it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.google_stacks import stack
from tests.rig.engine import CHECKOUT, Engine
from tests.rig.google.cloud import Cloud

PACK = CHECKOUT / "policies"
BROKEN = """
import pulumi
import pulumi_gcp as gcp

network = gcp.compute.Network("vpc", auto_create_subnetworks=False)
gcp.compute.Firewall("open", network=network.id, allows=[{"protocol": "tcp"}], source_ranges=["0.0.0.0/0"])
nodes = gcp.serviceaccount.Account("nodes", account_id="example-nodes")
gcp.projects.IAMMember("all", project="example", role="roles/editor", member="user:someone@example.com")
gcp.storage.Bucket("weights", location="US", deletion_policy="PREVENT")
gcp.container.NodePool(
    "gpus",
    cluster="serving",
    location="us-central1",
    node_count=1,
    network_config={"enable_private_nodes": True},
    node_config={
        "service_account": nodes.email,
        "guest_accelerators": [{"type": "nvidia-l4", "count": 1}],
        "workload_metadata_config": {"mode": "GKE_METADATA"},
        "resource_labels": {"environment": "dev"},
    },
)
"""
SPEAK = {"firewall-open-to-all", "role-too-broad", "bucket-public", "gpu-untainted", "machines-unlabelled"}


@pytest.mark.parametrize(("name", "speaks"), [("prod", set()), ("staging", set()), ("dev", {"deletion-prevented"})])
def test_what_the_pack_says_of_each_environment(tmp_path: Path, name: str, speaks: set[str]) -> None:
    engine, _ = stack(tmp_path, name)
    done = dataclasses.replace(engine, policy_pack=PACK).preview()
    assert "Policies:" in done.text
    assert "can't run policy" not in done.text
    assert _spoke(done.text) == speaks, done.text
    assert (done.status != 0) == bool(speaks)


def test_each_module_bites(inline: Callable[[str], Engine], cloud_of: Callable[[Engine], Cloud]) -> None:
    engine = inline(BROKEN)
    cloud_of(engine)
    engine.init({"gcp:project": "example"})
    done = dataclasses.replace(engine, policy_pack=PACK).preview()
    assert done.status != 0
    assert "can't run policy" not in done.text
    assert _spoke(done.text) == SPEAK, done.text


def test_where_it_only_advises_the_preview_ends_well(tmp_path: Path) -> None:
    engine, _ = stack(tmp_path, "dev")
    assert json.loads((PACK / "advisory.json").read_text()) == {"all": "advisory"}
    advice = ["--policy-pack", str(PACK), "--policy-pack-config", str(PACK / "advisory.json")]
    done = engine.preview(*advice).ok()
    assert _spoke(done.text) == {"deletion-prevented"}


def _spoke(text: str) -> set[str]:
    lines = [line.split() for line in text.splitlines() if "[severity:" in line]
    return {words[words.index("[severity:") + 2] for words in lines}
