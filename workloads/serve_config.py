"""The Serve configuration: one document, whoever carries it (a RayService on GKE, Ray's REST API on a machine).

Source of the field names: ray/serve/schema.py (ServeDeploySchema) and ray.serve.llm.LLMConfig, Ray 2.60.
"""

from __future__ import annotations

from typing import Any

from config.data_path import DATA_PATHS
from config.model_service import Autoscaling, ModelService, RequestRouter

APPLICATION = "llm"
KEEP_ALIVE_S = 620
"""Google's load balancer reuses a connection to a back end for 600 s; a back end that closes first makes it answer 502.
Ray's default is 90 s."""

LEAVING_S = 10
"""How long a router or a replica that leaves still answers: until every HAProxy has reloaded without it. What a router
refuses is not tried again, and answers 503 (router_unreachable). Ray waits 2 s and 30 s."""

_ROUTER_CLASSES = {RequestRouter.PREFIX_CACHE_AFFINITY: "ray.serve.llm.request_router:PrefixCacheAffinityRouter"}


def serve_config(
    serving: ModelService,
    *,
    model_source: str,
    accelerator_type: str | None,
    host: str,
    port: int,
    engine_defaults: dict[str, Any] | None = None,
    drain_s: int | None = None,
    request_timeout_s: int | None = None,
) -> dict[str, Any]:
    """The ServeDeploySchema document for `serving`.

    `model_source` is what vLLM loads (a folder, a bucket or a Hugging Face id); `accelerator_type` is Ray's name of
    the GPU, None where GPUs are logical; `host` and `port` are where the proxy listens; `engine_defaults` are vLLM
    arguments of the kind of site, which the settings may override; `drain_s` is how long a replica that leaves may
    finish what it has, and `request_timeout_s` how long one request may take (Ray's defaults: 20 s, for ever).
    """
    llm_config = _llm_config(serving, model_source, accelerator_type, engine_defaults)
    if drain_s is not None:
        llm_config["deployment_config"]["graceful_shutdown_timeout_s"] = drain_s
    arguments: dict[str, Any] = {"llm_configs": [llm_config]}
    http_options: dict[str, Any] = {"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_S}
    if request_timeout_s is not None:
        http_options["request_timeout_s"] = request_timeout_s
    if serving.ingress is not None:
        arguments["ingress_deployment_config"] = {"num_replicas": serving.ingress.num_replicas}
    application: dict[str, Any] = {
        "name": APPLICATION,
        "route_prefix": "/",
        "import_path": "ray.serve.llm:build_openai_app",
        "args": arguments,
    }
    if drain_s is not None and DATA_PATHS[serving.data_path].direct:
        application["deployments"] = [{"name": "LLMRouter", "graceful_shutdown_wait_loop_s": LEAVING_S}]
    return {"proxy_location": "EveryNode", "http_options": http_options, "applications": [application]}


def _llm_config(
    serving: ModelService, model_source: str, accelerator_type: str | None, engine_defaults: dict[str, Any] | None
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_loading_config": {"model_id": serving.model.id, "model_source": model_source},
        "engine_kwargs": {
            **(engine_defaults or {}),
            **serving.engine.engine_kwargs,
            "max_model_len": serving.engine.max_model_len,
            "tensor_parallel_size": serving.engine.tensor_parallel_size,
            # The executor family; VLLM_USE_RAY_V2_EXECUTOR_BACKEND (data_path.py) picks its second version.
            "distributed_executor_backend": "ray",
        },
        "deployment_config": _deployment(serving),
    }
    if accelerator_type is not None:
        config["accelerator_type"] = accelerator_type
    if (lora := serving.model.lora) is not None:
        config["lora_config"] = {
            "dynamic_lora_loading_path": lora.dynamic_lora_loading_path,
            "max_num_adapters_per_replica": lora.max_num_adapters_per_replica,
        }
    return config


def _deployment(serving: ModelService) -> dict[str, Any]:
    deployment: dict[str, Any] = {}
    if isinstance(serving.replicas, Autoscaling):
        deployment["autoscaling_config"] = {
            "min_replicas": serving.replicas.min_replicas,
            "max_replicas": serving.replicas.max_replicas,
            "target_ongoing_requests": serving.replicas.target_ongoing_requests,
            "downscale_delay_s": serving.replicas.downscale_delay_s,
        }
    else:
        deployment["num_replicas"] = serving.replicas.num_replicas
    if serving.request_router in _ROUTER_CLASSES:
        deployment["request_router_config"] = {"request_router_class": _ROUTER_CLASSES[serving.request_router]}
    return deployment
