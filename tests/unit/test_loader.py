"""What is read of a stack's file."""

import json
from typing import NoReturn

import pulumi
import pytest

from config import loader
from config.issues import ConfigError
from tests.unit.case import blocks


class Nothing(pulumi.runtime.Mocks):
    """No resource is made here."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> NoReturn:
        raise AssertionError(args.name)

    def call(self, args: pulumi.runtime.MockCallArgs) -> NoReturn:
        raise AssertionError(args.token)


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi.runtime.set_mocks(Nothing(), project="rayllm", stack="local")
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(["rayllm:huggingFaceToken"]))


def given(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    written = {f"rayllm:{name}": json.dumps(block) for name, block in blocks("local").items()}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({**written, "pulumi:tags": "{}", **more}))


def test_a_misspelt_block_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **{"rayllm:servng": "{}"})
    with pytest.raises(ConfigError, match=r"servng: unknown setting.* Write `serving` instead"):
        loader.read()


def test_the_token_is_taken_as_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **{"rayllm:huggingFaceToken": "hf_" + 30 * "a"})
    assert loader.read()[1] is not None


def test_the_token_is_not_taken_in_clear_text(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **{"rayllm:huggingFaceToken": "hf_" + 30 * "a"})
    monkeypatch.delenv("PULUMI_CONFIG_SECRET_KEYS")
    with pytest.raises(ConfigError, match="huggingFaceToken: holds") as refused:
        loader.read()
    assert "hf_" not in str(refused.value)
