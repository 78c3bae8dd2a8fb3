"""Read a settings block strictly and turn pydantic's errors into sentences with settings paths."""

from __future__ import annotations

import difflib
import inspect
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.base import Settings
from config.issues import ConfigError, Rule

M = TypeVar("M", bound=Settings)


def parse(model: type[M], block: str, raw: object) -> M:
    """Read `raw` (plain data from YAML) as `model`, or raise `Refused` with paths that start at `block`."""
    if not isinstance(raw, Mapping):
        raise ConfigError(
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
        raise ConfigError([_sentence(model, block, d) for d in details], [d["type"] for d in details]) from None


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
    """`infra.regions[0].node_pools[1].capacity`: a discriminator's value in pydantic's location is left out."""
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
