"""Whole environments: both halves of a stack, on the stand-in for Google's API and a real control plane a region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.control_plane import __main__ as planes
from rehearsal.control_plane.control_plane import Plane
from rehearsal.google.cloud import Cloud
from tests.engine import google_stacks
from tests.harness.pulumi_project import Engine
from tests.unit.case import blocks, edited

QUICK = {"serving.kubernetes.releases.r1.request_timeout_s": 30, "serving.kubernetes.load_balancer_propagation_s": 0}
"""Time-outs of a test: what drains has nothing to drain."""
RAY = "/apis/ray.io/v1/namespaces/ray"


@dataclass(frozen=True)
class Rehearsal:
    """`clusters` is by region."""

    engine: Engine
    cloud: Cloud
    settings: Mapping[str, Any]
    clusters: Mapping[str, Plane]

    def edit(self, **changes: Any) -> None:
        """Rewrite the stack's file: its first settings with `changes` (dots as double underscores) on top."""
        given = {path.replace("__", "."): value for path, value in changes.items()}
        google_stacks.write(self.engine, edited(dict(self.settings), given))

    def service(self, region: str) -> dict[str, Any]:
        """The RayService of the first model."""
        return self.clusters[region].get(f"{RAY}/rayservices/llm")

    def ray_clusters(self, region: str) -> dict[str, dict[str, Any]]:
        """By name."""
        found = self.clusters[region].get(f"{RAY}/rayclusters")["items"]
        return {each["metadata"]["name"]: each for each in found}

    def active(self, region: str) -> str:
        """Name of the RayCluster that serves."""
        return self.service(region)["status"]["activeServiceStatus"]["rayClusterName"]

    def pods(self, region: str) -> list[dict[str, Any]]:
        """Of all RayServices."""
        return self.clusters[region].get("/api/v1/namespaces/ray/pods")["items"]


@contextmanager
def rehearsal(work: Path, name: str, edit: Mapping[str, Any] | None = None) -> Iterator[Rehearsal]:
    """The stack of `Pulumi.<name>.yaml` with `edit` and QUICK on top; nothing is made yet but empty control planes."""
    given = edited(blocks(name), {**QUICK, **(edit or {})})
    engine, cloud = google_stacks.stack(work, name, {**QUICK, **(edit or {})}, with_clusters=True)
    regions = [region["name"] for region in given["infra"]["regions"]]
    folder = work / "planes"
    folder.mkdir()
    try:
        planes.inside(folder, regions, [], engine.home / "stand-in-google.json")
        engine.environment |= planes.environment(folder)
        yield Rehearsal(engine, cloud, given, {each: Plane(each, folder / each, i) for i, each in enumerate(regions)})
    finally:
        planes.down(folder)
