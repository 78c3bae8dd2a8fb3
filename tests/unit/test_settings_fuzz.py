"""Any edit of a shipped file gives valid settings or a `ConfigError` with a sentence: no traceback, no lost block.

`RAYLLM_FUZZ_EDITS=100000 python -m pytest tests/unit/test_settings_fuzz.py` tries more than the 5,000 of the unit tier.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import stack_file
from config.google.infra import GoogleInfra
from config.google.warnings import find_warnings
from config.issues import ConfigError
from config.stack import StackConfig, check
from paths import CHECKOUT
from tests.unit.case import ABSENT, blocks, edited

STACKS = ("dev", "local", "prod", "staging")
EDITS = int(os.environ.get("RAYLLM_FUZZ_EDITS", "5000"))
FUZZ = settings(
    max_examples=EDITS // len(STACKS) // 5 * 4,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
FUZZ_FILES = settings(FUZZ, max_examples=EDITS // len(STACKS) // 5)

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 7, 65, 10**6, 10**18, 10**30, -(10**30), 0.5, 1e308, float("inf"), float("nan")),
    *(
        "",
        " ",
        "yes",
        "null",
        "1",
        "2027-06-30",
        "2027-06-30 00:00:00 +0000 UTC",
        "9999-12-31",
        "0001-01-01",
        "\0",
        "é",
    ),
    *(
        "x" * 5000,
        "../..",
        "/" + "a" * 5000,
        "/proc/1/root",
        "~",
        "gs://",
        "bucket:",
        "pvc:a/b",
        "{x}",
        "{0}",
        "%s",
        "\ud800",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"kind": "x"},
        {"kind": None},
        {"kind": ["a"]},
        {"": 1},
        {"secure": "v1:a"},
        [{"name": "a"}],
    ),
]


def paths_of(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of each setting, in the form of `edited`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if "." not in str(key):
            yield (here := f"{path}.{key}".lstrip("."))
            yield from paths_of(inner, here)


def misspelt(draw: st.DrawFn, name: str) -> str:
    """Return `name` with a letter less, more or exchanged."""
    at = draw(st.integers(0, max(len(name) - 1, 0)))
    return draw(st.sampled_from([name[:at] + name[at + 1 :], name[:at] + "x" + name[at:], name.upper(), name + "s"]))


@st.composite
def edits(draw: st.DrawFn, stack: str) -> dict[str, Any]:
    """Return the blocks of a stack after one to three edits: drop, retype, misspell, duplicate, exchange."""
    raw = blocks(stack)
    for _ in range(draw(st.integers(1, 3))):
        if not (known := sorted(paths_of(raw))):
            break
        path = draw(st.sampled_from(known))
        *parents, last = path.split(".")
        parent = at(raw, parents)
        value = at(raw, [*parents, last])
        kind = draw(st.sampled_from(["drop", "retype", "misspell", "duplicate", "exchange"]))
        if kind == "drop":
            raw = edited(raw, {path: ABSENT})
        elif kind == "retype":
            raw = edited(raw, {path: draw(st.sampled_from(ODD_VALUES) | st.integers() | st.text(max_size=8))})
        elif kind == "misspell" and isinstance(parent, dict):
            raw = edited(raw, {path: ABSENT})
            raw = edited(raw, {".".join([*parents, misspelt(draw, last).replace(".", "")]): value})
        elif kind == "duplicate" and isinstance(parent, list):
            raw = edited(raw, {".".join([*parents, str(len(parent))]): value})
        else:
            other = draw(st.sampled_from(known))
            raw = edited(raw, {path: at(raw, other.split("."))})
    return raw


def at(raw: Any, steps: list[str]) -> Any:
    for step in steps:
        raw = raw[int(step)] if isinstance(raw, list) else raw[step]
    return raw


def outcome(stack: str, raw: Any) -> StackConfig | None:
    """Return the settings, or None if they are refused with at least one sentence that a terminal can print."""
    try:
        found = check(stack, raw)
    except ConfigError as error:
        assert_readable(error.sentences)
        return None
    if isinstance(found.infra, GoogleInfra):
        list(find_warnings(found.infra))
    return found


def assert_readable(sentences: Sequence[str]) -> None:
    assert sentences
    for sentence in sentences:
        assert sentence.endswith(".")
        assert len(sentence) < 4500, "a long value is repeated"
        sentence.encode()


def read_blocks(file: Path) -> dict[str, Any] | None:
    """Return the blocks of a file, or None if it is refused."""
    try:
        return dict(stack_file.read(file).blocks)
    except ConfigError:
        return None


def assert_nothing_is_lost(found: StackConfig, raw: dict[str, Any]) -> None:
    """Each block, region and model that was written is in the settings."""
    assert set(raw) == {"infra", "serving"}
    assert (found.serving is None) == (raw["serving"] is None)
    if isinstance(found.infra, GoogleInfra):
        assert [region.name for region in found.infra.regions] == [each["name"] for each in raw["infra"]["regions"]]
        pools = [len(region.node_pools) for region in found.infra.regions]
        assert pools == [len(each["node_pools"]) for each in raw["infra"]["regions"]]
    for read, written in ((found.infra, raw["infra"]), (found.serving, raw["serving"])):
        assert read is None or set(written) <= set(type(read).model_fields)


@pytest.mark.parametrize("stack", STACKS)
def test_every_edit_is_valid_or_refused_with_a_sentence(stack: str) -> None:
    @FUZZ
    @given(edits(stack))
    def run(raw: dict[str, Any]) -> None:
        if (found := outcome(stack, raw)) is not None:
            assert_nothing_is_lost(found, raw)

    run()


@pytest.mark.parametrize("stack", STACKS)
def test_every_edit_of_a_file_s_text_is_valid_or_refused_with_a_sentence(stack: str, tmp_path: Path) -> None:
    """Lines that are dropped, doubled or indented otherwise, and bytes that are not UTF-8."""
    text = (CHECKOUT / f"Pulumi.{stack}.yaml").read_bytes()
    lines = text.splitlines(keepends=True)
    file = tmp_path / "Pulumi.x.yaml"

    @FUZZ_FILES
    @given(st.integers(0, len(lines) - 1), st.integers(0, len(text)), st.sampled_from(range(5)), st.binary(max_size=3))
    def run(line: int, place: int, kind: int, noise: bytes) -> None:
        changed = (
            b"".join([*lines[:line], *lines[line + 1 :]]),
            b"".join([*lines[:line], lines[line], *lines[line:]]),
            b"".join([*lines[:line], b"  " + lines[line], *lines[line + 1 :]]),
            text[:place] + noise + text[place:],
            text[:place],
        )[kind]
        file.write_bytes(changed)
        blocks_read = read_blocks(file)
        if blocks_read is not None and (config := outcome(stack, blocks_read)) is not None:
            assert_nothing_is_lost(config, blocks_read)

    run()
