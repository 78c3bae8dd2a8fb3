"""Each test of a node writes its own section of docs/measurements.md, and only that one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paths import CHECKOUT
from tests.node.record import PAGE, RECORD, Section, replace_section

TWO_SECTIONS = """# Page

<!-- measured: a -->
old a
<!-- end: a -->

text

<!-- measured: b -->
old b
<!-- end: b -->
end
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(TWO_SECTIONS)
    return path


def test_a_section_replaces_its_own_lines_only(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORD, "1")
    section = Section("a", "| edit |\n|---|\n", page)
    section.row("one")
    section.row("two")
    assert page.read_text() == TWO_SECTIONS.replace("old a", "| edit |\n|---|\n| one |\n| two |")


def test_a_section_replaces_what_an_earlier_run_wrote(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORD, "1")
    for figure in ("1", "2"):
        Section("b", "| seconds |\n|---|\n", page).row(figure)
    assert page.read_text() == TWO_SECTIONS.replace("old b", "| seconds |\n|---|\n| 2 |")


def test_a_block_is_a_heading_and_a_fenced_text(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORD, "1")
    Section("b", page=page).block("title", ["line", "line"])
    assert page.read_text() == TWO_SECTIONS.replace("old b", "### title\n\n```text\nline\nline\n```")


def test_without_the_variable_nothing_is_written(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RECORD, raising=False)
    Section("a", page=page).row("one")
    assert page.read_text() == TWO_SECTIONS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- measured: a -->",
        "<!-- end: a --><!-- measured: a -->",
        TWO_SECTIONS + "<!-- end: a -->",
        TWO_SECTIONS + "<!-- measured: a -->\n<!-- end: a -->",
    ],
    ids=["no markers", "no end", "wrong order", "two ends", "two sections"],
)
def test_a_page_without_exactly_one_section_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="measured: a"):
        replace_section(text, "a", "new")


def test_every_section_of_the_page_has_a_test_that_writes_it() -> None:
    sources = "".join(path.read_text() for path in (CHECKOUT / "tests" / "node").glob("*.py"))
    written = sorted(re.findall(r'\bSection\("([a-z-]+)"', sources))
    page = PAGE.read_text()
    assert sorted(re.findall(r"<!-- measured: ([a-z-]+) -->", page)) == written
    for name in written:
        assert replace_section(page, name, "") != page
