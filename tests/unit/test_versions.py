"""Every version has one home; where a lock must repeat it, both agree."""

import re
from pathlib import Path

import pytest

import versions
from paths import CHECKOUT

LOCKS = sorted((CHECKOUT / "locks").glob("*.txt"))


def locked(lock: str, package: str) -> str:
    found = re.search(rf"^{re.escape(package)}==(\S+)", (CHECKOUT / "locks" / lock).read_text(), re.MULTILINE)
    assert found, f"{lock} has no {package}"
    return found.group(1)


def test_the_machine_runs_the_ray_that_this_stack_chose() -> None:
    assert locked("ray.txt", "ray") == versions.RAY
    assert locked("uv.txt", "uv") == versions.UV


def test_tests_run_on_the_program_s_own_packages() -> None:
    program = dict(re.findall(r"^(\S+)==(\S+)", (CHECKOUT / "locks" / "program.txt").read_text(), re.MULTILINE))
    dev = dict(re.findall(r"^(\S+)==(\S+)", (CHECKOUT / "locks" / "dev.txt").read_text(), re.MULTILINE))
    assert {
        name: (program[name], dev[name]) for name in program.keys() & dev.keys() if program[name] != dev[name]
    } == {}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_locks_have_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(r"^\S+==.+\n.*", text, re.MULTILINE)
    assert pins
    assert [pin for pin in pins if "--hash=sha256:" not in pin] == []
    assert "http" not in re.sub(r"^\S*http\S*==", "", text, flags=re.MULTILINE)


def test_the_floors_are_below_the_choices() -> None:
    def numbers(version: str) -> list[int]:
        return [int(n) for n in version.split(".")]

    assert numbers(versions.RAY_FLOOR) <= numbers(versions.RAY)
    assert versions.PYTHON_FLOOR < versions.PYTHON_CEILING
