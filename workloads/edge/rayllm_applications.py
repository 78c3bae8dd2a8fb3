"""Serve applications that Ray has no builder for. Runs in Ray's image and in `.venv-ray`; Serve imports it by its plain
name, because its folder is on PYTHONPATH.

Source: ray/llm/_internal/serve/core/ingress/builder.py, whose builder for direct streaming always adds a request
router.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.llm import LLMConfig, LLMServer, build_llm_deployment


def build_least_connections_app(arguments: dict[str, Any]) -> serve.Application:
    """Return the application of one model without a request router: HAProxy sends requests to the replicas itself.

    `arguments`: as for `ray.serve.llm:build_openai_app`.
    """
    (config,) = arguments["llm_configs"]
    return build_llm_deployment(LLMConfig.model_validate(config), deployment_cls=serve.ingress()(LLMServer))
