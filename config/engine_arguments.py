"""Refuse engine arguments that the vLLM of a release does not accept: names, types, choices, bounds and keys.

vLLM is the judge: config/vllm/ is generated from its wheels. docs/how-to/tune-the-engine.md says what is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from config.compatibility import ENGINE_KWARGS
from config.issues import ConfigIssue, Rule, join_path
from config.model_service import ModelService
from config.parsing import display
from config.vllm.replaced import REPLACEMENTS, SERVER_ONLY
from config.vllm.schema import Difference, Kind, describe, find_differences, is_json_mapping
from config.vllm.tables import VllmTable, first_with, removed_arguments, table_for

LATE = "Ray would reject the model only when the GPUs run and cost money"
PLUGINS = {"reasoning_parser": "reasoning_parser_plugin", "tool_call_parser": "tool_parser_plugin"}
"""Engine argument -> the argument whose plugin file registers further names."""

UNKNOWN = Rule(
    "serving.engine.unknown-argument",
    problem="unknown vLLM argument",
    reason="vLLM {vllm}, which Ray {ray} has, does not have it, and " + LATE,
    fix="Remove it, or write an argument of vllm/engine/arg_utils.py",
    source="ray/llm/_internal/serve/engines/vllm/vllm_models.py",
)
MISSPELT = Rule(
    "serving.engine.argument-spelling",
    problem="not the spelling of a Python argument",
    reason="only vLLM's command line takes hyphens and capitals",
    fix="Write `{name}`",
    source="vllm/utils/argparse_utils.py",
)
REMOVED = Rule(
    "serving.engine.removed-argument",
    problem="no longer a vLLM argument",
    reason="vLLM {removed} removed it, Ray {ray} has vLLM {vllm}, and " + LATE,
    fix="{fix}",
    source="vllm/engine/arg_utils.py",
)
NEWER = Rule(
    "serving.engine.newer-argument",
    problem="not yet a vLLM argument",
    reason="Ray {ray} has vLLM {vllm}, and the argument is in vLLM {newer}, which Ray {newer_ray} has",
    fix="Remove it, or use an image with Ray {newer_ray} or later",
    source="vllm/engine/arg_utils.py",
)
SERVER = Rule(
    "serving.engine.server-argument",
    problem="not an engine argument",
    reason="only the command line of vLLM's own server has it, and Ray Serve runs in its place",
    fix="{fix}",
    source="vllm/entrypoints/launchers/cli_args.py",
)
WRONG_TYPE = Rule(
    "serving.engine.argument-type",
    problem="{value} has the wrong type",
    reason="vLLM {vllm} takes {expected}, and would reject it only when the GPUs run and cost money",
    fix="Write {expected}",
)
TEXT_FOR_MAPPING = Rule(
    "serving.engine.text-for-mapping",
    problem="{value} is text",
    reason="Ray passes the value to vLLM's Python classes, which take a mapping; only vLLM's command line reads JSON "
    "in text",
    fix="Write {fix}",
    source="ray/llm/_internal/serve/engines/vllm/vllm_engine.py",
)
UNKNOWN_CHOICE = Rule(
    "serving.engine.argument-choice",
    problem="{value} is not a choice",
    reason="vLLM {vllm} has a fixed list, and would reject it only when the GPUs run and cost money",
    fix="Write {expected}",
)
OUT_OF_RANGE = Rule(
    "serving.engine.argument-out-of-range",
    problem="{value} is out of range",
    reason="vLLM {vllm} has limits, and would reject it only when the GPUs run and cost money",
    fix="Write {expected}",
)
UNKNOWN_KEY = Rule(
    "serving.engine.unknown-argument-key",
    problem="unknown key",
    reason="{owner} of vLLM {vllm} accepts no others, and would reject it only when the GPUs run and cost money",
    fix="Remove it, or write one of {expected}",
)
UNKNOWN_PARSER = Rule(
    "serving.engine.unknown-parser",
    problem="unknown parser {value}",
    reason="vLLM {vllm}, which Ray {ray} has, does not have it, and would reject it only when the GPUs run and cost "
    "money",
    fix="Write one of {known}; or write {plugin} for a parser of your own",
    source="vllm/parser/parser_manager.py",
)
RULES = {Kind.TYPE: WRONG_TYPE, Kind.CHOICE: UNKNOWN_CHOICE, Kind.RANGE: OUT_OF_RANGE, Kind.UNKNOWN_KEY: UNKNOWN_KEY}


def find_issues(service: ModelService, ray: str, locate: Callable[[str], str] = str) -> Iterator[ConfigIssue]:
    """Yield an issue for each engine argument of `service` that the vLLM of Ray version `ray` does not accept.

    Yield nothing if that Ray version has no table; `make preflight` says so. `locate` turns a path below the model
    service into a settings path.
    """
    table = table_for(ray)
    if table is None:
        return
    arguments: Mapping[str, Any] = service.engine.engine_kwargs
    for name, value in arguments.items():
        path = locate(f"{ENGINE_KWARGS}.{name}")
        if name in table.arguments:
            yield from (
                _issue(each, path, table) for each in find_differences(value, table.arguments[name], table.classes)
            )
        else:
            yield _unknown(name, path, ray, table)
    yield from _unknown_parsers(arguments, ray, table, locate)


def _issue(difference: Difference, path: str, table: VllmTable) -> ConfigIssue:
    where, value = join_path(path, difference.path), display(difference.value)
    if difference.kind is Kind.TYPE and isinstance(difference.value, str) and "a mapping" in difference.expected:
        without_quotes = "the same mapping without the quotes around it"
        fix = without_quotes if is_json_mapping(difference.value) else difference.expected
        return TEXT_FOR_MAPPING.issue(where, value=value, fix=fix)
    return RULES[difference.kind].issue(
        where, value=value, expected=difference.expected, owner=difference.owner, vllm=table.version
    )


def _unknown(name: str, path: str, ray: str, table: VllmTable) -> ConfigIssue:
    """Return the issue of a name that vLLM does not have. A suggestion never changes the meaning."""
    plain = name.strip("- ").replace("-", "_").lower()
    if plain in table.arguments:
        return MISSPELT.issue(path, name=plain)
    if plain in SERVER_ONLY:
        return SERVER.issue(path, fix=SERVER_ONLY[plain])
    facts = {"ray": ray, "vllm": table.version}
    if newer := first_with(plain, ray):
        return NEWER.issue(path, newer_ray=newer[0], newer=newer[1], **facts)
    if removed := removed_arguments().get(plain):
        return REMOVED.issue(path, removed=removed, fix=REPLACEMENTS.get(plain, "Remove it"), **facts)
    return UNKNOWN.issue(path, **facts)


def _unknown_parsers(
    arguments: Mapping[str, Any], ray: str, table: VllmTable, locate: Callable[[str], str]
) -> Iterator[ConfigIssue]:
    for name, plugin in PLUGINS.items():
        value, known = arguments.get(name), table.names[name]
        if isinstance(value, str) and value and value not in known and not arguments.get(plugin):
            yield UNKNOWN_PARSER.issue(
                locate(f"{ENGINE_KWARGS}.{name}"),
                value=value,
                ray=ray,
                vllm=table.version,
                plugin=plugin,
                known=", ".join(sorted(known)),
            )


def unregistered_names(service: ModelService, ray: str) -> Iterator[tuple[str, str]]:
    """Yield each engine argument whose text is right only if a plugin in the image registers it, with the names that
    vLLM itself has."""
    table = table_for(ray)
    for name, known in table.names.items() if table else ():
        value = service.engine.engine_kwargs.get(name)
        if name not in PLUGINS and isinstance(value, str) and value not in known:
            yield name, describe({"enum": sorted(known)})
