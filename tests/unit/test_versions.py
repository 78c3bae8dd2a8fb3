"""Every version is written once. Where a lock repeats it, both agree."""

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

import versions
from paths import CHECKOUT
from tests.unit.imports import imported_files, third_party_packages
from tools.bootstrap.venvs import PROGRAM_GROUPS

LOCKS = sorted((CHECKOUT / "locks").glob("*.txt"))


def locked(lock: str, package: str) -> str:
    found = re.search(rf"^{re.escape(package)}==(\S+)", (CHECKOUT / "locks" / lock).read_text(), re.MULTILINE)
    assert found, f"{lock} has no {package}"
    return found.group(1)


def test_stack_local_runs_the_ray_that_this_stack_chose() -> None:
    assert locked("ray.txt", "ray") == versions.RAY
    assert locked("uv.txt", "uv") == versions.UV


def test_the_groups_of_one_environment_agree_on_every_version() -> None:
    found: dict[str, set[str]] = {}
    for group in PROGRAM_GROUPS:
        text = (CHECKOUT / "locks" / f"{group}.txt").read_text()
        for package, version in re.findall(r"^(\S+)==(\S+)", text, re.MULTILINE):
            found.setdefault(package, set()).add(version)
    assert {package: pins for package, pins in found.items() if len(pins) > 1} == {}


@pytest.mark.parametrize(
    ("groups", "starts"),
    [
        (["program"], ["__main__.py", "policies/__main__.py", "tools/cli.py", "tools/preview/*.py", "tools/[dp]*.py"]),
        (["program", "verify"], ["verify/*.py"]),
        (["program", "rehearsal"], ["rehearsal/**/*.py"]),
    ],
    ids=["program", "verify", "rehearsal"],
)
def test_a_group_holds_the_packages_that_its_commands_import(groups: list[str], starts: list[str]) -> None:
    """So that a user of these commands installs no more than their groups, and nothing is missing there."""
    files = imported_files(*(file for pattern in starts for file in CHECKOUT.glob(pattern)))
    distributions = packages_distributions()
    pins = {
        canonicalize_name(package)
        for group in groups
        for package in re.findall(r"^([^=\s]+)==", (CHECKOUT / "locks" / f"{group}.txt").read_text(), re.MULTILINE)
    }
    imported = third_party_packages(*files)
    assert imported
    missing = {name for name in imported if not {canonicalize_name(d) for d in distributions.get(name, [name])} & pins}
    assert missing == set()


def test_there_is_one_http_client() -> None:
    """lightkube's client is one of httpx2, so the program declares that one and no other."""
    assert locked("program.txt", "httpx2")
    assert "\nhttpx==" not in (CHECKOUT / "locks" / "program.txt").read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_locks_have_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(r"^\S+==.+\n.*", text, re.MULTILINE)
    assert pins
    assert [pin for pin in pins if "--hash=sha256:" not in pin] == []
    assert "http" not in re.sub(r"^\S*http\S*==", "", text, flags=re.MULTILINE)


def test_the_floors_are_below_the_choices() -> None:
    assert Version(versions.RAY_FLOOR) <= Version(versions.RAY)
    assert versions.PYTHON_FLOOR < versions.PYTHON_CEILING
