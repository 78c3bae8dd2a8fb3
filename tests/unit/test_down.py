"""`make down` of a cloud stack asks for its name, and checks the project of its state."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tools import cli
from tools.bootstrap.console import CliError
from tools.stack_context import StackContext


class Terminal(io.StringIO):
    """A terminal with input."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def touched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the stacks that `down` went on with after the question."""
    found: list[str] = []

    def ready(name: str, **_: bool) -> None:
        found.append(name)
        raise InterruptedError

    monkeypatch.delenv("YES", raising=False)
    monkeypatch.setattr(cli, "_prepare", ready)
    return found


def answered(monkeypatch: pytest.MonkeyPatch, typed: str, name: str = "prod") -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed + "\n"))
    cli.down(name)


@pytest.mark.parametrize("typed", ["", "yes", "staging", "PROD"])
def test_a_wrong_name_changes_nothing(monkeypatch: pytest.MonkeyPatch, touched: list[str], typed: str) -> None:
    with pytest.raises(CliError, match="Nothing was changed"):
        answered(monkeypatch, typed)
    assert touched == []


def test_the_right_name_continues(monkeypatch: pytest.MonkeyPatch, touched: list[str]) -> None:
    with pytest.raises(InterruptedError):
        answered(monkeypatch, "prod")
    assert touched == ["prod"]


def test_without_a_terminal_it_refuses(monkeypatch: pytest.MonkeyPatch, touched: list[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("prod\n"))
    with pytest.raises(CliError, match="YES=prod"):
        cli.down("prod")
    assert touched == []


@pytest.mark.parametrize("yes", ["1", "staging"])
def test_a_yes_for_another_command_or_stack_does_not_count(
    monkeypatch: pytest.MonkeyPatch, touched: list[str], yes: str
) -> None:
    monkeypatch.setenv("YES", yes)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CliError, match="YES=prod"):
        cli.down("prod")
    assert touched == []


def test_a_pipeline_confirms_with_the_name(monkeypatch: pytest.MonkeyPatch, touched: list[str]) -> None:
    monkeypatch.setenv("YES", "prod")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(InterruptedError):
        cli.down("prod")
    assert touched == ["prod"]


def test_stack_local_needs_no_confirmation(monkeypatch: pytest.MonkeyPatch, touched: list[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(InterruptedError):
        cli.down("local")
    assert touched == ["local"]


def destroyed(monkeypatch: pytest.MonkeyPatch, *projects: str, named: str = "acme-prod") -> list[str]:
    """Return what `make down STACK=prod` runs if the state has providers of `projects` and the file names `named`."""
    ran: list[str] = []
    providers = [{"type": cli.GOOGLE_PROVIDER, "inputs": {"project": each}} for each in projects]
    state = {"deployment": {"resources": [{"type": "pulumi:pulumi:Stack"}, *providers]} if projects else None}
    answers = {"export": json.dumps(state), "get": f"{named}\n"}

    def destroy(command: str, *_: object) -> int:
        ran.append(command)
        return 0

    monkeypatch.setenv("YES", "prod")
    monkeypatch.setattr(cli, "_prepare", lambda *_, **__: StackContext({}, config_file=Path("a-copy.yaml")))
    monkeypatch.setattr(cli, "_pulumi_output", lambda words, _: answers[words[1]])
    monkeypatch.setattr(cli, "_pulumi", destroy)
    cli.down("prod")
    return ran


@pytest.mark.parametrize("projects", [(), ("acme-prod",), ("acme-prod", "acme-prod")])
def test_a_state_of_the_project_that_the_file_names_is_destroyed(
    monkeypatch: pytest.MonkeyPatch, projects: tuple[str, ...]
) -> None:
    assert destroyed(monkeypatch, *projects) == ["destroy"]


@pytest.mark.parametrize("projects", [("acme-dev",), ("acme-dev", "acme-prod")])
def test_a_state_of_another_project_is_refused(monkeypatch: pytest.MonkeyPatch, projects: tuple[str, ...]) -> None:
    with pytest.raises(CliError, match=r"belongs to project acme-dev.* names acme-prod\. Nothing was changed"):
        destroyed(monkeypatch, *projects)
