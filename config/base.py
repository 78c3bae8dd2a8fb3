"""Base class and field types of every settings block: frozen models that reject unknown keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from ipaddress import IPv4Network
from typing import Annotated, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

from config.issues import ConfigIssue, issue_error


class Settings(BaseModel):
    """Base of every settings model. A field's docstring is its line in docs/reference/settings.md."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, protected_namespaces=()
    )


M = TypeVar("M", bound=Settings)


def raise_issues(model: M, issues: Iterator[ConfigIssue]) -> M:
    """Return `model`, or raise every issue at once. Paths are relative to the block. For model validators."""
    if errors := [InitErrorDetails(type=issue_error(issue), loc=(), input=None) for issue in issues]:
        raise ValidationError.from_exception_data(type(model).__name__, errors)
    return model


def matches(pattern: str, expected: str) -> AfterValidator:
    """Return a validator of text that must match `pattern` as a whole. The error tells the user: Write `expected`."""
    whole = re.compile(pattern)

    def check(text: str) -> str:
        if not whole.fullmatch(text):
            raise format_error(expected)
        return text

    return AfterValidator(check)


HOSTNAME = r"(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])"
HOSTNAME_WORDS = (
    "a host name in lowercase letters such as llm.example.com, without scheme, port or *, and without a dot at the end"
)


def format_error(expected: str) -> PydanticCustomError:
    """Return the error for a value of the wrong form. config/parsing.py adds path and value."""
    return PydanticCustomError("form", "{expected}", {"expected": expected})


def _day(value: object, _: object) -> date:
    """Accept a date, and the time at midnight that the CLI makes of a date without quotes (Go's time.Time.String)."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).removesuffix("T00:00:00Z").removesuffix(" 00:00:00 +0000 UTC"))
    except ValueError:
        raise format_error('a date such as "2027-06-30"') from None


def _cidr(value: object, _: object) -> IPv4Network:
    try:
        if isinstance(value, str | IPv4Network):
            return IPv4Network(value)
    except ValueError:
        pass
    raise format_error("an IPv4 range such as 10.0.0.0/16, with no bit set after the prefix")


Day = Annotated[date, WrapValidator(_day)]
Cidr = Annotated[IPv4Network, WrapValidator(_cidr)]
