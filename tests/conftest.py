"""Tiers, cheapest first: unit, engine, cluster, serving, node (with faults and changes). One that cannot run here says
why; in CI that fails."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paths import CHECKOUT
from rehearsal.control_plane import OWN_CLUSTER, builds, network_namespace
from tests.harness.node import host

NOT_RUN = pytest.StashKey[dict[str, str]]()


def _no_engine() -> str | None:
    return None if shutil.which("pulumi") else "there is no `pulumi` on PATH; `make test` gets one"


def _no_serving() -> str | None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "vLLM's CPU engine has packages for Linux on x86-64 only"
    if not (CHECKOUT / ".venv-ray" / "bin" / "ray").exists():
        return ".venv-ray does not hold Ray; `make test` installs it"
    return _no_engine()


def _no_cluster() -> str | None:
    if own := os.environ.get(OWN_CLUSTER):
        return None if Path(own).is_file() else f"{OWN_CLUSTER} names {own}, and there is no such file"
    if (problem := network_namespace.obstacle()) is not None:
        return problem
    if not builds.CONTROL_PLANE.built:
        missing = "" if shutil.which("go") else ", and there is no Go to build it with: install Go 1.26 or newer"
        return f"the control plane is not built{missing}; `make test TIER=cluster` builds it"
    return None if network_namespace.inside() else "it needs a network namespace; `make test TIER=cluster` makes one"


def _no_node() -> str | None:
    if (problem := host.obstacle()) is not None:
        return problem
    return _no_serving() or (None if host.inside() else "it needs a node; `make test TIER=node` starts one")


OBSTACLES: dict[str, Callable[[], str | None]] = {
    "engine": _no_engine,
    "cluster": _no_cluster,
    "serving": _no_serving,
    "node": _no_node,
}


def _tier(path: Path) -> str:
    return path.relative_to(CHECKOUT / "tests").parts[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    not_run: dict[str, str] = {}
    for tier in {_tier(item.path) for item in items}:
        if reason := OBSTACLES.get(tier, lambda: None)():
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
