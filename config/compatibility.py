"""Options and versions that do not work together, with sources. Checked on plain data, before any resource exists.

An `Incompatibility` is a `Rule`, a predicate and the Ray versions that it applies to. `make compat` prints those of the
pinned Ray. docs/reference/compatibility.md is generated from this table and from config/upstream_limits.py.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from packaging.version import Version

import versions
from config.data_path import DATA_PATHS
from config.issues import ConfigIssue, Rule
from config.model_service import ModelService
from config.request_routers import KvAwareRouter
from config.vllm_arguments import ENGINE_ARGUMENT_NAMES


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PARSERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "reasoning_parser": _names(
            "cohere_command3 cohere_command4 deepseek_r1 deepseek_v3 deepseek_v4 ernie45 gemma4 glm45 glm47 granite "
            "holo2 hunyuan_a13b hy_v3 hy_v4 inkling kimi_k2 kimi_k3 ling3 mimo minimax_m2 minimax_m2_append_think "
            "minimax_m3 mistral muse_glimmer nemotron_v3 olmo3 openai_gptoss poolside_v1 qwen3 seed_oss step3 "
            "step3p5"
        ),
        "tool_call_parser": _names(
            "apertus cohere_command3 cohere_command4 deepseek_v3 deepseek_v31 deepseek_v32 deepseek_v4 dots ernie45 "
            "functiongemma gemma4 gigachat3 glm45 glm47 granite granite-20b-fc granite4 hermes hunyuan_a13b hy_v3 "
            "hy_v4 inkling internlm jamba kimi_k2 kimi_k3 lfm2 ling3 llama3_json llama4_json llama4_pythonic longcat "
            "mimo minicpm5 minimax_m2 minimax_m3 mistral muse_glimmer olmo3 openai phi4_mini_json poolside_v1 pythonic "
            "qwen3_coder qwen3_xml seed_oss step3 step3p5 xlam"
        ),
    }
)
"""Engine argument -> the names that vLLM 0.29, the version in Ray 2.60's images, registers."""
PLUGINS = {"reasoning_parser": "reasoning_parser_plugin", "tool_call_parser": "tool_parser_plugin"}
"""Engine argument -> the argument whose plugin file registers further names."""

BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "gpu_memory_utilization": (0.05, 1),
        "max_num_batched_tokens": (1, math.inf),
        "max_num_seqs": (1, math.inf),
    }
)
"""Engine argument -> its lowest and highest value, for the arguments that users change most."""

Facts = dict[str, object]
ENGINE_KWARGS = "engine.engine_kwargs"


@dataclass(frozen=True)
class Incompatibility:
    """A combination of options that Ray or vLLM rejects or ignores."""

    rule: Rule
    path: str
    """Path below the model service; a template that is filled with the same facts as the rule."""
    facts: Callable[[ModelService], Iterator[Facts]] = field(repr=False)
    """Yields the facts of each occurrence in a model service."""
    since: str = ""
    """First Ray version that it applies to; empty if it applies to every older one."""
    until: str = ""
    """First Ray version that it no longer applies to; empty if none is known."""
    repaired: bool = False
    """True if Ray `until` repaired it: the row stays while an older Ray is accepted. False if the row needs a check
    with that version."""

    def applies_to(self, ray: str) -> bool:
        """Return True if it applies to Ray version `ray`."""
        return not (self.since and Version(ray) < Version(self.since)) and not self.is_fixed(ray)

    def is_fixed(self, ray: str) -> bool:
        """Return True if Ray version `ray` no longer has it."""
        return bool(self.until) and Version(ray) >= Version(self.until)

    @property
    def ray_versions(self) -> str:
        """The Ray versions, for the generated page."""
        bounds = [f"from {self.since}" if self.since else "", f"before {self.until}" if self.until else ""]
        return " and ".join(filter(None, bounds)) or "all"


def _if(applies: Callable[[ModelService], bool]) -> Callable[[ModelService], Iterator[Facts]]:
    """Return `facts` of an incompatibility whose only fact is the data path."""

    def facts(service: ModelService) -> Iterator[Facts]:
        if applies(service):
            yield {"data_path": service.data_path.value}

    return facts


def _direct(service: ModelService) -> bool:
    return DATA_PATHS[service.data_path].direct


def _pooling(service: ModelService) -> bool:
    """Return True if the settings say that the model pools; a model that pools by its config.json is not noticed."""
    arguments = service.engine.engine_kwargs
    return arguments.get("runner") == "pooling" or arguments.get("convert", "auto") not in ("auto", "none")


def _gguf(service: ModelService) -> Iterator[Facts]:
    if service.model.source.lower().endswith(".gguf"):
        yield {"source": service.model.source}


def _more_than_one(argument: str) -> Callable[[ModelService], Iterator[Facts]]:
    def facts(service: ModelService) -> Iterator[Facts]:
        value = service.engine.engine_kwargs.get(argument, 1)
        if value != 1:
            yield {"value": value}

    return facts


def _unknown_arguments(service: ModelService) -> Iterator[Facts]:
    for name in sorted(service.engine.engine_kwargs.keys() - ENGINE_ARGUMENT_NAMES):
        close = difflib.get_close_matches(name.strip("- ").replace("-", "_").lower(), ENGINE_ARGUMENT_NAMES, n=1)
        yield {"name": name, "known": f"`{close[0]}`" if close else "an argument of vllm/engine/arg_utils.py"}


def _values_out_of_range(service: ModelService) -> Iterator[Facts]:
    for name, (low, high) in BOUNDS.items():
        value = service.engine.engine_kwargs.get(name)
        if value is not None and (isinstance(value, bool | str) or not low <= value <= high):
            bounds = f"{low} or more" if high == math.inf else f"from {low} to {high}"
            yield {"name": name, "value": repr(value), "bounds": bounds}


def _incomplete_tool_calls(service: ModelService) -> Iterator[Facts]:
    arguments = service.engine.engine_kwargs
    choice, parser = (bool(arguments.get(name)) for name in ("enable_auto_tool_choice", "tool_call_parser"))
    if choice != parser:
        present, missing = "enable_auto_tool_choice", "tool_call_parser"
        yield {"present": present if choice else missing, "missing": missing if choice else present}


def _unknown_parsers(service: ModelService) -> Iterator[Facts]:
    arguments: Mapping[str, Any] = service.engine.engine_kwargs
    for name, known in PARSERS.items():
        if (value := arguments.get(name)) and value not in known and not arguments.get(PLUGINS[name]):
            yield {"name": name, "value": value, "plugin": PLUGINS[name], "known": ", ".join(sorted(known))}


INCOMPATIBILITIES: tuple[Incompatibility, ...] = (
    Incompatibility(
        Rule(
            "compatibility.direct-lora",
            problem="LoRA adapters do not work on data path {data_path}",
            reason="this Ray version ignores the adapter that a request names",
            fix="Write `data_path: python_proxy`, or Ray 2.60 or later",
            source="ray/llm/_internal/serve/core/ingress/builder.py, ray-project/ray#65976",
        ),
        "model.lora",
        _if(lambda s: _direct(s) and s.model.lora is not None),
        until="2.60.0",
        repaired=True,
    ),
    Incompatibility(
        Rule(
            "compatibility.direct-ingress",
            problem="data path {data_path} has no ingress deployment",
            reason="the replica is its own ingress, and Ray rejects options for another one",
            fix="Remove `ingress`, or write `data_path: python_proxy`",
            source="ray/llm/_internal/serve/core/ingress/builder.py",
        ),
        "ingress",
        _if(lambda s: _direct(s) and s.ingress is not None),
    ),
    Incompatibility(
        Rule(
            "compatibility.kv-aware",
            problem="kv_aware does not work",
            reason="Ray's router needs the package ai-dynamo, which neither Ray's image nor `ray[llm]` installs; "
            "without it Ray answers 503 to every prompt (Ray 2.56 lacks the router; `python_proxy` selects at random)",
            fix="Write `request_router: prefix_cache_affinity`",
            source="ray/llm/_internal/serve/routing_policies/kv_aware/kv_token_tracker.py",
        ),
        "request_router",
        _if(lambda s: isinstance(s.request_router, KvAwareRouter)),
    ),
    Incompatibility(
        Rule(
            "compatibility.direct-pooling",
            problem="models that pool (embeddings, scores, classes) do not work on data path {data_path}",
            reason="this Ray version does not give vLLM the model's configuration, so that vLLM has none of their "
            "routes and answers 404",
            fix="Use an image with Ray 2.57.0 or later, or write `data_path: python_proxy`",
            source="ray-project/ray#64494",
        ),
        "engine.engine_kwargs",
        _if(lambda s: _direct(s) and _pooling(s)),
        until="2.57.0",
        repaired=True,
    ),
    Incompatibility(
        Rule(
            "compatibility.gguf-file",
            problem="{source} is a GGUF file",
            reason="vLLM of Ray 2.57 and later reads such files with a plugin only, which Ray's image does not have, "
            "and older Ray versions cannot read their configuration",
            fix="Convert it into a folder in Hugging Face format (transformers: `from_pretrained(..., gguf_file=...)`, "
            "then `save_pretrained`) and write that folder",
            source="vllm/model_executor/model_loader/__init__.py, ray-project/ray#62962",
        ),
        "model.source",
        _gguf,
    ),
    Incompatibility(
        Rule(
            "compatibility.data-parallel",
            problem="{value} data-parallel ranks do not work",
            reason="the ranks need another builder of Ray, and the builder of this stack gives a replica the GPUs of "
            "one rank",
            fix="Remove the argument; for more copies of the model write more replicas",
            source="ray-project/ray#58301",
        ),
        f"{ENGINE_KWARGS}.data_parallel_size",
        _more_than_one("data_parallel_size"),
    ),
    Incompatibility(
        Rule(
            "compatibility.pipeline-parallel",
            problem="{value} pipeline stages do not work",
            reason="Ray would request that many times the GPUs that pods, node pools and quota are sized for",
            fix="Remove the argument; to use more GPUs of a node write engine.tensor_parallel_size",
            source="ray/llm/_internal/serve/engines/vllm/vllm_models.py",
        ),
        f"{ENGINE_KWARGS}.pipeline_parallel_size",
        _more_than_one("pipeline_parallel_size"),
    ),
    Incompatibility(
        Rule(
            "compatibility.context-parallel",
            problem="{value} context-parallel ranks do not work",
            reason="vLLM would start a multiple of the workers that Ray reserves GPUs for",
            fix="Remove the argument; to use more GPUs of a node write engine.tensor_parallel_size",
            source="vllm/config/parallel.py, ray/llm/_internal/serve/engines/vllm/vllm_models.py",
        ),
        f"{ENGINE_KWARGS}.prefill_context_parallel_size",
        _more_than_one("prefill_context_parallel_size"),
    ),
    Incompatibility(
        Rule(
            "compatibility.unknown-engine-arg",
            problem="unknown vLLM argument",
            reason="the vLLM of this Ray version does not have it, and Ray would reject the model only when the GPUs "
            "run and cost money",
            fix="Write {known} instead",
            source="ray/llm/_internal/serve/engines/vllm/vllm_models.py",
        ),
        ENGINE_KWARGS + ".{name}",
        _unknown_arguments,
        since="2.60.0",
        until="2.61.0",  # another Ray version has another vLLM: read its argument names again
    ),
    Incompatibility(
        Rule(
            "compatibility.engine-arg-out-of-range",
            problem="{value} is out of range",
            reason="vLLM would reject it only when the GPUs run and cost money",
            fix="Write a number, {bounds}",
            source="vllm/config/cache.py, vllm/config/scheduler.py",
        ),
        ENGINE_KWARGS + ".{name}",
        _values_out_of_range,
    ),
    Incompatibility(
        Rule(
            "compatibility.log-stats-disabled",
            problem="true does not work",
            reason="Ray computes the engine's metrics from these statistics and rejects the model without them",
            fix="Remove the argument",
            source="ray/llm/_internal/serve/core/configs/llm_config.py",
        ),
        f"{ENGINE_KWARGS}.disable_log_stats",
        _if(lambda s: bool(s.engine.engine_kwargs.get("disable_log_stats"))),
    ),
    Incompatibility(
        Rule(
            "compatibility.tool-calls-incomplete",
            problem="{present} is set without {missing}",
            reason="vLLM ignores one without the other and recognises no automatic tool call; Ray does not run vLLM's "
            "own check of this",
            fix="Write both, or neither",
            source="vllm/parser/parser_manager.py, vllm/entrypoints/launchers/cli_args.py",
        ),
        ENGINE_KWARGS,
        _incomplete_tool_calls,
    ),
    Incompatibility(
        Rule(
            "compatibility.unknown-parser",
            problem="unknown parser {value}",
            reason="the vLLM of this Ray version does not have it, and would reject it only when the GPUs run and cost "
            "money",
            fix="Write one of {known}; or write {plugin} for a parser of your own",
            source="vllm/parser/parser_manager.py",
        ),
        ENGINE_KWARGS + ".{name}",
        _unknown_parsers,
        since="2.60.0",
        until="2.61.0",  # another Ray version has another vLLM: read its parser names again
    ),
)


def find_issues(
    service: ModelService, ray: str = versions.RAY, locate: Callable[[str], str] = str
) -> Iterator[ConfigIssue]:
    """Yield an issue for each incompatibility of `service` with Ray version `ray`.

    `locate` turns a path below the model service into a settings path.
    """
    for row in INCOMPATIBILITIES:
        if row.applies_to(ray):
            for facts in row.facts(service):
                yield row.rule.issue(locate(row.path.format(**facts)), **facts)


def expired(rows: Sequence[Incompatibility] = INCOMPATIBILITIES, ray: str = versions.RAY) -> list[Incompatibility]:
    """Return the rows that no accepted Ray has, and those to check with `ray`: delete them, or verify them again."""
    return [row for row in rows if row.is_fixed(versions.RAY_FLOOR if row.repaired else ray)]
