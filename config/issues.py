"""The one shape of "this configuration is wrong"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Rule:
    """Something settings may not say. `wrong`, `why` and `instead` are templates filled with the facts of the case.

    `id` is stable and dotted (`capacity.a4-on-demand`); `source` names the upstream issue or page it rests on.
    """

    id: str
    problem: str
    reason: str
    fix: str
    source: str = ""

    registry: ClassVar[dict[str, Rule]] = {}

    def __post_init__(self) -> None:
        if self.id in Rule.registry:
            raise ValueError(f"two rules are called {self.id}")
        Rule.registry[self.id] = self

    def format(self, **facts: object) -> str:
        """What a person reads: wrong, why, what to write instead, and where that is known from."""
        source = f" ({self.source})" if self.source else ""
        return f"{self.problem}: {self.reason}; {self.fix}{source}.".format(**facts)

    def error(self, **facts: object) -> PydanticCustomError:
        """The error to raise from a validator, with this rule's id as its type."""
        return PydanticCustomError(self.id, "{sentence}", {"sentence": self.format(**facts)})  # type: ignore[arg-type]


class ConfigError(Exception):
    """Settings that cannot work. `sentences` has one line for each thing to change, `rules` the ids behind them."""

    def __init__(self, sentences: Sequence[str], rules: Sequence[str] = ()) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = tuple(sentences)
        self.rules = tuple(rules)
