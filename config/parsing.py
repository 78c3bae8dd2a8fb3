"""Parse a settings block strictly and turn pydantic's errors into `ConfigIssue`s with settings paths."""

from __future__ import annotations

import functools
import inspect
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.base import Settings
from config.issues import ConfigError, ConfigIssue, Rule, join_path
from config.renamed_keys import REMOVED, RENAMED_KEYS, RENAMED_VALUES, path_pattern
from config.spelling import find_misspelt, words_of

UNKNOWN_KEY = Rule(
    "settings.unknown-key", problem="unknown setting", reason="{block} has no such key", fix="Write {known}"
)
RENAMED_KEY = Rule(
    "settings.renamed-key",
    problem="old name of a setting",
    reason="the setting has a new name",
    fix="Write `{new}` instead",
)
REMOVED_KEY = Rule(
    "settings.removed-key", problem="no longer a setting", reason="it had one possible value", fix="Remove it"
)
RENAMED_VALUE = Rule(
    "settings.renamed-value",
    problem="{value} is an old value",
    reason="its name is now `{new}`",
    fix="Write `{new}`",
)
MISSING = Rule(
    "settings.missing",
    problem="missing",
    reason="the setting has no default",
    fix="Add it; docs/reference/settings.md describes it",
)
WRONG_TYPE = Rule(
    "settings.wrong-type", problem="{value} is not valid", reason="the setting is {expected}", fix="Write {fix}"
)
WRONG_FORMAT = Rule(
    "settings.wrong-format", problem="{value} is not valid", reason="it has the wrong form", fix="Write {expected}"
)
UNKNOWN_VALUE = Rule(
    "settings.unknown-value",
    problem="{value} is not valid",
    reason="the setting has a fixed list of values",
    fix="Write {values}",
)
UNKNOWN_KIND = Rule(
    "settings.unknown-kind",
    problem="{value} has no known `{key}`",
    reason="`{key}` selects which settings the block has",
    fix="Write `{key}` with one of {values}",
)
OUT_OF_RANGE = Rule(
    "settings.out-of-range", problem="{value} is not valid", reason="the setting has limits", fix="Write {bound}"
)
LIST_LENGTH = Rule(
    "settings.list-length",
    problem="the list has {length} entries",
    reason="its length has a limit",
    fix="Write {bound} entries",
)

TYPES: Mapping[str, tuple[str, str]] = types.MappingProxyType(
    {
        "bool_type": ("a boolean", "true or false, without quotes"),
        "dict_type": ("a block", "a mapping of settings"),
        "int_from_float": ("an integer", "a whole number, without quotes"),
        "int_type": ("an integer", "a whole number, without quotes"),
        "model_attributes_type": ("a block", "a mapping of settings"),
        "model_type": ("a block", "a mapping of settings"),
        "path_type": ("a path", "text, in quotes where YAML would read something else"),
        "string_type": ("text", "text, in quotes where YAML would read something else"),
        "tuple_type": ("a list", "a list"),
    }
)
"""Pydantic's error type -> what the setting is, and what to write."""

M = TypeVar("M", bound=Settings)


def parse(model: type[M], block: str, raw: object) -> M:
    """Parse `raw` (plain data of a YAML file) as `model`.

    Raises `ConfigError` with every issue; their paths start at `block`.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError([_type_issue(block or "the file", "dict_type", raw)])
    try:
        # Strict JSON, as Pulumi passes the blocks on as JSON: 8 is not "8", and neither is true.
        return model.model_validate_json(json.dumps(dict(raw), default=str), strict=True)
    except ValidationError as error:
        details = _without_consequences(error.errors(include_url=False))
        issues = [_issue(model, block, detail) for detail in details]
        raise ConfigError(list(_without_renamed(issues))) from None


def _without_consequences(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drop `too_short` of a list from which pydantic dropped invalid members: their own errors are enough."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(place != detail["loc"] and place[: len(detail["loc"])] == detail["loc"] for place in places)
    ]


def _without_renamed(issues: Sequence[ConfigIssue]) -> Iterator[ConfigIssue]:
    """Drop `missing` of a setting that the file has under its old name."""
    renamed = {issue.fix for issue in issues if issue.rule == RENAMED_KEY.id}
    for issue in issues:
        if issue.rule != MISSING.id or f"Write `{issue.path.rpartition('.')[2]}` instead" not in renamed:
            yield issue


def _issue(model: type[BaseModel], block: str, detail: ErrorDetails) -> ConfigIssue:
    steps = (*block.split("."), *_steps(model, detail["loc"])) if block else _steps(model, detail["loc"])
    path, context, kind = format_path(steps), detail.get("ctx", {}), detail["type"]
    value = display(detail["input"])
    if kind == "config_issue":
        issue: ConfigIssue = context["issue"]
        return issue.below(path)
    if kind in TYPES:
        return _type_issue(path, kind, detail["input"])
    match kind:
        case "extra_forbidden":
            return _unknown_key(model, detail["loc"], steps)
        case "missing":
            return MISSING.issue(path)
        case "union_tag_invalid" | "union_tag_not_found":
            key = str(context.get("discriminator", "kind")).strip("'")
            if renamed := _renamed_value((*steps, key), context.get("tag")):
                return renamed
            values = ", ".join(f"`{tag}`" for m in _models_at(model, detail["loc"]) for tag in _tags(m))
            return UNKNOWN_KIND.issue(path, value=value, key=key, values=values)
        case "literal_error" | "enum":
            values = str(context.get("expected", "")).replace("'", "`")
            return _renamed_value(steps, detail["input"]) or UNKNOWN_VALUE.issue(path, value=value, values=values)
        case "too_short":
            return LIST_LENGTH.issue(
                path, length=context.get("actual_length"), bound=f"at least {context.get('min_length')}"
            )
        case "too_long":
            return LIST_LENGTH.issue(
                path, length=context.get("actual_length"), bound=f"at most {context.get('max_length')}"
            )
        case "form":
            return WRONG_FORMAT.issue(path, value=value, expected=context.get("expected"))
        case "greater_than" | "greater_than_equal" | "less_than_equal" | "multiple_of":
            return OUT_OF_RANGE.issue(path, value=value, bound=_bound(context))
        case _:
            return WRONG_FORMAT.issue(path, value=value, expected=f"another value ({detail['msg']})")


def _type_issue(path: str, kind: str, value: object) -> ConfigIssue:
    expected, fix = TYPES[kind]
    return WRONG_TYPE.issue(path, value=display(value), expected=expected, fix=fix)


def _bound(context: Mapping[str, object]) -> str:
    match context:
        case {"gt": bound}:
            return f"a number above {bound}"
        case {"ge": bound}:
            return f"{bound} or more"
        case {"le": bound}:
            return f"{bound} or less"
        case _:
            return f"a multiple of {context.get('multiple_of')}"


def _unknown_key(model: type[BaseModel], loc: Sequence[int | str], steps: tuple[str | int, ...]) -> ConfigIssue:
    path, name = format_path(steps), str(steps[-1])
    if old := path_pattern(steps, RENAMED_KEYS):
        new = RENAMED_KEYS[old]
        return REMOVED_KEY.issue(path) if new == REMOVED else RENAMED_KEY.issue(path, new=new)
    known = sorted({field for m in _models_at(model, loc[:-1]) for field in m.model_fields})
    meant = find_misspelt(name, known, _setting_words())
    words = f"`{meant}` instead" if meant else f"one of {', '.join(f'`{each}`' for each in known)}"
    block = f"`{format_path(steps[:-1])}`" if len(steps) > 1 else "the file"
    return UNKNOWN_KEY.issue(path, block=block, known=words)


@functools.cache
def _setting_words() -> frozenset[str]:
    """Return the words of all settings: one of them is no misspelling of another."""

    def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        yield model
        for each in model.__subclasses__():
            yield from models(each)

    return words_of(name for model in models(Settings) for name in model.model_fields)


def _renamed_value(steps: tuple[str | int, ...], value: object) -> ConfigIssue | None:
    at = path_pattern(steps, RENAMED_VALUES)
    new = RENAMED_VALUES[at].get(str(value).strip("'")) if at else None
    return RENAMED_VALUE.issue(format_path(steps), value=display(value), new=new) if new else None


def display(value: object) -> str:
    """Return `value` as a user wrote it in YAML, in at most 60 characters."""
    text = json.dumps(value, default=str) if isinstance(value, bool | dict | list) or value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def format_path(steps: Sequence[int | str]) -> str:
    """Return the settings path of keys and indices: `infra.regions[0].node_pools[1]`."""
    path = ""
    for step in steps:
        path = join_path(path, f"[{step}]" if isinstance(step, int) else step)
    return path


def _steps(model: type[BaseModel], loc: Sequence[int | str]) -> tuple[str | int, ...]:
    """Return pydantic's location without the discriminators' values that it has between the keys."""
    steps: list[str | int] = []
    here = [model]
    for step in loc:
        fields = {name for m in here for name in m.model_fields}
        tagged = [m for m in here if step in _tags(m)]
        if tagged and step not in fields:
            here = tagged
            continue
        steps.append(step)
        here = _models_below(here, step) or here
    return tuple(steps)


def _models_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[type[BaseModel]]:
    here = [model]
    for step in loc:
        here = [m for m in here if step in _tags(m)] or _models_below(here, step) or here
    return here


def _models_below(models: Sequence[type[BaseModel]], step: int | str) -> list[type[BaseModel]]:
    fields = [m.model_fields.get(step) for m in models if isinstance(step, str)]
    return [inner for field in fields if field for inner in models_in(field.annotation)]


def _tags(model: type[BaseModel]) -> set[str]:
    """Return the literal values by which a discriminated union selects `model`."""
    return {
        str(value)
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
        for value in typing.get_args(field.annotation)
    }


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the settings models that a field's annotation names, through unions, lists and `Annotated`."""
    if inspect.isclass(annotation) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    args = typing.get_args(annotation)
    for inner in args[:1] if typing.get_origin(annotation) is Annotated else args:
        yield from models_in(inner)
