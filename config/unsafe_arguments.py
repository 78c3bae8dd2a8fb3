"""Arguments that run code by name, read files for callers or trust callers. `engine.unsafe_arguments` allows them.

Sources: vllm/engine/arg_utils.py and the config classes that it names, vLLM 0.22.0 to 0.29.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from config.issues import ConfigIssue, Rule

_CLASS = "vLLM imports this class and runs it in the workers"
_FILE = "vLLM runs this Python file in the replica"
UNSAFE_ARGUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "trust_remote_code": "workers run Python code that the model's repository has",
        "allowed_local_media_path": "callers can read the files below it through `file:` URLs",
        "trust_request_chat_template": "callers can send templates, which run in the replica",
        "enable_prompt_embeds": "callers can send tensors, and a wrong one ends the engine",
        "enable_mm_embeds": "callers can send tensors, and a wrong one ends the engine",
        "worker_cls": _CLASS,
        "worker_extension_cls": _CLASS,
        "scheduler_cls": _CLASS,
        "logits_processors": _CLASS,
        "io_processor_plugin": "vLLM imports this plugin and runs it in the replica",
        "reasoning_parser_plugin": _FILE,
        "tool_parser_plugin": _FILE,
        "kv_transfer_config.kv_connector_module_path": _CLASS,
        "ec_transfer_config.ec_connector_module_path": _CLASS,
    }
)
"""Engine argument, or a key of one -> what it does."""

NOT_ALLOWED = Rule(
    "serving.engine.unsafe-argument",
    problem="not allowed without engine.unsafe_arguments",
    reason="{reason}",
    fix="Remove it; or, if you trust what it names, write `unsafe_arguments: [{name}]` beside engine_kwargs",
)
UNKNOWN_NAME = Rule(
    "serving.engine.unknown-unsafe-argument",
    problem="{name} needs no permission",
    reason="only some arguments do, and engine_kwargs does not set this one",
    fix="Remove it",
)


def used(engine_kwargs: Mapping[str, Any]) -> Iterator[str]:
    """Yield each name of UNSAFE_ARGUMENTS that the arguments switch on. False, null and empty values do not."""
    for name in UNSAFE_ARGUMENTS:
        argument, _, key = name.partition(".")
        value = engine_kwargs.get(argument)
        if key:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value:
            yield name


def find_issues(engine_kwargs: Mapping[str, Any], allowed: Sequence[str]) -> Iterator[ConfigIssue]:
    """Yield an issue for each argument that is not allowed, and for each permission of nothing."""
    found = tuple(used(engine_kwargs))
    for name in found:
        if name not in allowed:
            yield NOT_ALLOWED.issue(f"engine_kwargs.{name}", reason=UNSAFE_ARGUMENTS[name], name=name)
    for index, name in enumerate(allowed):
        if name not in found:
            yield UNKNOWN_NAME.issue(f"unsafe_arguments[{index}]", name=name)
