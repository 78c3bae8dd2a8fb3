"""What every settings block shares: frozen models, no unknown keys, and refusals that say what to write instead.

A `Rule` is one thing that settings refuse. Rules are plain data:
docs/reference/config-errors.md is generated from them, and
tests/unit/test_config_issues.py fails when one has no case.
"""

from __future__ import annotations

import re
from datetime import date
from ipaddress import IPv4Network
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, WrapValidator
from pydantic_core import PydanticCustomError


class Settings(BaseModel):
    """Base of every settings model. A field's docstring is its line in the generated settings table."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, protected_namespaces=()
    )


def matches(pattern: str, instead: str) -> AfterValidator:
    """For text that must match `pattern` whole; whoever writes another is told `write {instead}`."""
    whole = re.compile(pattern)

    def fits(text: str) -> str:
        if not whole.fullmatch(text):
            raise format_error(instead)
        return text

    return AfterValidator(fits)


HOSTNAME = r"(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])"
HOSTNAME_WORDS = "a host name such as llm.example.com: small letters, no scheme, no port, no * and no dot at the end"


def format_error(instead: str) -> PydanticCustomError:
    """The error to raise for a value whose place says what is wrong with it."""
    return PydanticCustomError("form", "{instead}", {"instead": instead})


def _day(value: object, _: object) -> date:
    """Pulumi hands on a day that is written without quotes as a time at midnight."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).removesuffix("T00:00:00Z"))
    except ValueError:
        raise format_error('a day, such as "2027-06-30"') from None


def _range(value: object, _: object) -> IPv4Network:
    try:
        if isinstance(value, str | IPv4Network):
            return IPv4Network(value)
    except ValueError:
        pass
    raise format_error("an IPv4 range such as 10.0.0.0/16, with no bit set after its prefix")


Day = Annotated[date, WrapValidator(_day)]
Cidr = Annotated[IPv4Network, WrapValidator(_range)]
