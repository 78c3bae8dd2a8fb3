"""Targets of the stack whose state RAYLLM_STATE names. Kubeconfigs are written beside that file."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from verify import declared
from verify.declared import DeclaredLocal
from verify.targets import PodTarget, RegionTarget, Target, local_target

STATE_ENV_VAR = "RAYLLM_STATE"


@cache
def declared_stack() -> DeclaredLocal | list[RegionTarget]:
    """Return what the state declares. Raises `pytest.UsageError` without a state, or with nothing to check."""
    if not (name := os.environ.get(STATE_ENV_VAR)):
        raise pytest.UsageError(
            f"{STATE_ENV_VAR} is not set. These checks read the state of a stack: run `make verify STACK=...`, or set "
            f"{STATE_ENV_VAR} to a file that `pulumi stack export` wrote."
        )
    file = Path(name)
    if not file.is_file():
        raise pytest.UsageError(f"{STATE_ENV_VAR} names {file}, which is not a file.")
    found = declared.read(file)
    if isinstance(found, DeclaredLocal):
        return found
    regions: list[RegionTarget] = []
    for service in found:
        kubeconfig = file.with_name(f"{service.region}.kubeconfig")
        kubeconfig.write_text(service.kubeconfig)
        regions.append(RegionTarget(service, kubeconfig))
    if not regions:
        raise pytest.UsageError("The stack declares nothing that receives requests, or no `up` of it has finished.")
    return regions


def _regions() -> list[RegionTarget]:
    found = declared_stack()
    return [] if isinstance(found, DeclaredLocal) else found


@cache
def _computers() -> list[Target]:
    found = declared_stack()
    return [local_target(found)] if isinstance(found, DeclaredLocal) else []


def _pods() -> list[PodTarget]:
    return [pod for region in _regions() for pod in region.pods]


def _targets() -> list[Target]:
    return [*_computers(), *_pods()]


GROUPS = {
    "region": _regions,
    "pod": _pods,
    "target": _targets,
    "server": lambda: [each for each in _targets() if each.serves],
    "head": lambda: [each for each in _targets() if each.head is None],
}
"""Argument name of a test -> its values. `server`: a target that receives requests. `head`: one with a Ray head."""


def pytest_configure() -> None:
    """Stop with a message before anything is collected if there is nothing to check."""
    declared_stack()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each target of the group that its argument names."""
    for name in set(metafunc.fixturenames) & set(GROUPS):
        found = GROUPS[name]()
        metafunc.parametrize(name, found, ids=[each.name for each in found])


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Skip the checks that only the other kind of stack has."""
    other = "test_regions.py" if isinstance(declared_stack(), DeclaredLocal) else "test_local.py"
    return True if collection_path.name == other else None


@pytest.fixture
def servers(head: Target) -> list[Target]:
    """Return the targets of this head's Ray cluster that receive requests."""
    return [each for each in _targets() if each.serves and (each.head or each) is head]


@pytest.fixture
def local() -> DeclaredLocal:
    """Return the stack on this computer."""
    found = declared_stack()
    assert isinstance(found, DeclaredLocal)
    return found
