"""An environment in a cloud is taken down by somebody who types its name."""

from __future__ import annotations

import io

import pytest

from tools import stack
from tools.console import Stop


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def touched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What got past the question."""
    found: list[str] = []

    def ready(name: str, **_: bool) -> None:
        found.append(name)
        raise InterruptedError

    monkeypatch.delenv("YES", raising=False)
    monkeypatch.setattr(stack, "_ready", ready)
    return found


def answered(monkeypatch: pytest.MonkeyPatch, typed: str, name: str = "prod") -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed + "\n"))
    stack.down(name)


@pytest.mark.parametrize("typed", ["", "yes", "staging", "PROD"])
def test_another_word_touches_nothing(monkeypatch: pytest.MonkeyPatch, touched: list[str], typed: str) -> None:
    with pytest.raises(Stop, match="nothing was touched"):
        answered(monkeypatch, typed)
    assert touched == []


def test_its_name_goes_on(monkeypatch: pytest.MonkeyPatch, touched: list[str]) -> None:
    with pytest.raises(InterruptedError):
        answered(monkeypatch, "prod")
    assert touched == ["prod"]


def test_nobody_there_is_refused(monkeypatch: pytest.MonkeyPatch, touched: list[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("prod\n"))
    with pytest.raises(Stop, match="YES=1"):
        stack.down("prod")
    assert touched == []


def test_a_pipeline_says_so_in_advance(monkeypatch: pytest.MonkeyPatch, touched: list[str]) -> None:
    monkeypatch.setenv("YES", "1")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(InterruptedError):
        stack.down("prod")
    assert touched == ["prod"]


def test_this_computers_stack_is_not_asked_about(monkeypatch: pytest.MonkeyPatch, touched: list[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(InterruptedError):
        stack.down("local")
    assert touched == ["local"]
