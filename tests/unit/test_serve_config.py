"""The Serve configuration, field by field."""

from typing import Any

import pytest

from config.serving import ServingSettings
from workloads.serve_config import HEALTH_CHECK_PERIOD_S, serve_config


def document(**serving: Any) -> dict[str, Any]:
    settings = ServingSettings.model_validate({"model": {"id": "m"}, **serving})
    return serve_config(
        settings,
        model_source="/models/m",
        accelerator_type=None,
        host="127.0.0.1",
        port=8000,
        engine_defaults={"dtype": "auto"},
    )


def llm_config(**serving: Any) -> dict[str, Any]:
    return document(**serving)["applications"][0]["args"]["llm_configs"][0]


def test_one_application_at_the_root_with_one_model() -> None:
    (application,) = document()["applications"]
    assert application["route_prefix"] == "/"
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    assert len(application["args"]["llm_configs"]) == 1
    assert "ingress_deployment_config" not in application["args"]


def test_connections_outlive_google_s_load_balancer_s_600_seconds() -> None:
    assert document()["http_options"] == {"host": "127.0.0.1", "port": 8000, "keep_alive_timeout_s": 620}


def test_the_engine_always_runs_on_ray() -> None:
    assert llm_config()["engine_kwargs"]["distributed_executor_backend"] == "ray"


def test_settings_override_the_platform_s_defaults_and_fixed_arguments_override_both() -> None:
    engine = llm_config(engine={"max_model_len": 512, "engine_kwargs": {"dtype": "float32", "seed": 7}})[
        "engine_kwargs"
    ]
    assert engine["dtype"] == "float32"
    assert engine["seed"] == 7
    assert engine["max_model_len"] == 512


@pytest.mark.parametrize(
    ("setting", "written"), [({}, None), ({"max_model_len": None}, None), ({"max_model_len": 512}, 512)]
)
def test_the_context_is_the_model_s_own_unless_the_settings_say_otherwise(
    setting: dict[str, Any], written: int | None
) -> None:
    assert llm_config(engine=setting)["engine_kwargs"].get("max_model_len") == written


@pytest.mark.parametrize("setting", ["auto", -1])
def test_vllm_chooses_the_context_if_the_settings_say_auto(setting: str | int) -> None:
    assert llm_config(engine={"max_model_len": setting})["engine_kwargs"]["max_model_len"] == -1


def test_only_real_gpus_have_an_accelerator_type() -> None:
    assert "accelerator_type" not in llm_config()
    settings = ServingSettings.model_validate({"model": {"id": "m"}})
    real = serve_config(settings, model_source="m", accelerator_type="B200", host="0.0.0.0", port=8000)
    assert real["applications"][0]["args"]["llm_configs"][0]["accelerator_type"] == "B200"


def test_fixed_replicas_and_autoscaling_exclude_each_other() -> None:
    checked = {"health_check_period_s": HEALTH_CHECK_PERIOD_S}
    fixed = llm_config(replicas={"kind": "fixed", "num_replicas": 8})["deployment_config"]
    assert fixed == {"num_replicas": 8, **checked}
    options = {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 9, "downscale_delay_s": 60}
    scaling = {"kind": "autoscaling", **options}
    assert llm_config(replicas=scaling)["deployment_config"] == {"autoscaling_config": options, **checked}


def test_options_of_the_python_proxy_path_have_ray_s_field_names() -> None:
    made = document(
        data_path="python_proxy",
        ingress={"num_replicas": 3},
        request_router="prefix_cache_affinity",
        model={
            "id": "m",
            "lora": {"dynamic_lora_loading_path": "gs://bucket/adapters", "max_num_adapters_per_replica": 2},
        },
    )["applications"][0]["args"]
    assert made["ingress_deployment_config"] == {"num_replicas": 3}
    (config,) = made["llm_configs"]
    router = config["deployment_config"]["request_router_config"]["request_router_class"]
    assert router == "ray.serve.llm.request_router:PrefixCacheAffinityRouter"
    assert config["lora_config"] == {
        "dynamic_lora_loading_path": "gs://bucket/adapters",
        "max_num_adapters_per_replica": 2,
    }
    assert config["engine_kwargs"]["enable_lora"] is True
    assert config["engine_kwargs"]["max_cpu_loras"] == 2


def test_a_terminating_router_answers_until_every_haproxy_has_reloaded() -> None:
    def application(data_path: str, drain_s: int | None) -> dict[str, Any]:
        settings = ServingSettings.model_validate({"model": {"id": "m"}, "data_path": data_path})
        where: dict[str, Any] = {"model_source": "m", "accelerator_type": None, "host": "0.0.0.0", "port": 8000}
        return serve_config(settings, **where, drain_s=drain_s)["applications"][0]

    (router,) = application("direct_streaming", 60)["deployments"]
    assert router["name"] == "LLMRouter"
    assert router["graceful_shutdown_wait_loop_s"] > 2
    assert "deployments" not in application("python_proxy", 60)
    assert "deployments" not in application("direct_streaming", None)
