"""The workloads of the local host: the model, the Ray head and the Serve application."""

from __future__ import annotations

from typing import Any

import pulumi

from config.issues import ConfigError
from config.model_service import TINY_RANDOM
from config.serving import ServingSettings
from infra.contract import LocalHost
from workloads import serve_config
from workloads.local import host_checks
from workloads.local.ray_head import RayHead
from workloads.local.serve_application import ServeApplication
from workloads.local.tiny_model import TinyModel, model_dir

ENGINE_DEFAULTS = {"enforce_eager": True, "dtype": "bfloat16", "max_num_seqs": 64}
"""vLLM arguments for a CPU: no graph capture, and no more concurrent sequences than a CPU can process."""


def deploy(serving: ServingSettings, host: LocalHost) -> dict[str, pulumi.Input[Any]]:
    """Declare the workloads and return the stack's outputs.

    Raises ConfigError, before it declares a resource, if `host` cannot run `serving`.
    """
    if issues := list(host_checks.find_issues(host, serving)):
        raise ConfigError(issues)
    tiny = serving.model.source == TINY_RANDOM
    head = RayHead("ray-head", host, serving)
    model = [TinyModel("tiny-model", host, pulumi.ResourceOptions(depends_on=[head]))] if tiny else []
    application = ServeApplication(
        "serve",
        config=serve_config.serve_config(
            serving,
            model_source=str(model_dir(host)) if tiny else serving.model.source,
            accelerator_type=None,
            host="127.0.0.1",
            port=host.ports.serve,
            engine_defaults=ENGINE_DEFAULTS,
        ),
        dashboard=head.dashboard,
        session=head.session,
        data_dir=head.data_dir,
        opts=pulumi.ResourceOptions(depends_on=model),
    )
    return {
        "endpoint": f"http://127.0.0.1:{host.ports.serve}/v1",
        "model": serving.model.id,
        "data_path": serving.data_path.value,
        "dashboard": head.dashboard,
        "haproxy_stats": f"http://127.0.0.1:{host.ports.haproxy_stats}/stats",
        "data_dir": head.data_dir,
        "process_tag": host.process_tag,
        "random_weights": tiny,
        "status": application.status,
    }
