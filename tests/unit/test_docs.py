"""Generated pages are current, and every setting has a description."""

from pathlib import Path

import pytest

from tools.docs import pages

PAGES = pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_current(page: Path) -> None:
    assert page.read_text() == PAGES[page], "run `make docs`"


def test_every_setting_has_a_description() -> None:
    (settings,) = (content for page, content in PAGES.items() if page.name == "settings.md")
    rows = [line for line in settings.splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.rstrip(" |").endswith("|")] == []
