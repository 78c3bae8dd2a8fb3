"""The result of one check, and its form on the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Outcome of a check, in the words of the console."""

    OK = "ok"
    FAILED = "FAILED"
    WARNING = "warning"
    NOT_RUN = "not run"
    """The check needs something that is missing; `detail` names it."""


@dataclass(frozen=True)
class CheckResult:
    """A check's name, the observed values, and whether they are as they should be."""

    name: str
    detail: str
    status: Status

    @property
    def ok(self) -> bool:
        """Whether the observed values are as they should be."""
        return self.status is Status.OK


def result(name: str, detail: str, ok: bool) -> CheckResult:
    """Return a result with status OK or FAILED."""
    return CheckResult(name, detail, Status.OK if ok else Status.FAILED)


def format_results(results: Sequence[CheckResult]) -> Iterator[str]:
    """Yield one line for each result, in columns."""
    width = max((len(each.name) for each in results), default=0)
    status_width = max((len(each.status) for each in results), default=0)
    for each in results:
        yield f"  {each.status:{status_width}}  {each.name:{width}}  {each.detail}"
