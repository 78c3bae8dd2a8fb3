"""The language host's contract, with the real engine: whatever CLI `make` found runs a small program through its life.

With an official installation this tests Pulumi's own host, with a built CLI this project's (tools/language_host).
"""

from __future__ import annotations

import pytest

from paths import CHECKOUT
from tests.harness.pulumi_project import Engine, Result

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


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    made = Engine.inline(tmp_path_factory.mktemp("small"), PROGRAM)
    (made.program / "thing.py").write_text(THING)
    policy = made.work / "policy"
    policy.mkdir()
    (policy / "PulumiPolicy.yaml").write_text(f"runtime: {{name: python, options: {{virtualenv: {CHECKOUT}/.venv}}}}\n")
    (policy / "__main__.py").write_text(POLICY)
    made.init()
    made.run("config", "set", "--secret", "password", "hunter2").ok()
    return made


def setting(stack: Engine, name: str, value: str) -> None:
    stack.run("config", "set", name, value).ok()


def calls(stack: Engine) -> list[str]:
    """What the provider was asked to do since the last look."""
    log = stack.program / "calls.log"
    words = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return words


def things(result: Result) -> dict[str, str]:
    """What happened to the things; the provider itself, which the engine also lists, left out."""
    return {name: op for name, op in result.ok().changed().items() if name != "default"}


def test_a_preview_shows_what_would_be_made_and_makes_nothing(stack: Engine) -> None:
    assert things(stack.preview()) == {"first": "create", "second": "create"}
    assert calls(stack) == []


def test_up_makes_it_and_keeps_secrets_out_of_the_state(stack: Engine) -> None:
    stack.up().ok()
    assert calls(stack) == ["create here", "create at here"]
    assert stack.outputs() == {"address": "at here", "password": "hunter2"}
    assert "hunter2" not in "".join(f.read_text() for f in (stack.work / "backend").rglob("*.json"))


def test_nothing_changed_means_no_changes(stack: Engine) -> None:
    stack.preview("--expect-no-changes").ok()


def test_an_edit_updates_in_place_or_replaces_as_the_provider_says(stack: Engine) -> None:
    setting(stack, "size", "2")
    assert things(stack.up()) == {"first": "update"}
    assert calls(stack) == ["update here 2"]
    setting(stack, "place", "there")
    assert things(stack.up()) == {"first": "replace", "second": "replace"}
    assert sorted(calls(stack)) == sorted(["delete at here", "delete here", "create there", "create at there"])


def test_a_refresh_drops_what_is_gone_and_the_next_up_makes_it_again(stack: Engine) -> None:
    (stack.program / "gone there").touch()
    stack.refresh().ok()
    (stack.program / "gone there").unlink()
    stack.up().ok()
    assert "create there" in calls(stack)


def test_a_program_s_refusal_is_shown_as_it_is(stack: Engine) -> None:
    setting(stack, "broken", "yes")
    refused = stack.preview()
    assert refused.status != 0
    assert "error: write something else" in refused.text
    assert "Traceback" not in refused.text
    stack.run("config", "rm", "broken").ok()


def test_a_mandatory_policy_stops_an_up_before_the_resource_is_touched(stack: Engine) -> None:
    setting(stack, "size", "9")
    stack.policy_pack = stack.work / "policy"
    stopped = stack.up()
    stack.policy_pack = None
    assert stopped.status != 0
    assert "write a size of at most 5" in stopped.text
    assert calls(stack) == []


def test_destroy_deletes_in_reverse(stack: Engine) -> None:
    stack.destroy().ok()
    assert calls(stack) == ["delete at there", "delete there"]
