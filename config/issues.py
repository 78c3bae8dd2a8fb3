"""The one shape of "this configuration is wrong": `ConfigIssue`, made by a `Rule`, collected in a `ConfigError`.

docs/reference/config-errors.md is generated from `Rule.registry`, and tests/unit/test_config_issues.py fails when a
rule has no case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic_core import PydanticCustomError

MAX_FACT = 1000
"""Characters of a value or path in a sentence. Lists of known names are shorter."""


@dataclass(frozen=True)
class ConfigIssue:
    """One thing to change in the settings."""

    rule: str
    """Id of the `Rule`."""
    path: str
    """Settings path (`infra.regions[0].node_pools[1].zones`); relative to its block until the block is known."""
    problem: str
    reason: str
    """May be empty if the problem explains itself."""
    fix: str
    """One instruction, without a period at its end."""
    source: str = ""
    """Upstream issue or document that the rule is known from; may be empty."""

    def format(self) -> str:
        """Return `PATH: PROBLEM, because REASON. FIX (SOURCE).` Path, reason and source are left out if empty."""
        path = f"{self.path}: " if self.path else ""
        reason = f", because {self.reason}" if self.reason else ""
        source = f" ({self.source})" if self.source else ""
        return f"{path}{self.problem}{reason}. {self.fix}{source}."

    def below(self, block: str) -> ConfigIssue:
        """Return the same issue with its path moved below `block`."""
        return replace(self, path=join_path(block, self.path))


def shorten(text: str) -> str:
    """Return `text` with at most MAX_FACT characters: a value of a megabyte is not repeated whole."""
    return text if len(text) <= MAX_FACT else f"{text[: MAX_FACT - 3]}..."


def join_path(block: str, path: str) -> str:
    """Return the settings path `path` below `block`; either may be empty."""
    return f"{block}.{path}" if block and path and not path.startswith("[") else block + path


@dataclass(frozen=True)
class Rule:
    """Something that settings must not say. `problem`, `reason` and `fix` are templates for `str.format`.

    `id` is stable: the settings block, then what is wrong (`infra.regions.all-drained`).
    """

    id: str
    problem: str
    reason: str
    fix: str
    source: str = ""

    registry: ClassVar[dict[str, Rule]] = {}

    def __post_init__(self) -> None:
        if self.id in Rule.registry:
            raise ValueError(f"two rules have the id {self.id}")
        Rule.registry[self.id] = self

    def issue(self, path: str, /, **facts: object) -> ConfigIssue:
        """Return the issue at `path`, with `facts` filled into the templates."""
        short = {name: shorten(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        problem, reason, fix = (text.format(**short) for text in (self.problem, self.reason, self.fix))
        return ConfigIssue(self.id, shorten(path), problem, reason, fix, self.source)

    def error(self, **facts: object) -> PydanticCustomError:
        """Return the error to raise in a pydantic validator; config/parsing.py adds the path that pydantic knows."""
        return issue_error(self.issue("", **facts))


def issue_error(issue: ConfigIssue) -> PydanticCustomError:
    """Return a pydantic error that carries `issue`, whose path is relative to the block that pydantic validates."""
    return PydanticCustomError("config_issue", "{text}", {"text": issue.format(), "issue": issue})


class ConfigError(Exception):
    """Settings that cannot work, with every issue that was found."""

    def __init__(self, issues: Sequence[ConfigIssue]) -> None:
        self.issues = tuple(dict.fromkeys(issues))
        super().__init__("\n".join(self.sentences))

    @property
    def sentences(self) -> tuple[str, ...]:
        """One line for each issue."""
        return tuple(issue.format() for issue in self.issues)

    @property
    def rules(self) -> tuple[str, ...]:
        """The rule id of each issue."""
        return tuple(issue.rule for issue in self.issues)
