"""Links, anchors and paths in the documentation resolve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from paths import CHECKOUT

PAGES = sorted(
    [
        *CHECKOUT.glob("*.md"),
        *(CHECKOUT / "docs").rglob("*.md"),
        *(CHECKOUT / "rehearsal").rglob("*.md"),
        *(CHECKOUT / "tests").rglob("*.md"),
    ]
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
PRODUCT = ("config", "infra", "workloads", "policies", "verify", "tools", "rehearsal")
PACKAGES = (*PRODUCT, "tests", "docs", "locks", ".github")
PATH = re.compile(rf"(?:(?:{'|'.join(map(re.escape, PACKAGES))})/[\w./*<>-]*|[\w.<>-]+\.(?:py|md|toml|yaml))")
CURRENT_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""Pages that name no file that is gone."""
SOURCES = [
    path
    for folder in (CHECKOUT, *(CHECKOUT / package for package in (*PRODUCT, ".github")))
    for path in (folder.glob("*") if folder == CHECKOUT else folder.rglob("*"))
    if path.suffix in (".py", ".yaml", ".yml", ".toml")
]
FILE_NAMES = {path.name for package in PACKAGES for path in (CHECKOUT / package).rglob("*")}
MIN_TASKS = 20


def text(page: Path) -> str:
    """Return the page without its code blocks."""
    return CODE_BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_paths(content: str) -> Iterator[str]:
    """Yield the paths of this repository that stand in backticks."""
    for code in CODE.findall(content):
        if PATH.fullmatch(code):
            yield code


def exists(path: str) -> bool:
    """Return whether a path exists, or a file of that name where no folder is given; `<stack>` stands for any name."""
    pattern = re.sub(r"<[^>]+>", "*", path.rstrip("/"))
    return path in FILE_NAMES or any(CHECKOUT.glob(pattern))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_link_resolves(page: Path) -> None:
    broken = list[str]()
    for link in LINK.findall(text(page)):
        if re.match(r"[a-z]+:", link):
            continue  # another site
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", CURRENT_PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_named_path_exists(page: Path) -> None:
    assert [path for path in named_paths(text(page)) if not exists(path)] == []


def test_every_page_that_the_code_names_exists() -> None:
    named = {
        (str(source.relative_to(CHECKOUT)), page)
        for source in SOURCES
        for page in re.findall(r"docs/[\w/.-]+\.(?:md|svg)", source.read_text())
    }
    assert {(source, page) for source, page in named if not (CHECKOUT / page).exists()} == set()


def test_contributing_answers_each_task_with_a_file() -> None:
    page = (CHECKOUT / "CONTRIBUTING.md").read_text()
    _, _, rest = page.partition("| task | answer |\n|---|---|\n")
    rows = [row.strip("|").split("|") for row in rest.partition("\n\n")[0].splitlines()]
    assert len(rows) >= MIN_TASKS
    assert [task.strip() for task, answer in rows if not list(named_paths(answer))] == []


def test_the_map_of_contributing_has_a_row_for_every_module() -> None:
    _, _, rest = (CHECKOUT / "CONTRIBUTING.md").read_text().partition("## Map\n")
    rows = re.findall(r"^\| (.+?) \|", rest.partition("\n## ")[0], re.MULTILINE)
    mapped = {path.rstrip("/") for row in rows for path in named_paths(row)}
    modules = (path.relative_to(CHECKOUT) for package in PRODUCT for path in (CHECKOUT / package).rglob("*.py"))
    missing = {str(module) for module in modules if mapped.isdisjoint(map(str, (module, *module.parents)))}
    assert {module for module in missing if not module.endswith("__init__.py")} == set()
