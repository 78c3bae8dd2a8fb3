"""The language host's contract, with the real engine: whatever CLI `make` found runs a small program through its life.

With an official installation this tests Pulumi's own host, with a built CLI this project's (tools/language_host).
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = """name: small
runtime: {{name: python, options: {{toolchain: pip, virtualenv: {venv}}}}}
"""
PROGRAM = """
import pulumi
from thing import Thing

config = pulumi.Config()
if config.get("broken"):
    raise pulumi.RunError("write something else")
thing = Thing("first", config.get("place") or "here", config.get_int("size") or 1)
Thing("second", thing.address, 1)
pulumi.export("address", thing.address)
pulumi.export("password", config.require_secret("password"))
"""
THING = """
import pathlib
import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

LOG = pathlib.Path(__file__).parent / "calls.log"


def log(word):
    with LOG.open("a") as f:
        f.write(word + "\\n")


class Provider(ResourceProvider):
    def create(self, props):
        log(f"create {props['place']}")
        return CreateResult(props["place"], {**props, "address": f"at {props['place']}"})

    def diff(self, _id, olds, news):
        changed = [k for k in ("place", "size") if olds.get(k) != news.get(k)]
        replaced = [k for k in changed if k == "place"]
        return DiffResult(changes=bool(changed), replaces=replaced, delete_before_replace=True)

    def update(self, _id, olds, news):
        log(f"update {news['place']} {news['size']:.0f}")
        return UpdateResult({**news, "address": olds["address"]})

    def read(self, id_, props):
        return ReadResult("" if (LOG.parent / f"gone {id_}").exists() else id_, props)

    def delete(self, id_, _props):
        log(f"delete {id_}")


class Thing(Resource, module="small", name="Thing"):
    address: pulumi.Output[str]

    def __init__(self, name, place, size):
        super().__init__(Provider(), name, {"place": place, "size": size, "address": None})
"""
POLICY = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy


def small(args, report):
    if args.props.get("size", 0) > 5:
        report("write a size of at most 5")


PolicyPack("small", [ResourceValidationPolicy("size", "Things are small", small, EnforcementLevel.MANDATORY)])
"""


@dataclass(frozen=True)
class Stack:
    folder: Path

    def pulumi(self, *words: str, ok: bool = True) -> str:
        run = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env={
                **os.environ,
                "PULUMI_HOME": str(self.folder / "home"),
                "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
                "PULUMI_CONFIG_PASSPHRASE": "x",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (run.returncode == 0) is ok, run.stdout + run.stderr
        return run.stdout + run.stderr

    def calls(self) -> list[str]:
        """What the provider was asked to do since the last look."""
        log = self.folder / "calls.log"
        words = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return words


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("small")
    (folder / "state").mkdir()
    (folder / "Pulumi.yaml").write_text(PROJECT.format(venv=CHECKOUT / ".venv"))
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "thing.py").write_text(THING)
    (folder / "policy").mkdir()
    (folder / "policy" / "PulumiPolicy.yaml").write_text(
        PROJECT.format(venv=CHECKOUT / ".venv").replace("name: small\n", "")
    )
    (folder / "policy" / "__main__.py").write_text(POLICY)
    made = Stack(folder)
    made.pulumi("stack", "init", "test")
    made.pulumi("config", "set", "--secret", "password", "hunter2")
    return made


def test_a_preview_shows_what_would_be_made_and_makes_nothing(stack: Stack) -> None:
    steps = json.loads(stack.pulumi("preview", "--json"))["changeSummary"]
    assert steps == {"create": 3}
    assert stack.calls() == []


def test_up_makes_it_and_keeps_secrets_out_of_the_state(stack: Stack) -> None:
    stack.pulumi("up", "--yes", "--skip-preview")
    assert stack.calls() == ["create here", "create at here"]
    assert json.loads(stack.pulumi("stack", "output", "--json"))["address"] == "at here"
    assert "hunter2" not in "".join(f.read_text() for f in (stack.folder / "state").rglob("*.json"))


def test_nothing_changed_means_no_changes(stack: Stack) -> None:
    stack.pulumi("preview", "--expect-no-changes")


def test_an_edit_updates_in_place_or_replaces_as_the_provider_says(stack: Stack) -> None:
    stack.pulumi("config", "set", "size", "2")
    stack.pulumi("up", "--yes", "--skip-preview")
    assert stack.calls() == ["update here 2"]
    stack.pulumi("config", "set", "place", "there")
    stack.pulumi("up", "--yes", "--skip-preview")
    assert sorted(stack.calls()) == sorted(["delete at here", "delete here", "create there", "create at there"])


def test_a_refresh_drops_what_is_gone_and_the_next_up_makes_it_again(stack: Stack) -> None:
    (stack.folder / "gone there").touch()
    stack.pulumi("refresh", "--yes", "--skip-preview")
    (stack.folder / "gone there").unlink()
    stack.pulumi("up", "--yes", "--skip-preview")
    assert "create there" in stack.calls()


def test_a_program_s_refusal_is_shown_as_it_is(stack: Stack) -> None:
    stack.pulumi("config", "set", "broken", "yes")
    printed = stack.pulumi("preview", ok=False)
    assert "error: write something else" in printed
    assert "Traceback" not in printed
    stack.pulumi("config", "rm", "broken")


def test_a_mandatory_policy_stops_an_up_before_the_resource_is_touched(stack: Stack) -> None:
    stack.pulumi("config", "set", "size", "9")
    printed = stack.pulumi("up", "--yes", "--policy-pack", "policy", ok=False)
    assert "write a size of at most 5" in printed
    assert stack.calls() == []


def test_destroy_deletes_in_reverse(stack: Stack) -> None:
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert stack.calls() == ["delete at there", "delete there"]
