"""Pulumi's engine previews a copy of every example as `make preview` does, with every policy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.engine.google_stacks import preview_copy
from tests.engine.test_policies import violated_policies
from tests.harness.pulumi_project import CommandResult
from tests.unit.test_examples import SHOWN, settings
from tools.examples import EXAMPLES

Preview = Callable[[str], CommandResult]
ADVICE = {"gpu-known-price"}
"""Policies that only advise: not every machine type has a known price."""


@pytest.fixture(scope="module")
def preview(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preview]:
    """Returns the preview of an example. All run in the background, one on each core: a preview takes seconds."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started: dict[str, Future[CommandResult]] = {
            name: pool.submit(preview_copy, tmp_path_factory.mktemp(name), EXAMPLES / f"{name}.yaml") for name in SHOWN
        }
        yield lambda name: started[name].result()
        for future in started.values():
            future.cancel()


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_previews_without_errors_warnings_or_violations(preview: Preview, name: str) -> None:
    done = preview(name).ok()
    assert violated_policies(done) <= ADVICE, done.text
    assert "warning" not in done.text.lower(), done.text
    assert set(done.counts) == {"create"}
    models = 1 + len(settings(name)["serving"]["kubernetes"].get("additional_models", []))
    assert len(done.inventory("ray.io/v1:RayService")) == models
