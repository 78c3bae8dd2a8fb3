"""Write this folder's files: `<edit>.events`, the record of a preview, and `<edit>.txt`, its summary.

    python -m tests.golden.summaries.record           in the environment of `make test`
    python -m tests.golden.summaries.record texts     without new recordings of the infrastructure

The recordings of the infrastructure come from the real engine with the rehearsal's `gcp` plugin and the policies. The
records of a RayService are composed from the specs that this checkout creates and the node pools of a recording, in
Pulumi's form: the engine previews a RayService only if it reaches the region's cluster.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from policies.resource_types import NODE_POOL, RAY_SERVICE, SERVICE_EXPORT
from tests.engine.google_stacks import rehearsal_project, write_settings
from tests.unit import ray_services
from tests.unit.case import blocks, edited
from tools import cli
from tools.preview.events import read
from tools.preview.render import summary
from workloads.kubernetes.ray_service import spec

FOLDER = Path(__file__).parent
ALONE = {"serving": None}
US_EAST4 = blocks("prod")["infra"]["regions"][1]
SPOT = {"capacity": {"kind": "spot"}, "nodes": {"kind": "autoscaling", "total_max_nodes": 4}}
EUROPE = US_EAST4 | {
    "name": "europe-north1",
    "ip_plan_index": 2,
    "node_pools": [US_EAST4["node_pools"][0] | SPOT | {"zones": ["europe-north1-b"]}],
}
ONE_H100 = {
    "name": "h100",
    "machine_type": "a3-highgpu-8g",
    "zones": ["us-central1-a"],
    "capacity": {"kind": "flex_start"},
    "nodes": {"kind": "autoscaling", "total_max_nodes": 1},
}
POOL = "infra.regions.0.node_pools.0"
WITH_REDIS = {"infra.redis": {"tier": "STANDARD_HA"}}

EDITS: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]] = {
    ("prod", "{}"): {
        "more-reserved-nodes": {f"{POOL}.capacity.count": 4},
        "fewer-reserved-nodes": {f"{POOL}.capacity.count": 1},
        "more-redis-memory": {"infra.redis.memory_gib": 10},
        "reservation-to-spot": {f"infra.regions.1.node_pools.0.{key}": value for key, value in SPOT.items()},
        "new-region": {"infra.regions": [*blocks("prod")["infra"]["regions"], EUROPE]},
        "region-removed-while-protected": {"infra.regions": [blocks("prod")["infra"]["regions"][0]]},
        "protection-off": {"infra.protect": False},
        "refused-by-the-settings": {"infra.redis.tier": "BASIC"},
        "nothing": {},
    },
    ("dev", json.dumps(WITH_REDIS)): {
        "more-spot-nodes": {f"{POOL}.nodes.total_max_nodes": 8},
        "fewer-spot-nodes": {f"{POOL}.nodes.total_max_nodes": 2},
        "larger-machine": {f"{POOL}.machine_type": "g2-standard-16"},
        "other-gpu": {POOL: ONE_H100},
        "redis-tier": {"infra.redis.tier": "BASIC"},
        "other-range-for-pods": {"infra.regions.0.ranges": {"pods": "10.210.0.0/15"}},
    },
}
"""(stack, changes of its file before the edits) -> edits."""

IMAGE = "rayproject/ray-llm@sha256:" + "1" * 64
SCALING = {"kind": "autoscaling", "min_replicas": 1, "max_replicas": 2}
RAY_SERVICES: Mapping[str, tuple[str, str, Mapping[str, Any], Mapping[str, Any]]] = {
    "second-release": ("prod", "update", {}, {"serving.kubernetes.releases.r1.image": IMAGE}),
    "longer-context": ("prod", "update", {}, {"serving.engine.max_model_len": 8192}),
    "fewer-replicas": ("prod", "update", {}, {"serving.replicas.num_replicas": 7}),
    "autoscaling-bounds": (
        "prod",
        "update",
        {"serving.replicas": SCALING | {"max_replicas": 7}},
        {"serving.replicas": SCALING | {"max_replicas": 8}},
    ),
    "autoscaling-bounds-and-nodes": (
        "dev",
        "update",
        {"serving.replicas": SCALING},
        {"serving.replicas": SCALING | {"max_replicas": 3}},
    ),
    "release-in-a-drained-region": ("prod", "replace", {}, {"serving.kubernetes.releases.r1.image": IMAGE}),
}
"""Edit -> stack, operation of the engine, settings before, settings after."""


def main() -> None:
    """Write the records and their summaries."""
    if sys.argv[1:] != ["texts"]:
        for (name, base), edits in EDITS.items():
            _record(name, json.loads(base), edits)
    for edit, row in RAY_SERVICES.items():
        (FOLDER / f"{edit}.events").write_text(_lines(_of_ray_service(*row)))
    (FOLDER / "region-drained.events").write_text(_lines(_drained()))
    for path in sorted(FOLDER.glob("*.events")):
        path.with_suffix(".txt").write_text(summary(read(path.read_text()), "example"))


def _record(name: str, base: Mapping[str, Any], edits: Mapping[str, Mapping[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as work:
        project, _ = rehearsal_project(Path(work), name, ALONE | dict(base))
        project.up("--skip-preview").ok()
        options = ("preview", "--stack", name, *cli.policy_pack_options(name))
        for edit, change in edits.items():
            write_settings(project, edited(blocks(name), {**ALONE, **base, **change}))
            events = Path(work) / f"{edit}.events"
            project.run(*options, "--event-log", str(events))
            (FOLDER / events.name).write_text(_lines(_trimmed(events.read_text())))


def _trimmed(record: str) -> Iterator[dict[str, Any]]:
    """Yield the events without the fields that no summary uses."""
    events = [json.loads(line) for line in record.splitlines()]
    done = {
        step["urn"] for event in events if (step := _step(event)).get("op") not in (None, "refresh")
    }  # a refresh counts only for a resource without another step
    for event in events:
        step = _step(event)
        if step and (step["op"] != "refresh" or step["urn"] not in done) and "$" in step["urn"]:
            yield {"resourcePreEvent": {"metadata": _small(step)}}
        elif event.get("diagnosticEvent", {}).get("severity") == "error":
            diagnostic = event["diagnosticEvent"]
            yield {"diagnosticEvent": {key: diagnostic[key] for key in ("severity", "message")}}
        elif violation := event.get("policyEvent"):
            kept = ("policyName", "enforcementLevel", "message", "resourceUrn")
            yield {"policyEvent": {key: violation[key] for key in kept}}
    summaries = [event["policyAnalyzeSummaryEvent"] for event in events if "policyAnalyzeSummaryEvent" in event]
    policies = {name for each in summaries for key in ("passed", "failed") for name in each.get(key) or ()}
    if policies:
        yield {"policyAnalyzeSummaryEvent": {"passed": sorted(policies)}}


def _small(step: Mapping[str, Any]) -> dict[str, Any]:
    paths = step.get("detailedDiff") or {}
    out = {key: step[key] for key in ("op", "urn", "keys", "detailedDiff") if step.get(key)}
    roots = {path.partition(".")[0].partition("[")[0] for path in paths} | {"location", "region"}
    pool = {"location", "nodeConfig", "nodeLocations", "nodeCount", "initialNodeCount", "autoscaling"}
    kept = roots | pool if step["type"] == NODE_POOL else roots if paths else set()
    for side in ("old", "new"):
        if state := step.get(side):
            inputs = {key: value for key, value in (state.get("inputs") or {}).items() if key in kept}
            out[side] = {"type": step["type"], "protect": bool(state.get("protect")), "inputs": inputs}
    return out


def _step(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return event.get("resourcePreEvent", {}).get("metadata", {})


def _of_ray_service(
    name: str, op: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    token = {"serving.model.gated": False}
    old = spec(ray_services.args(name, {**token, **before}))
    new = spec(ray_services.args(name, {**token, **before, **after}))
    paths = {"spec.serveConfigV2", "spec.rayClusterConfig"} if op == "update" else {"spec.rayClusterConfig"}
    kind = "update-replace" if op == "replace" else "update"
    metadata = {
        "op": op,
        "urn": f"urn:pulumi:{name}::rayllm::rayllm:workloads:RayService${RAY_SERVICE}::us-central1-llm",
        "type": RAY_SERVICE,
        "old": {"type": RAY_SERVICE, "inputs": {"spec": old}},
        "new": {"type": RAY_SERVICE, "inputs": {"spec": new}},
        "keys": ["spec.rayClusterConfig"] if op == "replace" else None,
        "detailedDiff": {path: {"diffKind": kind} for path in sorted(paths) if old[path[5:]] != new[path[5:]]},
    }
    yield {"resourcePreEvent": {"metadata": metadata}}
    yield from _pools(name)


def _pools(name: str) -> Iterator[dict[str, Any]]:
    """Yield the unchanged node pools of a recorded stack."""
    recording = FOLDER / {"prod": "nothing.events", "dev": "redis-tier.events"}[name]
    events = [json.loads(line) for line in recording.read_text().splitlines()]
    yield from (event for event in events if _step(event).get("old", {}).get("type") == NODE_POOL)


def _drained() -> Iterator[dict[str, Any]]:
    """Yield the steps that drain a region: its ServiceExport is deleted, its RayService stays without protection."""
    urn = "urn:pulumi:prod::rayllm::rayllm:workloads:{}${}::{}"
    export = {"inputs": {"metadata": {"name": "llm-serve-svc", "namespace": "serving"}}}
    name = "us-east4-exports-serviceexport-llm-serve-svc"
    service = {"inputs": {"spec": spec(ray_services.args("prod", {"serving.model.gated": False}))}}
    for step in (
        {
            "op": "delete",
            "urn": urn.format("ServiceExports", SERVICE_EXPORT, name),
            "type": SERVICE_EXPORT,
            "old": export,
        },
        {
            "op": "same",
            "urn": urn.format("RayService", RAY_SERVICE, "us-east4-llm"),
            "type": RAY_SERVICE,
            "old": service,
            "new": service,
        },
    ):
        yield {"resourcePreEvent": {"metadata": step}}
    yield from _pools("prod")


def _lines(events: Iterator[dict[str, Any]]) -> str:
    return "".join(json.dumps(event, sort_keys=True) + "\n" for event in events) or "{}\n"


if __name__ == "__main__":
    main()
