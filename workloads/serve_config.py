"""The Serve configuration: the same document for a RayService on GKE and for Ray's REST API on the local host.

Source of the field names: ray/serve/schema.py (ServeDeploySchema) and ray.serve.llm.LLMConfig, Ray 2.60.
"""

from __future__ import annotations

from typing import Any

from config import chat_template, gpu_sharing
from config.data_path import DATA_PATHS, DataPath
from config.media import NO_REDIRECTS
from config.model_service import AUTO, Autoscaling, Engine, ModelService
from config.request_routers import router_config

APPLICATION = "llm"
BUILDERS = {DataPath.LEAST_CONNECTIONS: "rayllm_applications:build_least_connections_app"}
"""Data path -> the builder of its application (edge/rayllm_applications.py), where it is not Ray's own."""
KEEP_ALIVE_S = 620
"""Google's load balancer reuses a connection to a back end for 600 s, and answers 502 if the back end closes it first.
Ray's default is 90 s."""

DRAINING_WAIT_S = 10
"""Seconds for which a terminating router or replica still answers: until every HAProxy has reloaded without it. HAProxy
does not retry what a router refuses, and answers 503 (router_unreachable). Ray's defaults are 2 s for a router and 30 s
for a replica."""

HEALTH_CHECK_PERIOD_S = 1
"""Seconds between two health checks of a replica by Serve's controller. A replica whose engine has died fails them, and
after three failures Serve replaces it. With Ray's default of 10 s clients get errors for half a minute. A check asks
the engine's client in the replica, so a busy engine does not fail it."""


def serve_config(
    service: ModelService,
    *,
    model_source: str,
    accelerator_type: str | None,
    host: str,
    port: int,
    engine_defaults: dict[str, Any] | None = None,
    callback_config: dict[str, Any] | None = None,
    adapters: str | None = None,
    drain_s: int | None = None,
    request_timeout_s: int | None = None,
) -> dict[str, Any]:
    """Return the ServeDeploySchema document of one model.

    `model_source`: what vLLM loads: a directory, a bucket URL or a Hugging Face id. `accelerator_type`: Ray's name of
    the GPU, or None for logical GPUs. `host`, `port`: where the proxy listens. `engine_defaults`: vLLM arguments of the
    platform, which the settings may override. `callback_config`: what Ray calls before vLLM starts. `adapters`: URL of
    the LoRA adapters, if it is not the one of the settings. `drain_s`: seconds that a terminating replica has to finish
    its requests (Ray's default: 20). `request_timeout_s`: longest duration of a request (Ray's default: no limit).
    """
    llm_config = _llm_config(service, model_source, accelerator_type, engine_defaults, adapters)
    if callback_config is not None:
        llm_config["callback_config"] = callback_config
    if drain_s is not None:
        llm_config["deployment_config"]["graceful_shutdown_timeout_s"] = drain_s
    arguments: dict[str, Any] = {"llm_configs": [llm_config]}
    http_options: dict[str, Any] = {"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_S}
    if request_timeout_s is not None:
        http_options["request_timeout_s"] = request_timeout_s
    if service.ingress is not None:
        arguments["ingress_deployment_config"] = {"num_replicas": service.ingress.num_replicas}
    application: dict[str, Any] = {
        "name": APPLICATION,
        "route_prefix": "/",
        "import_path": BUILDERS.get(service.data_path, "ray.serve.llm:build_openai_app"),
        "args": arguments,
    }
    if drain_s is not None and DATA_PATHS[service.data_path].router:
        application["deployments"] = [{"name": "LLMRouter", "graceful_shutdown_wait_loop_s": DRAINING_WAIT_S}]
    return {"proxy_location": "EveryNode", "http_options": http_options, "applications": [application]}


def _llm_config(
    service: ModelService,
    model_source: str,
    accelerator_type: str | None,
    engine_defaults: dict[str, Any] | None,
    adapters: str | None,
) -> dict[str, Any]:
    lora = service.model.lora
    config: dict[str, Any] = {
        "model_loading_config": {"model_id": service.model.id, "model_source": model_source},
        "engine_kwargs": {
            **(engine_defaults or {}),
            **_shared_gpu_memory(service.engine),
            **service.engine.engine_kwargs,
            **service.media.engine_kwargs,
            **({"revision": service.model.revision} if service.model.revision else {}),
            **(lora.engine_kwargs if lora else {}),
            **_context_length(service.engine.max_model_len),
            "tensor_parallel_size": service.engine.tensor_parallel_size,
            # The executor family; VLLM_USE_RAY_V2_EXECUTOR_BACKEND (config/data_path.py) selects its second version.
            "distributed_executor_backend": "ray",
        },
        "deployment_config": _deployment_config(service),
    }
    if accelerator_type is not None:
        config["accelerator_type"] = accelerator_type
    if service.model.chat_template is not None:
        config["engine_kwargs"]["chat_template"] = chat_template.engine_argument(service.model.chat_template)
    env = {**NO_REDIRECTS, **service.engine.env}
    if (shared := service.engine.replicas_per_gpu) > 1:
        fraction = gpu_sharing.gpu_fraction(shared)
        config["placement_group_config"] = {"bundle_per_worker": {"GPU": fraction}}
        # Ray derives it from the bundle, for its own tasks only; vLLM's executor reads it in the replica.
        env["VLLM_RAY_PER_WORKER_GPUS"] = str(fraction)
    config["runtime_env"] = {"env_vars": env}
    if lora is not None:
        config["lora_config"] = {
            "dynamic_lora_loading_path": adapters or lora.dynamic_lora_loading_path,
            "max_num_adapters_per_replica": lora.max_num_adapters_per_replica,
        }
    return config


def _context_length(tokens: int | str | None) -> dict[str, int]:
    """Return vLLM's `max_model_len`; nothing for the model's own. AsyncEngineArgs has no `auto`, only vLLM's command
    line has (human_readable_int_or_auto)."""
    return {} if tokens is None else {"max_model_len": -1 if tokens == AUTO else int(tokens)}


def _shared_gpu_memory(engine: Engine) -> dict[str, float]:
    """Return vLLM's `gpu_memory_utilization` if several replicas share a GPU; nothing for vLLM's default."""
    shared = engine.replicas_per_gpu
    return {} if shared == 1 else {"gpu_memory_utilization": gpu_sharing.memory_share(shared)}


def _deployment_config(service: ModelService) -> dict[str, Any]:
    config: dict[str, Any] = {"health_check_period_s": HEALTH_CHECK_PERIOD_S}
    if isinstance(service.replicas, Autoscaling):
        config["autoscaling_config"] = {
            "min_replicas": service.replicas.min_replicas,
            "max_replicas": service.replicas.max_replicas,
            "target_ongoing_requests": service.replicas.target_ongoing_requests,
            "downscale_delay_s": service.replicas.downscale_delay_s,
        }
        if service.replicas.min_replicas == 0:
            config["autoscaling_config"]["initial_replicas"] = 1  # a deployment shows that the model starts
    else:
        config["num_replicas"] = service.replicas.num_replicas
    if service.max_ongoing_requests is not None:
        config["max_ongoing_requests"] = service.max_ongoing_requests
    if (router := router_config(service.request_router)) is not None:
        config["request_router_config"] = router
    return config
