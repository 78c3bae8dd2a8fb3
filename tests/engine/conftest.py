"""Stacks of their own for the real engine, with or without a Google stand-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rehearsal import google
from rehearsal.google.cloud import Cloud
from tests.harness.pulumi_project import Engine


@pytest.fixture
def inline(tmp_path: Path) -> Callable[[str], Engine]:
    """An engine for a program of one file; its stack is yet to be made (`init`)."""
    return lambda source: Engine.inline(tmp_path, source)


@pytest.fixture
def cloud_of() -> Callable[[Engine], Cloud]:
    """Mounts the Google stand-in into an engine; returns its cloud, with every API enabled."""

    def mount(engine: Engine) -> Cloud:
        cloud = Cloud(google.mount(engine.home))
        cloud.enable("*")
        return cloud

    return mount
