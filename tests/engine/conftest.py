"""Projects for the real engine, with or without the stand-in for Google's API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rehearsal import install_plugins
from rehearsal.google.cloud import StandInCloud
from tests.harness.pulumi_project import PulumiProject


@pytest.fixture
def new_project(tmp_path: Path) -> Callable[[str], PulumiProject]:
    """Returns a project for a program of one file; a test creates its stack with `init`."""
    return lambda source: PulumiProject.from_source(tmp_path, source)


@pytest.fixture
def install_cloud() -> Callable[[PulumiProject], StandInCloud]:
    """Installs the stand-in for Google's API into a project; returns its cloud, in which every API is enabled."""

    def install(project: PulumiProject) -> StandInCloud:
        cloud = StandInCloud(install_plugins.install_google(project.pulumi_home))
        cloud.enable_apis("*")
        return cloud

    return install
