"""The serving stack on this computer: model, Ray head, Serve application, in that order."""

from __future__ import annotations

from typing import Any

import pulumi

from config.issues import ConfigError
from config.model_service import TINY_RANDOM
from config.serving import ServingSettings
from infra.contract import LocalHost
from workloads import serve_config
from workloads.local import host_checks, tiny_model
from workloads.local.ray_head import RayHead
from workloads.local.serve_application import ServeApplication

ENGINE_DEFAULTS = {"enforce_eager": True, "dtype": "bfloat16", "max_num_seqs": 64}
"""vLLM arguments that suit a CPU: no graph capture, and no more sequences at once than it can hold."""


def deploy(serving: ServingSettings, site: LocalHost) -> dict[str, pulumi.Input[Any]]:
    """Declare everything; returns the stack's outputs. Raises `ConfigError`, before any resource, when this computer
    cannot run `serving`."""
    if issues := list(host_checks.find_issues(site, serving)):
        raise ConfigError(issues)
    on_the_spot = serving.model.source == TINY_RANDOM
    source = str(tiny_model.folder_of(site)) if on_the_spot else serving.model.source
    head = RayHead("ray-head", site, serving.data_path)
    model = [tiny_model.TinyModel("tiny-model", site, pulumi.ResourceOptions(depends_on=[head]))] if on_the_spot else []
    application = ServeApplication(
        "serve",
        config=serve_config.serve_config(
            serving,
            model_source=source,
            accelerator_type=None,
            host="127.0.0.1",
            port=site.ports.serve,
            engine_defaults=ENGINE_DEFAULTS,
        ),
        dashboard=head.dashboard,
        session=head.session,
        folder=head.folder,
        opts=pulumi.ResourceOptions(depends_on=model),
    )
    return {
        "endpoint": f"http://127.0.0.1:{site.ports.serve}/v1",
        "model": serving.model.id,
        "data_path": serving.data_path.value,
        "dashboard": head.dashboard,
        "haproxy_stats": f"http://127.0.0.1:{site.ports.haproxy_stats}/stats",
        "data_dir": head.folder,
        "process_tag": site.process_tag,
        "random_weights": on_the_spot,
        "status": application.status,
    }
