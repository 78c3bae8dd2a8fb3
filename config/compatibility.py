"""Options and versions that do not work together, with sources. Checked on plain data, before any resource exists.

An `Incompatibility` is a `Rule`, a predicate and the Ray versions that it applies to. `make compat` prints those of the
pinned Ray. docs/reference/compatibility.md is generated from this table and from config/upstream_limits.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import versions
from config.data_path import DATA_PATHS
from config.issues import ConfigIssue, Rule
from config.model_service import ModelService
from config.ray_versions import RayVersionRange
from config.request_routers import HashedAffinity, KvAwareRouter, PrefixCacheAffinityRouter, SessionRouter

Facts = dict[str, object]
ENGINE_KWARGS = "engine.engine_kwargs"


@dataclass(frozen=True)
class Incompatibility(RayVersionRange):
    """A combination of options that Ray or vLLM rejects or ignores."""

    rule: Rule
    path: str
    """Path below the model service; a template that is filled with the same facts as the rule."""
    facts: Callable[[ModelService], Iterator[Facts]] = field(repr=False)
    """Yields the facts of each occurrence in a model service."""
    repaired: bool = False
    """True if Ray `until` repaired it: the row stays while an older Ray is accepted. False if the row needs a check
    with that version."""


def _if(applies: Callable[[ModelService], bool]) -> Callable[[ModelService], Iterator[Facts]]:
    """Return `facts` of an incompatibility whose only fact is the data path."""

    def facts(service: ModelService) -> Iterator[Facts]:
        if applies(service):
            yield {"data_path": service.data_path.value}

    return facts


def _direct(service: ModelService) -> bool:
    return DATA_PATHS[service.data_path].direct


def _routerless(service: ModelService) -> bool:
    """Return True if HAProxy sends requests to the replicas without asking a router."""
    path = DATA_PATHS[service.data_path]
    return path.direct and not path.router


def _router(applies: Callable[[ModelService], bool]) -> Callable[[ModelService], Iterator[Facts]]:
    """Return `facts` of an incompatibility of a request router with a data path."""

    def facts(service: ModelService) -> Iterator[Facts]:
        if applies(service):
            yield {"router": service.request_router.kind, "data_path": service.data_path.value}

    return facts


def _pooling(service: ModelService) -> bool:
    """Return True if the settings say that the model pools; a model that pools by its config.json is not noticed."""
    arguments = service.engine.engine_kwargs
    return arguments.get("runner") == "pooling" or arguments.get("convert", "auto") not in ("auto", "none")


def _unconverted_mapping(service: ModelService) -> Iterator[Facts]:
    if isinstance(service.engine.engine_kwargs.get("structured_outputs_config"), dict):
        yield {}


def _gguf(service: ModelService) -> Iterator[Facts]:
    if service.model.source.lower().endswith(".gguf"):
        yield {"source": service.model.source}


def _more_than_one(argument: str) -> Callable[[ModelService], Iterator[Facts]]:
    def facts(service: ModelService) -> Iterator[Facts]:
        value = service.engine.engine_kwargs.get(argument, 1)
        if value != 1:
            yield {"value": value}

    return facts


def _uneven_context_parallel(service: ModelService) -> Iterator[Facts]:
    value, gpus = service.engine.engine_kwargs.get("decode_context_parallel_size"), service.engine.tensor_parallel_size
    if isinstance(value, int) and value > 0 and gpus % value:
        yield {"value": value, "gpus": gpus}


def _incomplete_tool_calls(service: ModelService) -> Iterator[Facts]:
    arguments = service.engine.engine_kwargs
    choice, parser = (bool(arguments.get(name)) for name in ("enable_auto_tool_choice", "tool_call_parser"))
    if choice != parser:
        present, missing = "enable_auto_tool_choice", "tool_call_parser"
        yield {"present": present if choice else missing, "missing": missing if choice else present}


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
            "compatibility.least-connections-lora",
            problem="LoRA adapters do not work on data path {data_path}",
            reason="a replica loads an adapter when Ray's router names it, and this data path has no router",
            fix="Write `data_path: direct_streaming`, or `python_proxy`",
            source="ray/llm/_internal/serve/core/ingress/router.py",
        ),
        "model.lora",
        _if(lambda s: _routerless(s) and s.model.lora is not None),
    ),
    Incompatibility(
        Rule(
            "compatibility.least-connections-router",
            problem="{router} does not work on data path {data_path}",
            reason="HAProxy selects the replica there, and no router of Ray's runs",
            fix="Write `request_router: session_hash` or `prompt_hash`, or `data_path: direct_streaming`",
            source="ray/llm/_internal/serve/core/ingress/builder.py",
        ),
        "request_router",
        _router(lambda s: _routerless(s) and isinstance(s.request_router, SessionRouter | PrefixCacheAffinityRouter)),
    ),
    Incompatibility(
        Rule(
            "compatibility.hash-router",
            problem="{router} does not work on data path {data_path}",
            reason="HAProxy does not select the replica there: its hash would select a router, or an ingress replica",
            fix="Write `data_path: least_connections`, or `request_router: session` or `prefix_cache_affinity`",
            source="ray/serve/_private/haproxy_templates.py",
        ),
        "request_router",
        _router(lambda s: not _routerless(s) and isinstance(s.request_router, HashedAffinity)),
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
            "compatibility.structured-outputs-mapping",
            problem="a mapping does not work",
            reason="this Ray version passes it to vLLM unconverted, and the replica does not start",
            fix="Use an image with Ray 2.58.0 or later, or remove it; a parser has its own argument, reasoning_parser",
            source="ray-project/ray#65077, vllm/engine/arg_utils.py",
        ),
        f"{ENGINE_KWARGS}.structured_outputs_config",
        _unconverted_mapping,
        until="2.58.0",
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
            "compatibility.decode-context-parallel",
            problem="{value} does not divide engine.tensor_parallel_size {gpus}",
            reason="vLLM splits the context between the GPUs of tensor parallelism",
            fix="Write a divisor of {gpus}, or remove the argument",
            source="vllm/config/parallel.py",
        ),
        f"{ENGINE_KWARGS}.decode_context_parallel_size",
        _uneven_context_parallel,
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
