"""The language host under the real engine: the CLI that `make` found creates, changes and deletes a small program.

With an official installation this tests Pulumi's own host; with a built CLI, this project's
(tools/bootstrap/language_host.py).
"""

from __future__ import annotations

import pytest

from paths import CHECKOUT
from tests.harness.pulumi_project import CommandResult, PulumiProject

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
def stack(tmp_path_factory: pytest.TempPathFactory) -> PulumiProject:
    created = PulumiProject.from_source(tmp_path_factory.mktemp("small"), PROGRAM)
    (created.program / "thing.py").write_text(THING)
    policy = created.work / "policy"
    policy.mkdir()
    (policy / "PulumiPolicy.yaml").write_text(f"runtime: {{name: python, options: {{virtualenv: {CHECKOUT}/.venv}}}}\n")
    (policy / "__main__.py").write_text(POLICY)
    created.init()
    created.run("config", "set", "--secret", "password", "hunter2").ok()
    return created


def set_config(stack: PulumiProject, name: str, value: str) -> None:
    stack.run("config", "set", name, value).ok()


def provider_calls(stack: PulumiProject) -> list[str]:
    """Return the calls of the provider since the last time."""
    log = stack.program / "calls.log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def thing_changes(result: CommandResult) -> dict[str, str]:
    """Return the changes of the things, without those of their provider."""
    return {name: op for name, op in result.ok().changes().items() if name != "default"}


def test_a_preview_shows_the_creates_and_creates_nothing(stack: PulumiProject) -> None:
    assert thing_changes(stack.preview()) == {"first": "create", "second": "create"}
    assert provider_calls(stack) == []


def test_up_creates_and_encrypts_secrets_in_the_state(stack: PulumiProject) -> None:
    stack.up().ok()
    assert provider_calls(stack) == ["create here", "create at here"]
    assert stack.outputs() == {"address": "at here", "password": "hunter2"}
    assert "hunter2" not in "".join(f.read_text() for f in (stack.work / "backend").rglob("*.json"))


def test_a_preview_without_edits_has_no_changes(stack: PulumiProject) -> None:
    stack.preview("--expect-no-changes").ok()


def test_an_edit_updates_or_replaces_as_the_provider_decides(stack: PulumiProject) -> None:
    set_config(stack, "size", "2")
    assert thing_changes(stack.up()) == {"first": "update"}
    assert provider_calls(stack) == ["update here 2"]
    set_config(stack, "place", "there")
    assert thing_changes(stack.up()) == {"first": "replace", "second": "replace"}
    assert sorted(provider_calls(stack)) == sorted(["delete at here", "delete here", "create there", "create at there"])


def test_a_refresh_removes_a_missing_resource_and_the_next_up_creates_it_again(stack: PulumiProject) -> None:
    (stack.program / "gone there").touch()
    stack.refresh().ok()
    (stack.program / "gone there").unlink()
    stack.up().ok()
    assert "create there" in provider_calls(stack)


def test_a_run_error_of_the_program_is_shown_without_a_traceback(stack: PulumiProject) -> None:
    set_config(stack, "broken", "yes")
    refused = stack.preview()
    assert refused.status != 0
    assert "error: write something else" in refused.text
    assert "Traceback" not in refused.text
    stack.run("config", "rm", "broken").ok()


def test_a_mandatory_policy_stops_an_up_before_the_resource_changes(stack: PulumiProject) -> None:
    set_config(stack, "size", "9")
    stack.policy_pack = stack.work / "policy"
    stopped = stack.up()
    stack.policy_pack = None
    assert stopped.status != 0
    assert "write a size of at most 5" in stopped.text
    assert provider_calls(stack) == []


def test_destroy_deletes_in_reverse_order(stack: PulumiProject) -> None:
    stack.destroy().ok()
    assert provider_calls(stack) == ["delete at there", "delete there"]
