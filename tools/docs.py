"""Writes the pages of docs/ that are generated from the code: every setting, everything that settings
refuse, what does not work together, and every policy.

`python -m tools.docs` writes them; tests/unit/test_docs.py fails when one is not current.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import versions
from config import compatibility
from config.issues import Rule
from config.parsing import models_in
from config.stack import Blocks
from paths import CHECKOUT
from policies.base import StackPolicy
from policies.pack import POLICIES, STACK_POLICIES

HEAD = "<!-- Generated from the code by `make docs`. -->\n\n"


def pages() -> dict[Path, str]:
    """Path -> content of every generated page."""
    return {
        CHECKOUT / "docs" / "reference" / "settings.md": HEAD + _settings(),
        CHECKOUT / "docs" / "reference" / "config-errors.md": HEAD + _refusals(),
        CHECKOUT / "docs" / "reference" / "compatibility.md": HEAD + _compatibility(),
        CHECKOUT / "docs" / "reference" / "policies.md": HEAD + _policies(),
    }


def _settings() -> str:
    out = (
        "# Settings\n\nAn environment is one file, `Pulumi.<environment>.yaml`, with two blocks: `rayllm:infra` says "
        "where the stack runs, `rayllm:serving` what runs. A setting without a default must be written.\n"
    )
    for model, where in _models(Blocks, ""):
        if model is Blocks:
            continue
        out += f"\n## {where}\n\n{_first(model.__doc__)}\n\n| setting | type | default | meaning |\n|---|---|---|---|\n"
        for name, field in model.model_fields.items():
            kind = _words(field.annotation, field)
            out += f"| `{name}` | {kind} | {_default(field)} | {_first(field.description)} |\n"
    return out


def _models(model: type[BaseModel], where: str) -> Iterator[tuple[type[BaseModel], str]]:
    seen: set[type[BaseModel]] = set()

    def walk(model: type[BaseModel], where: str) -> Iterator[tuple[type[BaseModel], str]]:
        if model in seen:
            return
        seen.add(model)
        yield model, where
        for name, field in model.model_fields.items():
            inner = list(models_in(field.annotation))
            for child in inner:
                at = f"{where}.{name}" if where else name
                if len(inner) > 1 and "kind" in child.model_fields:
                    at += f" (kind: {typing.get_args(child.model_fields['kind'].annotation)[0]})"
                yield from walk(child, at + ("[]" if "tuple" in str(field.annotation) else ""))

    return walk(model, where)


def _words(annotation: Any, field: FieldInfo | None = None) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        return _words(typing.get_args(annotation)[0], field)
    inner = list(models_in(annotation))
    optional = type(None) in typing.get_args(annotation)
    if inner:
        return ("list of blocks" if "tuple" in str(annotation) else "block") + (" or null" if optional else "")
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if args := [a for a in typing.get_args(annotation) if a is not type(None)]:
        origin = typing.get_origin(annotation)
        if origin is tuple:
            return f"list of {_words(args[0])}"
        if origin is dict:
            return "mapping"
        return " or ".join(dict.fromkeys([_words(a) for a in args])) + (" or null" if optional else "")
    plain = {
        "str": "text",
        "int": "whole number",
        "bool": "true or false",
        "float": "number",
        "Path": "path",
        "IPv4Network": "CIDR range",
        "date": "date",
    }
    name = getattr(annotation, "__name__", str(annotation))
    return plain.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "its own defaults"
    if default is None:
        return "null"
    shown = default.value if isinstance(default, StrEnum) else default
    return f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


def _refusals() -> str:
    out = (
        "# Refusals\n\nWhat settings may not say. Each is checked when the file is read, before anything is touched. "
        "Words in braces are filled in with what was written.\n\n"
        "| rule | what was written | why it cannot work | what to write | source |\n|---|---|---|---|---|\n"
    )
    for rule in sorted(Rule.registry.values(), key=lambda rule: rule.id):
        cells = [_first(cell) for cell in (rule.problem, rule.reason, rule.fix, rule.source)]
        out += f"| `{rule.id}` | {' | '.join(cells)} |\n".replace("{{", "{").replace("}}", "}")
    return out


def _compatibility() -> str:
    out = (
        "# What does not work together\n\n"
        f"For Ray {versions.RAY}, which is pinned, and down to {versions.RAY_FLOOR}, the oldest a release may have. "
        "`make compat` prints the rows that hold and those that the pinned Ray is too new for.\n\n"
        "## Refused when settings are read\n\n"
        "Words in braces are filled in with what was written.\n\n"
        "| rule | combination | what happens | what to write | source | Ray |\n|---|---|---|---|---|---|\n"
    )
    for row in compatibility.INCOMPATIBILITIES:
        rule = row.rule
        cells = [_first(cell) for cell in (rule.problem, rule.reason, rule.fix, rule.source, row.ray_versions)]
        out += f"| `{rule.id}` | {' | '.join(cells)} |\n"
    out += (
        "\n## Never written by this stack\n\n"
        "| part | combination | what happens | here | source |\n|---|---|---|---|---|\n"
    )
    for note in compatibility.UPSTREAM_LIMITS:
        cells = [
            _first(cell) for cell in (note.component.value, note.behaviour, note.symptom, note.workaround, note.source)
        ]
        out += f"| {' | '.join(cells)} |\n"
    return out


def _policies() -> str:
    out = (
        "# Policies\n\n`make preview` and `make up` check every stack in a cloud with the Pulumi policy pack in "
        "`policies/`. A pipeline runs it with `--policy-pack policies --policy-pack-config "
        "policies/<stack>.json`. The configuration file holds what differs between environments: each one has "
        "its own monthly budget, and in dev every policy is advisory. Without the file, every policy is mandatory, "
        "except those marked as advisory.\n\n"
        "config/ refuses wrong settings first. A policy finds what a resource added by hand, or an edit of the "
        "program, could break. A policy skips values that a preview does not know, and checks them during the "
        "update. Each violation says what to set.\n\n"
        "| policy | severity | what goes wrong without it | checks |\n|---|---|---|---|\n"
    )
    for policy in (*POLICIES, *STACK_POLICIES):
        kinds = ", ".join(dict.fromkeys(token.rpartition(":")[2] for token in policy.types))
        advisory = isinstance(policy, StackPolicy) and policy.advisory
        level = f"{policy.severity} (advisory)" if advisory else policy.severity
        out += f"| `{policy.name}` | {level} | {_first(policy.description)} | {kinds} |\n"
    out += "\n## Settings in policies/<stack>.json\n\n| policy | setting | type | meaning |\n|---|---|---|---|\n"
    for policy in STACK_POLICIES:
        for name, schema in (policy.config_schema or {}).items():
            out += f"| `{policy.name}` | `{name}` | {schema['type']} | {schema['description']} |\n"
    return out


def _first(text: str | None) -> str:
    """The first paragraph, on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content)
        print(f"  {path.relative_to(CHECKOUT)}")
