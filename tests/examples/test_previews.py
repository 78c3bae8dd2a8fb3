"""Pulumi's engine previews a copy of every example as `make preview` does, with every policy.

The stack of a copy has no policies/STACK.json, so each policy is mandatory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from paths import CHECKOUT
from rehearsal import install_plugins
from tests.engine.test_policies import violated_policies
from tests.harness.pulumi_project import CommandResult, PulumiProject
from tests.unit.test_examples import SHOWN, settings
from tools.examples import EXAMPLES

STACK = "mine"
Preview = Callable[[str], CommandResult]


def preview_copy(work: Path, name: str) -> CommandResult:
    project = PulumiProject.from_checkout(work, stack=STACK)
    install_plugins.install_google(project.pulumi_home)
    install_plugins.install_kubernetes(project.pulumi_home)
    shutil.copyfile(EXAMPLES / f"{name}.yaml", project.stack_file)
    project.init()
    project.run("config", "set", "--secret", "rayllm:huggingFaceToken", "hf_" + 30 * "a", "--stack", STACK).ok()
    return project.preview("--policy-pack", str(CHECKOUT / "policies"))


@pytest.fixture(scope="module")
def preview(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preview]:
    """Returns the preview of an example. All run in the background, one on each core: a preview takes seconds."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started: dict[str, Future[CommandResult]] = {
            name: pool.submit(preview_copy, tmp_path_factory.mktemp(name), name) for name in SHOWN
        }
        yield lambda name: started[name].result()
        for future in started.values():
            future.cancel()


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_previews_without_errors_warnings_or_violations(preview: Preview, name: str) -> None:
    done = preview(name).ok()
    assert violated_policies(done) == set(), done.text
    assert "warning" not in done.text.lower(), done.text
    assert set(done.counts) == {"create"}
    models = 1 + len(settings(name)["serving"]["kubernetes"].get("additional_models", []))
    assert len(done.inventory("ray.io/v1:RayService")) == models
