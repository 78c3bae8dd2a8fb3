"""The examples of docs/how-to/large-models.md preview; `make test TIER=examples` previews every example."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.google_stacks import preview_copy
from tools.examples import EXAMPLES


@pytest.mark.parametrize("name", ["deepseek-r1-b200", "qwen3-32b-rtx"])
def test_a_large_model_previews(tmp_path: Path, name: str) -> None:
    done = preview_copy(tmp_path, EXAMPLES / f"{name}.yaml").ok()
    assert set(done.counts) == {"create"}
    assert len(done.inventory("ray.io/v1:RayService")) == 1
