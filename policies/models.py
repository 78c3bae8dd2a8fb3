"""Models: the weights and code that run on the GPUs, and what callers make workers fetch (`spec.serveConfigV2`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from config.media import NO_REDIRECTS
from config.unsafe_arguments import UNSAFE_ARGUMENTS, used
from config.weights import REVISION, is_hub_id
from policies.base import Policy, Resource, StackPolicy, Violation
from policies.inputs import UNKNOWN, at, display, each
from policies.resource_types import RAY_SERVICE

ALLOWED = "allowed_arguments"
REQUIRED = "required"


def _llm_configs(inputs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield each LLMConfig in `serveConfigV2`; none if a preview does not know the text yet."""
    text = at(inputs, "spec.serveConfigV2")
    if not isinstance(text, str) or text == UNKNOWN:
        return
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    for application in each(document, "applications"):
        yield from (config for config in each(application, "args.llm_configs") if isinstance(config, Mapping))


def _arguments(config: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = at(config, "engine_kwargs")
    return arguments if isinstance(arguments, Mapping) else {}


def _name(config: Mapping[str, Any]) -> str:
    return display(at(config, "model_loading_config.model_id"))


def _media_hosts(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `engine_kwargs.allowed_media_domains` and the variable that allows redirects."""
    for config in _llm_configs(inputs):
        arguments = _arguments(config)
        if arguments.get("language_model_only") is True:
            continue
        if not arguments.get("allowed_media_domains"):
            yield (
                f"Model {_name(config)} fetches media from any host. Set engine_kwargs.allowed_media_domains "
                "(serving.media.allowed_hosts sets it)."
            )
        for name, value in NO_REDIRECTS.items():
            if str(at(config, f"runtime_env.env_vars.{name}")) != value:
                yield f"Model {_name(config)} follows redirects. Set runtime_env.env_vars.{name}: '{value}'."


def _of_services(
    check: Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[str]], setting: str
) -> Callable[[Sequence[Resource], Mapping[str, Any]], Iterator[Violation]]:
    """Return a stack policy that applies `check` to each LLMConfig if policies/<stack>.json has `setting`."""

    def violations(resources: Sequence[Resource], settings: Mapping[str, Any]) -> Iterator[Violation]:
        if settings.get(setting) in (None, False):
            return
        for resource in resources:
            for config in _llm_configs(resource.inputs):
                yield from ((message, resource) for message in check(config, settings))

    return violations


def _trusted_code(config: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    for name in used(_arguments(config)):
        if name not in each(settings, ALLOWED):
            yield (
                f"Model {_name(config)} has {name}: {UNSAFE_ARGUMENTS[name]}. Remove {name} from engine_kwargs, or "
                f"add it to {ALLOWED} in policies/<stack>.json."
            )


PINNED = (
    ("model_loading_config.model_source", "engine_kwargs.revision", "serving.model.revision"),
    ("engine_kwargs.tokenizer", "engine_kwargs.tokenizer_revision", "engine_kwargs.tokenizer_revision"),
    (
        "engine_kwargs.speculative_config.model",
        "engine_kwargs.speculative_config.revision",
        "engine_kwargs.speculative_config.revision",
    ),
)
"""(source, its revision, the setting of the revision) of an LLMConfig."""


def _pinned_model(config: Mapping[str, Any], _: Mapping[str, Any]) -> Iterator[str]:
    """Check the revision of each source that is a Hugging Face id."""
    for source_path, revision_path, setting in PINNED:
        source, revision = at(config, source_path), at(config, revision_path)
        if is_hub_id(str(source)) and not re.fullmatch(REVISION, str(revision)):
            yield (
                f"The owner of {source} can change what model {_name(config)} loads: its revision is "
                f"{display(revision)}. Set {setting} to a commit of 40 hex digits, or use a bucket."
            )


POLICIES = (
    Policy(
        "rayservice-media-hosts",
        "critical",
        "A caller reads what only pods can reach: a worker fetches any URL of a request.",
        [RAY_SERVICE],
        _media_hosts,
    ),
)
STACK_POLICIES = (
    StackPolicy(
        "rayservice-trusted-code",
        "critical",
        "Code that nobody reviewed runs beside the model, or callers read files.",
        [RAY_SERVICE],
        _of_services(_trusted_code, ALLOWED),
        config_schema={
            ALLOWED: {
                "type": "array",
                "description": "engine arguments that may run code by name, read files or trust callers; without the "
                "list nothing is checked",
            }
        },
    ),
    StackPolicy(
        "rayservice-pinned-model",
        "high",
        "Two nodes load different weights under one name, and the owner of a repository can change them.",
        [RAY_SERVICE],
        _of_services(_pinned_model, REQUIRED),
        config_schema={
            REQUIRED: {"type": "boolean", "description": "true to require a revision for every Hugging Face id"}
        },
    ),
)
