"""What every settings block shares: frozen models, no unknown keys, and refusals that say what to write instead.

A `Rule` is one thing that settings refuse. Rules are plain data:
docs/reference/config-errors.md is generated from them, and
tests/unit/test_config_issues.py fails when one has no case.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv4Network
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, WrapValidator
from pydantic_core import ErrorDetails, PydanticCustomError


class Settings(BaseModel):
    """Base of every settings model. A field's docstring is its line in the generated settings table."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, protected_namespaces=()
    )


@dataclass(frozen=True)
class Rule:
    """Something settings may not say. `wrong`, `why` and `instead` are templates filled with the facts of the case.

    `id` is stable and dotted (`capacity.a4-on-demand`); `source` names the upstream issue or page it rests on.
    """

    id: str
    wrong: str
    why: str
    instead: str
    source: str = ""

    registry: ClassVar[dict[str, Rule]] = {}

    def __post_init__(self) -> None:
        if self.id in Rule.registry:
            raise ValueError(f"two rules are called {self.id}")
        Rule.registry[self.id] = self

    def sentence(self, **facts: object) -> str:
        """What a person reads: wrong, why, what to write instead, and where that is known from."""
        source = f" ({self.source})" if self.source else ""
        return f"{self.wrong}: {self.why}; {self.instead}{source}.".format(**facts)

    def refusal(self, **facts: object) -> PydanticCustomError:
        """The error to raise from a validator, with this rule's id as its type."""
        return PydanticCustomError(self.id, "{sentence}", {"sentence": self.sentence(**facts)})  # type: ignore[arg-type]


class Refused(Exception):
    """Settings that cannot work. `sentences` has one line for each thing to change, `rules` the ids behind them."""

    def __init__(self, sentences: Sequence[str], rules: Sequence[str] = ()) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = tuple(sentences)
        self.rules = tuple(rules)


def form(pattern: str, instead: str) -> AfterValidator:
    """For text that must match `pattern` whole; whoever writes another is told `write {instead}`."""
    whole = re.compile(pattern)

    def fits(text: str) -> str:
        if not whole.fullmatch(text):
            raise wanted(instead)
        return text

    return AfterValidator(fits)


HOSTNAME = r"(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])"
HOSTNAME_WORDS = "a host name such as llm.example.com: small letters, no scheme, no port, no * and no dot at the end"


def wanted(instead: str) -> PydanticCustomError:
    """The error to raise for a value whose place says what is wrong with it."""
    return PydanticCustomError("form", "{instead}", {"instead": instead})


def _day(value: object, _: object) -> date:
    """Pulumi hands on a day that is written without quotes as a time at midnight."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).removesuffix("T00:00:00Z"))
    except ValueError:
        raise wanted('a day, such as "2027-06-30"') from None


def _range(value: object, _: object) -> IPv4Network:
    try:
        if isinstance(value, str | IPv4Network):
            return IPv4Network(value)
    except ValueError:
        pass
    raise wanted("an IPv4 range such as 10.0.0.0/16, with no bit set after its prefix")


Day = Annotated[date, WrapValidator(_day)]
Range = Annotated[IPv4Network, WrapValidator(_range)]

M = TypeVar("M", bound=Settings)


def parse(model: type[M], block: str, raw: object) -> M:
    """Read `raw` (plain data from YAML) as `model`, or raise `Refused` with paths that start at `block`."""
    if not isinstance(raw, Mapping):
        raise Refused(
            [
                f"{block or 'the configuration'} must be a mapping of settings, not {raw!r}. See"
                " docs/reference/settings.md."
            ],
            ["type"],
        )
    try:
        # Strictly, as JSON (Pulumi hands the blocks on as JSON): 8 is not "8", and neither is true.
        return model.model_validate_json(json.dumps(dict(raw), default=str), strict=True)
    except ValidationError as error:
        details = _told_once(error.errors(include_url=False))
        raise Refused([_sentence(model, block, d) for d in details], [d["type"] for d in details]) from None


def _told_once(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """`details` without `too_short` for lists that are too short only because pydantic left refused members out."""
    places = [d["loc"] for d in details]
    return [
        d
        for d in details
        if d["type"] != "too_short" or not any(p != d["loc"] and p[: len(d["loc"])] == d["loc"] for p in places)
    ]


def _sentence(model: type[BaseModel], block: str, detail: ErrorDetails) -> str:
    at = _path(block, detail["loc"], model)
    given = "null" if detail["input"] is None else repr(detail["input"])
    given = given.lower() if isinstance(detail["input"], bool) else given
    given = given if len(given) <= 60 else given[:57] + "..."
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            name = str(detail["loc"][-1])
            known = sorted({n for m in _models_at(model, detail["loc"][:-1]) for n in m.model_fields})
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(known)}."
            return f"{at} is not a setting; {hint}"
        case "missing":
            return f"{at} is required and missing; add it (docs/reference/settings.md says what it means)."
        case "union_tag_invalid" | "union_tag_not_found":
            key = str(context.get("discriminator", "kind")).strip("'")
            tags = ", ".join(repr(tag) for m in _models_at(model, detail["loc"]) for tag in _tags(m))
            return f"{at} needs `{key}`, one of {tags}; got {given}."
        case "literal_error" | "enum":
            return f"{at} is {given}; write one of {context.get('expected', '')}."
        case "too_short":
            return f"{at} has {context.get('actual_length')} entries and needs at least {context.get('min_length')}."
        case "too_long":
            return f"{at} has {context.get('actual_length')} entries and takes at most {context.get('max_length')}."
        case "tuple_type":
            return f"{at} is {given}; write a list."
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{at} is {given}; write a mapping of settings."
        case "form":
            return f"{at} is {given}; write {context.get('instead')}."
        case "int_type" | "int_from_float":
            return f"{at} is {given}; write a whole number."
        case "bool_type":
            return f"{at} is {given}; write true or false."
        case "string_type":
            return f"{at} is {given}; write text, in quotes where YAML would read something else."
        case "greater_than_equal" | "less_than_equal":
            bound = f"{context['ge']} or more" if "ge" in context else f"{context.get('le')} or less"
            return f"{at} is {given}; write {bound}."
        case "multiple_of":
            return f"{at} is {given}; write a multiple of {context.get('multiple_of')}."
        case "string_too_long":
            return f"{at} has {len(str(detail['input']))} characters and takes at most {context.get('max_length')}."
        case kind if kind in Rule.registry:
            return f"{at}: {detail['msg']}"
        case _:
            return f"{at} is {given}: {detail['msg'][0].lower() + detail['msg'][1:]}."


def _path(block: str, loc: Sequence[int | str], model: type[BaseModel]) -> str:
    """`infra.regions[0].pools[1].capacity`: a discriminator's value in pydantic's location is left out."""
    out, here = block, [model]
    for step in loc:
        if isinstance(step, int):
            out += f"[{step}]"
            continue
        fields = {n for m in here for n in m.model_fields}
        inner = [t for m in here if (f := m.model_fields.get(step)) for t in models_in(f.annotation)]
        tagged = [m for m in here if step in _tags(m)]
        if tagged and step not in fields:
            here = tagged
            continue
        out += f".{step}" if out else str(step)
        here = inner or here
    return out


def _models_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[type[BaseModel]]:
    here = [model]
    for step in loc:
        if isinstance(step, int):
            continue
        inner = [t for m in here if (f := m.model_fields.get(step)) for t in models_in(f.annotation)]
        here = [m for m in here if step in _tags(m)] or inner or here
    return here


def _tags(model: type[BaseModel]) -> set[str]:
    """The literal values by which a discriminated union picks `model`."""
    return {
        str(value)
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
        for value in typing.get_args(field.annotation)
    }


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings models that a field's annotation names, through unions, lists and `Annotated`."""
    if inspect.isclass(annotation) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    args = typing.get_args(annotation)
    for inner in args[:1] if typing.get_origin(annotation) is Annotated else args:
        yield from models_in(inner)
