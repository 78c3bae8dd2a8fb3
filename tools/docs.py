"""Write the pages of docs/reference that are generated from the code (`make docs`).

The pages are settings, configuration errors, incompatible versions and options, policies, examples, and routes. A unit
test fails if one is not current.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

import versions
from config import compatibility
from config import stack_file as _stack_file  # noqa: F401  # registers the rules of a stack's file
from config.issues import Rule
from config.local import host_rules as _host_rules  # noqa: F401  # registers the rules of the local host
from config.parsing import models_in
from config.renamed_keys import RENAMED_KEYS, RENAMED_VALUES
from config.stack import Blocks
from config.upstream_limits import UPSTREAM_LIMITS
from paths import CHECKOUT
from policies.base import StackPolicy
from policies.pack import POLICIES, STACK_POLICIES
from tools import examples, routes_page

HEAD = "<!-- Generated from the code by `make docs`. -->\n\n"


def pages() -> dict[Path, str]:
    """Return path -> content of every generated page."""
    return {
        CHECKOUT / "docs" / "reference" / "settings.md": HEAD + _settings(),
        CHECKOUT / "docs" / "reference" / "config-errors.md": HEAD + _config_errors(),
        CHECKOUT / "docs" / "reference" / "compatibility.md": HEAD + _compatibility(),
        CHECKOUT / "docs" / "reference" / "policies.md": HEAD + _policies(),
        CHECKOUT / "docs" / "reference" / "examples.md": HEAD + examples.page(),
        CHECKOUT / "docs" / "reference" / "routes.md": HEAD + routes_page.page(),
    }


def _settings() -> str:
    out = (
        "# Settings\n\nOne file configures a stack: `Pulumi.<stack>.yaml`. Its block `rayllm:infra` configures the "
        'infrastructure, its block `rayllm:serving` the models. A setting with the default "required" must be set.\n'
    )
    for model, where in _models(Blocks, ""):
        if model is Blocks:
            continue
        out += f"\n## {where}\n\n{_first(model.__doc__)}\n\n| setting | type | default | meaning |\n|---|---|---|---|\n"
        for name, field in model.model_fields.items():
            out += f"| `{name}` | {_type_name(field.annotation)} | {_default(field)} | {_first(field.description)} |\n"
    return out


def _models(model: type[BaseModel], where: str) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield every settings block once, with its path in the file."""
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


def _type_name(annotation: Any) -> str:
    """Return the type of a setting in the words of YAML."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _type_name(typing.get_args(annotation)[0])
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
            return f"list of {_type_name(args[0])}"
        if origin is dict:
            return "mapping"
        return " or ".join(dict.fromkeys([_type_name(a) for a in args])) + (" or null" if optional else "")
    plain = {
        "str": "string",
        "int": "integer",
        "bool": "boolean",
        "float": "number",
        "Path": "path",
        "IPv4Network": "CIDR range",
        "date": "date",
    }
    name = getattr(annotation, "__name__", str(annotation))
    return plain.get(name, name)


def _default(field: FieldInfo) -> str:
    """Return the default of a setting as YAML."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "defaults of the block"
    text = yaml.safe_dump(to_jsonable_python(default), default_flow_style=True, width=1000)
    return f"`{text.strip().removesuffix('...').strip()}`"


def _config_errors() -> str:
    out = (
        "# Configuration errors\n\nThe program checks every rule when it reads the stack's file, before it changes any "
        "resource, and reports every issue at once, as `PATH: PROBLEM, because REASON. FIX (SOURCE).` Words in braces "
        "stand for values from the file. The `host.*` rules are about the local host.\n\n"
        "| rule | problem | reason | fix | source |\n|---|---|---|---|---|\n"
    )
    for rule in sorted(Rule.registry.values(), key=lambda rule: rule.id):
        cells = [_first(cell) for cell in (rule.problem, rule.reason, rule.fix, rule.source)]
        out += f"| `{rule.id}` | {' | '.join(cells)} |\n".replace("{{", "{").replace("}}", "}")
    return out + _renamed()


def _renamed() -> str:
    """The settings keys and values that have a new name."""
    out = (
        "\n## Old names\n\nKeys and values of earlier versions. Each is an issue that names the new one. `[]` "
        "stands for "
        "any index, `*` for any key.\n\n| old | write |\n|---|---|\n"
    )
    for path, new in RENAMED_KEYS.items():
        out += f"| `{path}` | {f'`{new}`' if new else 'nothing: remove it'} |\n"
    for path, values in RENAMED_VALUES.items():
        for old, new in values.items():
            out += f"| `{path}: {old}` | `{new}` |\n"
    return out


def _compatibility() -> str:
    out = (
        "# Incompatible versions and options\n\n"
        f"The table covers Ray {versions.RAY}, the pinned version, down to {versions.RAY_FLOOR}, the oldest that a "
        "release may use. `make compat` prints the rows for the pinned version, and the rows that it no longer needs."
        "\n\n## Configuration errors\n\n"
        "The program refuses these combinations when it reads the stack's file. Words in braces stand for values from "
        "the file.\n\n"
        "| rule | combination | effect | fix | source | Ray |\n|---|---|---|---|---|---|\n"
    )
    for row in compatibility.INCOMPATIBILITIES:
        rule = row.rule
        cells = [
            _first(cell)
            for cell in (f"`{row.path}`: {rule.problem}", rule.reason, rule.fix, rule.source, row.ray_versions)
        ]
        out += f"| `{rule.id}` | {' | '.join(cells)} |\n"
    out += (
        "\n## Upstream limits that settings cannot change\n\n"
        "Combinations that this stack never creates, and what a Ray version does wrong whatever the settings say.\n\n"
        "| component | combination | effect | this stack | source | Ray |\n|---|---|---|---|---|---|\n"
    )
    for note in UPSTREAM_LIMITS:
        cells = [
            _first(cell)
            for cell in (
                note.component.value,
                note.behaviour,
                note.symptom,
                note.workaround,
                note.source,
                note.ray_versions,
            )
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
    """Return the first paragraph on one line, as a cell of a table."""
    return " ".join((text or "").strip().split("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content)
        print(f"  {path.relative_to(CHECKOUT)}")
