"""The versions this stack chooses, each beside its reason. Python pins live in locks/, Go pins in go.mod files."""

import tomllib

from paths import CHECKOUT

STACK: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
"""This stack's own, from pyproject.toml; a label on everything it makes."""

RAY = "2.60.0"
"""Newest Ray; 2.56 brought HAProxy and direct streaming, 2.56.1 fixed body-aware routers on it (ray-project/ray#64488).
locks/ray.txt installs exactly this; a cluster image must carry it."""

RAY_FLOOR = "2.56.1"
"""Ray 2.56.0 has direct streaming whose router hangs (ray-project/ray#64488); older versions do not have it. What
2.56.1 to 2.59.0 cannot do or lose is in config/compatibility.py and config/upstream_limits.py, with the version that
mended it. Since 2.58.0 each node has routers of its own, so that the restart of one router costs no request."""

PULUMI_CLI = "3.259.0"
"""The version that tools/bootstrap/pulumi_cli.py builds, and the oldest that it accepts on PATH. The resource hooks and
the state format that we use are older, but every test ran on this version."""

PYTHON_FLOOR: tuple[int, int] = (3, 11)
PYTHON_CEILING: tuple[int, int] = (3, 14)
"""Ray and vLLM have wheels for 3.11 to 3.13."""

UV = "0.13.9"
"""Creates both virtual environments from locks/ (tools/bootstrap/venvs.py)."""

GO_FLOOR = "1.26"
"""The Go version that the module tools/bootstrap/pulumi_cli_module requires."""

GKE_FLOOR = "1.35"
"""What new clusters ask for at least, without a patch: the release channel takes them on. A4 needs 1.32.1, the Ray
Operator add-on 1.30.0; 1.35 is what cluster-toolkit's A4 blueprint asks for and has Gateway API v1.5."""
