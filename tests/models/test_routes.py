"""config/served_routes.json is what the installed Ray and vLLM serve."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from config.routes import SERVED_BY, SERVED_ROUTES, SERVED_SEGMENTS
from paths import CHECKOUT


def test_the_routes_are_those_of_the_installed_ray_and_vllm(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    command = [CHECKOUT / ".venv-ray/bin/python", "-m", "tools.vllm.list_routes", file]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(file.read_text())
    assert found["routes"] == SERVED_ROUTES, "run tools/vllm/list_routes.py as its docstring says"
    assert {name: found[name] for name in ("ray", "vllm")} == SERVED_BY
    assert set(found["segments"]) <= SERVED_SEGMENTS
