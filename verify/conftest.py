"""What there is to ask, of the stack whose state RAYLLM_STATE names. Kubeconfigs are written beside it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from verify import declared, targets
from verify.declared import Machine
from verify.targets import Place, Pod, Region

STATE = "RAYLLM_STATE"


@cache
def stack() -> Machine | list[Region]:
    file = Path(os.environ[STATE])
    found = declared.read(file)
    if isinstance(found, Machine):
        return found
    regions: list[Region] = []
    for service in found:
        kubeconfig = file.with_name(f"{service.region}.kubeconfig")
        kubeconfig.write_text(service.kubeconfig)
        regions.append(Region(service, kubeconfig))
    return regions


def _regions() -> list[Region]:
    found = stack()
    return [] if isinstance(found, Machine) else found


@cache
def _machines() -> list[Place]:
    found = stack()
    return [targets.of_machine(found)] if isinstance(found, Machine) else []


def _pods() -> list[Pod]:
    return [pod for region in _regions() for pod in region.pods]


def _everywhere() -> list[Place]:
    return [*_machines(), *_pods()]


GROUPS = {
    "region": _regions,
    "pod": _pods,
    "place": _everywhere,
    "entrance": lambda: [each for each in _everywhere() if each.serves],
    "head": lambda: [each for each in _everywhere() if each.head is None],
}
"""What a test may ask for by these names. `entrance`: where requests come in. `head`: of a Ray cluster."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in set(metafunc.fixturenames) & set(GROUPS):
        found = GROUPS[name]() if STATE in os.environ else []
        metafunc.parametrize(name, found, ids=[each.name for each in found])


@pytest.fixture
def entrances(head: Place) -> list[Place]:
    """Of this head's cluster."""
    return [each for each in _everywhere() if each.serves and (each.head or each) is head]


@pytest.fixture
def machine() -> Machine:
    found = stack()
    assert isinstance(found, Machine)
    return found


def pytest_configure() -> None:
    if STATE in os.environ and not stack():
        raise pytest.UsageError("The stack declares nothing that takes requests, or no `up` of it has finished.")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """What only the other kind of stack is asked."""
    other = "test_regions.py" if STATE in os.environ and isinstance(stack(), Machine) else "test_machine.py"
    return True if STATE in os.environ and collection_path.name == other else None
