"""Skip each tier that cannot run on this machine, and report why; in CI that fails.

The tiers, cheapest first: unit, engine, cluster, serving, models, examples, node (whose files are several tiers of
tests/run.py).
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paths import CHECKOUT
from rehearsal.control_plane import builds, network_namespace
from tests.harness import own_cluster
from tests.harness.node import host

NOT_RUN = pytest.StashKey[dict[str, str]]()


def _engine_skip_reason() -> str | None:
    return None if shutil.which("pulumi") else "there is no `pulumi` on PATH; `make test` gets one"


def _serving_skip_reason() -> str | None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "vLLM's CPU engine has packages for Linux on x86-64 only"
    if not (CHECKOUT / ".venv-ray" / "bin" / "ray").exists():
        return ".venv-ray does not contain Ray; `make test` installs it"
    return _engine_skip_reason()


def _cluster_skip_reason() -> str | None:
    if own := own_cluster.kubeconfig():
        return None if Path(own).is_file() else f"{own_cluster.ENV_VAR} names {own}, and there is no such file"
    if (reason := network_namespace.unavailable_reason()) is not None:
        return reason
    if not builds.CONTROL_PLANE.is_built:
        missing = "" if shutil.which("go") else ", and there is no Go to build it with: install Go 1.26 or newer"
        return f"the control plane is not built{missing}; `make test TIER=cluster` builds it"
    return None if network_namespace.is_inside() else "it needs a network namespace; `make test TIER=cluster` makes one"


def _node_skip_reason() -> str | None:
    if (reason := host.unavailable_reason()) is not None:
        return reason
    return _serving_skip_reason() or (None if host.is_inside() else "it needs a node; `make test TIER=node` starts one")


SKIP_REASONS: dict[str, Callable[[], str | None]] = {
    "engine": _engine_skip_reason,
    "cluster": _cluster_skip_reason,
    "serving": _serving_skip_reason,
    "models": _serving_skip_reason,
    "examples": _engine_skip_reason,
    "node": _node_skip_reason,
}
"""Folder of tests -> why it cannot run here, or None."""


def _tier(path: Path) -> str:
    return path.relative_to(CHECKOUT / "tests").parts[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    not_run: dict[str, str] = {}
    for tier in {_tier(item.path) for item in items}:
        if reason := SKIP_REASONS.get(tier, lambda: None)():
            not_run[tier] = reason
    config.stash[NOT_RUN] = not_run
    for item in items:
        if reason := not_run.get(_tier(item.path)):
            item.add_marker(pytest.mark.skip(reason=f"not run: {reason}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for tier, reason in config.stash.get(NOT_RUN, {}).items():
        terminalreporter.write_line(f"tier {tier}: not run: {reason}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.stash.get(NOT_RUN, {}) and os.environ.get("CI") and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
