"""Whole environments: both halves of a stack, with the stand-in for Google's API and a real control plane a region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.control_plane import __main__ as control_plane_cli
from rehearsal.control_plane.control_plane import ControlPlane
from rehearsal.google.cloud import StandInCloud
from tests.engine import google_stacks
from tests.harness.pulumi_project import PulumiProject
from tests.unit.case import blocks, edited

SHORT_TIMEOUTS = {
    "serving.kubernetes.releases.r1.request_timeout_s": 30,
    "serving.kubernetes.load_balancer_propagation_s": 0,
}
"""Timeouts of the tests: no request is open when something drains."""
RAY = "/apis/ray.io/v1/namespaces/ray"


@dataclass(frozen=True)
class RehearsedStack:
    """A stack and everything that it is deployed to. `control_planes` is by region."""

    project: PulumiProject
    cloud: StandInCloud
    settings: Mapping[str, Any]
    control_planes: Mapping[str, ControlPlane]

    def edit(self, changes: Mapping[str, Any]) -> None:
        """Write the stack's file: the initial settings with `changes`, by path (`serving.engine.max_model_len`)."""
        google_stacks.write_settings(self.project, edited(dict(self.settings), dict(changes)))

    def ray_service(self, region: str) -> dict[str, Any]:
        """Return the RayService of the first model."""
        return self.control_planes[region].get(f"{RAY}/rayservices/llm")

    def ray_clusters(self, region: str) -> dict[str, dict[str, Any]]:
        """Return the RayClusters by name."""
        found = self.control_planes[region].get(f"{RAY}/rayclusters")["items"]
        return {each["metadata"]["name"]: each for each in found}

    def active_ray_cluster(self, region: str) -> str:
        """Return the name of the RayCluster that serves the first model."""
        return self.ray_service(region)["status"]["activeServiceStatus"]["rayClusterName"]

    def pods(self, region: str) -> list[dict[str, Any]]:
        """Return the pods of all RayServices."""
        return self.control_planes[region].get("/api/v1/namespaces/ray/pods")["items"]


@contextmanager
def rehearsed_stack(work: Path, name: str, edit: Mapping[str, Any] | None = None) -> Iterator[RehearsedStack]:
    """Yield the stack of `Pulumi.<name>.yaml` with `edit` and SHORT_TIMEOUTS, before its first `up`.

    Its control planes run and are empty; they stop afterwards.
    """
    changes = {**SHORT_TIMEOUTS, **(edit or {})}
    settings = edited(blocks(name), changes)
    project, cloud = google_stacks.rehearsal_project(work, name, changes, with_clusters=True)
    regions = [region["name"] for region in settings["infra"]["regions"]]
    folder = work / "control-planes"
    folder.mkdir()
    try:
        control_plane_cli.up_inside(folder, regions, [], project.pulumi_home / "stand-in-google.json")
        project.env |= control_plane_cli.command_env(folder)
        control_planes = {region: ControlPlane(region, folder / region, i) for i, region in enumerate(regions)}
        yield RehearsedStack(project, cloud, settings, control_planes)
    finally:
        control_plane_cli.down(folder)
