"""Which options and versions do not work together, and how we know. Checked on plain data, before any resource exists.

A `Row` is a `Rule` (what a person reads), a predicate and the Ray versions that it holds for. A `Note` is a combination
that settings cannot express, because the stack never writes it.
docs/reference/compatibility.md is both, generated; `make compat`
says which rows hold for the Ray that is pinned.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import versions
from config.data_path import DATA_PATHS
from config.issues import Rule
from config.model_service import ModelService, RequestRouter
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
"""Engine argument -> the names that vLLM 0.29 registers, the one in Ray 2.60's images."""
PLUGINS = {"reasoning_parser": "reasoning_parser_plugin", "tool_call_parser": "tool_parser_plugin"}
"""Engine arguments by which a file adds names of its own."""

BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "gpu_memory_utilization": (0.05, 1),
        "max_num_batched_tokens": (1, math.inf),
        "max_num_seqs": (1, math.inf),
    }
)
"""Engine argument -> its lowest and highest value: those that people turn."""

Facts = dict[str, object]


@dataclass(frozen=True)
class Incompatibility:
    """`facts` gives what the rule's sentence needs, once for each time that it is broken. It holds from Ray `since` on,
    and no longer in `until`; empty: no such end is known."""

    rule: Rule
    facts: Callable[[ModelService], Iterator[Facts]] = field(repr=False)
    since: str = ""
    until: str = ""

    def applies_to(self, ray: str) -> bool:
        """Whether Ray `ray` has it."""
        return not (self.since and older(ray, self.since)) and not self.is_fixed(ray)

    def is_fixed(self, ray: str) -> bool:
        """Whether Ray `ray` is too new to have it."""
        return bool(self.until) and not older(ray, self.until)

    @property
    def ray_versions(self) -> str:
        """The versions, for a person."""
        bounds = [f"from {self.since}" if self.since else "", f"before {self.until}" if self.until else ""]
        return " and ".join(filter(None, bounds)) or "every one"


class Component(StrEnum):
    """What a note is about."""

    RAY = "Ray"
    HAPROXY = "HAProxy under Ray"
    KUBERAY = "KubeRay"


@dataclass(frozen=True)
class UpstreamLimit:
    """Something that does not work, and what the stack does so that nobody meets it."""

    component: Component
    behaviour: str
    symptom: str
    workaround: str
    """What the stack does instead."""
    source: str


def older(version: str, than: str) -> bool:
    """Whether dotted `version` comes before `than`."""
    one, other = ([int(number) for number in each.split(".")] for each in (version, than))
    return one < other


def _if(applies: Callable[[ModelService], bool]) -> Callable[[ModelService], Iterator[Facts]]:
    """As a row's `facts`, where only the data path is to be told."""

    def facts(service: ModelService) -> Iterator[Facts]:
        if applies(service):
            yield {"data_path": service.data_path.value}

    return facts


def _direct(service: ModelService) -> bool:
    return DATA_PATHS[service.data_path].direct


def _more_than_one(argument: str) -> Callable[[ModelService], Iterator[Facts]]:
    def facts(service: ModelService) -> Iterator[Facts]:
        value = service.engine.engine_kwargs.get(argument, 1)
        if value != 1:
            yield {"value": value}

    return facts


def _unknown_arguments(service: ModelService) -> Iterator[Facts]:
    for name in service.engine.engine_kwargs.keys() - ENGINE_ARGUMENT_NAMES:
        close = difflib.get_close_matches(name.strip("- ").replace("-", "_").lower(), ENGINE_ARGUMENT_NAMES, n=1)
        yield {"name": name, "instead": close[0] if close else "one of its names (vllm/engine/arg_utils.py) instead"}


def _impossible_values(service: ModelService) -> Iterator[Facts]:
    for name, (low, high) in BOUNDS.items():
        value = service.engine.engine_kwargs.get(name)
        if value is not None and (isinstance(value, bool | str) or not low <= value <= high):
            yield {"name": name, "value": value, "low": low, "high": "any number" if high == math.inf else high}


def _half_of_tools(service: ModelService) -> Iterator[Facts]:
    arguments = service.engine.engine_kwargs
    choice, parser = (bool(arguments.get(name)) for name in ("enable_auto_tool_choice", "tool_call_parser"))
    if choice != parser:
        there, missing = "enable_auto_tool_choice", "tool_call_parser"
        yield {"there": there if choice else missing, "missing": missing if choice else there}


def _unknown_parsers(service: ModelService) -> Iterator[Facts]:
    arguments: Mapping[str, Any] = service.engine.engine_kwargs
    for name, known in PARSERS.items():
        if (value := arguments.get(name)) and value not in known and not arguments.get(PLUGINS[name]):
            yield {"name": name, "value": value, "plugin": PLUGINS[name], "known": ", ".join(sorted(known))}


INCOMPATIBILITIES: tuple[Incompatibility, ...] = (
    Incompatibility(
        Rule(
            "compatibility.direct-lora",
            problem="serving.model.lora is set on data path {data_path}",
            reason="Ray 2.60 refuses the application unless the router is given a copy of every request body, and "
            "older "
            "ones ignore the adapter that a request names",
            fix="write data_path: python_proxy, or merge the adapter into the weights",
            source="ray/llm/_internal/serve/core/ingress/builder.py, ray-project/ray#65976",
        ),
        _if(lambda s: _direct(s) and s.model.lora is not None),
    ),
    Incompatibility(
        Rule(
            "compatibility.direct-ingress",
            problem="serving.ingress is set on data path {data_path}",
            reason="there the replica is its own ingress and Ray refuses options for another one",
            fix="take `ingress` out, or write data_path: python_proxy",
            source="ray/llm/_internal/serve/core/ingress/builder.py",
        ),
        _if(lambda s: _direct(s) and s.ingress is not None),
    ),
    Incompatibility(
        Rule(
            "compatibility.direct-prefix-cache",
            problem="request_router prefix_cache_affinity is set on data path {data_path}",
            reason="there the router is not shown the prompt, so it spreads requests as if nothing were cached, and "
            "says "
            "so once in a log (in Ray 2.56.0 requests hang)",
            fix="write request_router: default, or data_path: python_proxy",
            source="ray-project/ray#64326, ray-project/ray#64328",
        ),
        _if(lambda s: _direct(s) and s.request_router is RequestRouter.PREFIX_CACHE_AFFINITY),
    ),
    Incompatibility(
        Rule(
            "compatibility.data-parallel",
            problem="engine.engine_kwargs has data_parallel_size {value}",
            reason="the ranks need Ray's own builder for them, and the one used here gives a replica "
            "the GPUs of one rank",
            fix="take it out; for more copies of the model write more replicas",
            source="ray-project/ray#58301",
        ),
        _more_than_one("data_parallel_size"),
    ),
    Incompatibility(
        Rule(
            "compatibility.pipeline-parallel",
            problem="engine.engine_kwargs has pipeline_parallel_size {value}",
            reason="Ray would ask for that many times the GPUs that pods, pools and quota are counted with",
            fix="take it out; to spread a model over more GPUs of a node write engine.tensor_parallel_size",
            source="ray/llm/_internal/serve/engines/vllm/vllm_models.py",
        ),
        _more_than_one("pipeline_parallel_size"),
    ),
    Incompatibility(
        Rule(
            "compatibility.context-parallel",
            problem="engine.engine_kwargs has prefill_context_parallel_size {value}",
            reason="vLLM would start that many times the workers that Ray reserves GPUs for",
            fix="take it out; to spread a model over more GPUs of a node write engine.tensor_parallel_size",
            source="vllm/config/parallel.py, ray/llm/_internal/serve/engines/vllm/vllm_models.py",
        ),
        _more_than_one("prefill_context_parallel_size"),
    ),
    Incompatibility(
        Rule(
            "compatibility.unknown-argument",
            problem="engine.engine_kwargs has {name}",
            reason="the vLLM of this Ray has no argument of that name, and Ray would refuse the model when the "
            "GPUs are "
            "up and paid for",
            fix="write {instead}",
            source="ray/llm/_internal/serve/engines/vllm/vllm_models.py",
        ),
        _unknown_arguments,
        since="2.60.0",
        until="2.61.0",  # another Ray has another vLLM: read its names again
    ),
    Incompatibility(
        Rule(
            "compatibility.impossible-value",
            problem="engine.engine_kwargs has {name}: {value}",
            reason="vLLM would refuse it when the GPUs are up and paid for",
            fix="write a number from {low} to {high}",
            source="vllm/config/cache.py, vllm/config/scheduler.py",
        ),
        _impossible_values,
    ),
    Incompatibility(
        Rule(
            "compatibility.log-stats",
            problem="engine.engine_kwargs has disable_log_stats: true",
            reason="Ray takes the engine's metrics from these statistics and refuses the model without them",
            fix="take it out",
            source="ray/llm/_internal/serve/core/configs/llm_config.py",
        ),
        _if(lambda s: bool(s.engine.engine_kwargs.get("disable_log_stats"))),
    ),
    Incompatibility(
        Rule(
            "compatibility.half-of-tool-calls",
            problem="engine.engine_kwargs has {there} and not {missing}",
            reason="vLLM ignores one without the other, so that no automatic tool call is recognised; its own check is "
            "on a command line that Ray does not use",
            fix="write both, or neither",
            source="vllm/parser/parser_manager.py, vllm/entrypoints/launchers/cli_args.py",
        ),
        _half_of_tools,
    ),
    Incompatibility(
        Rule(
            "compatibility.unknown-parser",
            problem="engine.engine_kwargs has {name} {value}",
            reason="the vLLM of this Ray has none of that name, and would say so when the GPUs are up and paid for",
            fix="write one of {known}; or {plugin} for one of your own",
            source="vllm/parser/parser_manager.py",
        ),
        _unknown_parsers,
        since="2.60.0",
        until="2.61.0",  # another Ray has another vLLM: read its names again
    ),
)

UPSTREAM_LIMITS: tuple[UpstreamLimit, ...] = (
    UpstreamLimit(
        Component.RAY,
        "direct streaming without HAProxy",
        "Ray refuses the application, as only HAProxy can ask the router for a replica",
        "a data path is one set of variables, the same on head and workers",
        "ray/serve/_private/build_app.py",
    ),
    UpstreamLimit(
        Component.RAY,
        "a request router of one's own behind HAProxy, without direct streaming",
        "ignored in silence at first, later refused",
        "there is no such data path",
        "ray-project/ray#64211",
    ),
    UpstreamLimit(
        Component.RAY,
        "Ray 2.56.0 with direct streaming",
        "body-aware routers hang; one router replica takes all requests of a cluster",
        f"refused: Ray is {versions.RAY_FLOOR} or later",
        "ray-project/ray#64326, ray-project/ray#64724",
    ),
    UpstreamLimit(
        Component.RAY,
        "http_options.num_cpus other than 0",
        "the Serve configuration is refused",
        "not written",
        "ray/serve/config.py",
    ),
    UpstreamLimit(
        Component.RAY,
        "an executor other than Ray's under vLLM on GPUs",
        "the model is refused",
        "distributed_executor_backend is not a setting",
        "ray/llm/_internal/serve/engines/vllm/vllm_models.py",
    ),
    UpstreamLimit(
        Component.HAPROXY,
        "answers longer than hard-stop-after, while replicas come and go",
        "every such change reloads HAProxy; the old process cuts what is left after 120 s",
        "on clusters the limit follows from request_timeout_s",
        "ray-project/ray#66056",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "upgradeStrategy NewClusterWithIncrementalUpgrade",
        "needs an alpha feature gate, off by default up to 1.6.1",
        "NewCluster where a second RayCluster fits, else None",
        "ray-operator/pkg/features/features.go",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "gcsFaultToleranceOptions.externalStorageNamespace on a RayService",
        "the new RayCluster of an upgrade loads the state of the old one",
        "not written: it is then the RayCluster's own id",
        "ray-project/kuberay#1296, ray-project/kuberay#5052",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "authOptions.mode token with Ray before 2.52.0, or without rayVersion",
        "the RayService is refused by the operator, after the API server took it",
        "rayVersion is always written, and is later than that",
        "ray-operator/controllers/ray/utils/validation.go",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "authOptions.enableK8sTokenAuth on a RayService",
        "refused by the operator in 1.6.1",
        "not written; `ray_auth_mode: token` is a token in a Secret",
        "ray-operator/controllers/ray/utils/validation.go",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "autoscaler v2 with a pod's restartPolicy other than Never",
        "refused by the operator",
        "restartPolicy is not written",
        "ray-operator/controllers/ray/utils/validation.go",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "GCS fault tolerance twice: gcsFaultToleranceOptions beside its annotations or RAY_REDIS_ADDRESS",
        "refused by the operator",
        "only gcsFaultToleranceOptions is written",
        "ray-operator/controllers/ray/utils/validation.go",
    ),
)


def find_issues(service: ModelService, ray: str = versions.RAY) -> Iterator[tuple[str, str]]:
    """(rule id, sentence) of every row that `service` runs into on Ray `ray`."""
    for row in INCOMPATIBILITIES:
        if row.applies_to(ray):
            for facts in row.facts(service):
                yield row.rule.id, row.rule.format(**facts)


def expired(rows: Sequence[Incompatibility] = INCOMPATIBILITIES, ray: str = versions.RAY) -> list[Incompatibility]:
    """Rows that Ray `ray` is too new for: to be taken out, or read again."""
    return [row for row in rows if row.is_fixed(ray)]
