"""What is read of a stack's file."""

import json
from pathlib import Path
from typing import NoReturn

import pulumi
import pytest

from config import loader, stack_file
from config.issues import ConfigError
from config.stack import check
from paths import CHECKOUT
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


@pytest.mark.parametrize(
    ("other", "says"),
    [({}, r"serving: missing.*rayllm:serving: null"), ({"raylm:serving": "{}"}, "in place of `raylm:serving`")],
)
def test_a_file_without_serving_is_refused(monkeypatch: pytest.MonkeyPatch, other: dict[str, str], says: str) -> None:
    """GPUs that nothing serves on cost as much as GPUs that serve."""
    written = {"rayllm:infra": json.dumps(blocks("local")["infra"])}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({**written, **other}))
    with pytest.raises(ConfigError, match=says):
        loader.read()


def test_null_is_accepted_where_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi.runtime.set_mocks(Nothing(), project="rayllm", stack="prod")
    infra = json.dumps(blocks("prod")["infra"])
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"rayllm:infra": infra, "rayllm:serving": ""}))  # Pulumi's null
    assert loader.read()[0].serving is None


FILE = """\
config:
  rayllm:infra: {kind: local, data_dir: "/tmp/a"}
  rayllm:serving: null
"""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "infra: missing"),
        (b"config: [1]\n", "infra: missing"),
        (b"cofnig: {}\n", "infra: missing"),
        (FILE.encode() + "  rayllm:owner: José\n".encode("latin-1"), "line 4 has the byte 0xe9, which is not UTF-8"),
        (FILE.encode() + b"  rayllm:infra: {}\n", "`rayllm:infra` stands twice in the same block, in lines 2 and 4"),
        (FILE.encode() + b"  rayllm:huggingFaceToken: hf_abc\n", "huggingFaceToken: holds"),
        (FILE.replace("kind: local", "kind: local, protect: yes").encode(), "protect"),
        (FILE.encode() + b"\t- x\n", "cannot be read"),
        (b"config: *missing\n", "cannot be read"),
    ],
)
def test_a_file_that_the_cli_refuses_is_refused_with_a_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        checked(file)
    assert says in str(refused.value)


def checked(file: Path) -> None:
    found = stack_file.read(file)
    check("local", found.blocks, has_hugging_face_token=found.has_hugging_face_token)


@pytest.mark.parametrize("name", ["Pulumi.absent.yaml", f"Pulumi.{'x' * 400}.yaml", ""])
def test_a_file_that_cannot_be_opened_is_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        stack_file.read(tmp_path / name)


def test_values_are_read_as_the_cli_reads_them(tmp_path: Path) -> None:
    """Measured with Pulumi 3: gopkg.in/yaml.v3, and Go's form of a time."""
    file = tmp_path / "Pulumi.prod.yaml"
    values = "{a: yes, b: on, c: 1:30, d: 010, e: 1_000, f: 2027-06-30, g: True, h: ~, i: 0x1f, j: 1.5, k: '1'}"
    file.write_text(f"config:\n  rayllm:serving: {values}\n  rayllm:huggingFaceToken: {{secure: v1:abc}}\n")
    found = stack_file.read(file)
    assert found.has_hugging_face_token
    assert found.blocks == {
        "serving": {
            **{"a": "yes", "b": "on", "c": "1:30", "d": 8, "e": 1000, "f": "2027-06-30 00:00:00 +0000 UTC"},
            **{"g": True, "h": None, "i": 31, "j": 1.5, "k": "1"},
        }
    }


@pytest.mark.parametrize("stack", ["dev", "local", "prod", "staging"])
def test_the_shipped_files_are_read_alike(stack: str) -> None:
    found = stack_file.read(CHECKOUT / f"Pulumi.{stack}.yaml")
    assert found.blocks == blocks(stack)
