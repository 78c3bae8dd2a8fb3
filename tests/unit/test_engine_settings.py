"""What the settings of the engine become in the Serve configuration, and how many replicas a node holds."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config import chat_template, engine_env, gpu_sharing
from config.issues import ConfigError
from config.media import NO_REDIRECTS
from config.model_service import Model
from config.serving import ServingSettings
from config.stack import check
from config.vllm.env_vars import versions_with, vllm_version
from paths import CHECKOUT
from tests.unit import ray_services
from tests.unit.case import blocks, edited
from tools.vllm_env_vars import env_var_names, pinned_vllm, replacements
from workloads.kubernetes.ray_service import ray_env_vars
from workloads.serve_config import serve_config

VLLM = "vLLM is not installed here; `make up` or the serving tier installs it"


def llm_config(**settings: Any) -> dict[str, Any]:
    serving = ServingSettings.model_validate({"model": {"id": "m"}, **settings})
    document = serve_config(serving, model_source="/m", accelerator_type="NVIDIA-L4", host="127.0.0.1", port=8000)
    return document["applications"][0]["args"]["llm_configs"][0]


def test_the_environment_goes_to_the_replicas_as_text() -> None:
    config = llm_config(engine={"env": {"VLLM_LOGGING_LEVEL": "DEBUG", "PYTHONHASHSEED": 0, "OMP_NUM_THREADS": 1.5}})
    env = {"VLLM_LOGGING_LEVEL": "DEBUG", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1.5"}
    assert config["runtime_env"] == {"env_vars": {**NO_REDIRECTS, **env}}


def test_without_settings_of_the_engine_ray_s_defaults_hold() -> None:
    assert llm_config()["runtime_env"] == {"env_vars": NO_REDIRECTS}
    assert "placement_group_config" not in llm_config()
    assert "max_ongoing_requests" not in llm_config()["deployment_config"]
    assert not llm_config()["engine_kwargs"].keys() & {"chat_template", "gpu_memory_utilization"}


def test_replicas_that_share_a_gpu_reserve_their_share_of_it_and_of_its_memory() -> None:
    config = llm_config(engine={"replicas_per_gpu": 3})
    assert config["placement_group_config"] == {"bundle_per_worker": {"GPU": 0.3333}}
    assert config["runtime_env"] == {"env_vars": {**NO_REDIRECTS, "VLLM_RAY_PER_WORKER_GPUS": "0.3333"}}
    assert config["engine_kwargs"]["gpu_memory_utilization"] == 0.3


def test_a_written_share_of_the_memory_is_kept() -> None:
    engine = {"replicas_per_gpu": 2, "engine_kwargs": {"gpu_memory_utilization": 0.2}}
    assert llm_config(engine=engine)["engine_kwargs"]["gpu_memory_utilization"] == 0.2


@pytest.mark.parametrize("replicas", range(1, 17))
def test_the_shares_of_a_gpu_fit_on_it(replicas: int) -> None:
    assert replicas * gpu_sharing.gpu_fraction(replicas) <= 1
    assert replicas * gpu_sharing.memory_share(replicas, gpu_sharing.USABLE_SHARE) <= gpu_sharing.USABLE_SHARE


@pytest.mark.parametrize(("replicas_per_gpu", "nodes"), [(1, 3), (2, 2), (3, 1)])
def test_more_replicas_a_gpu_need_fewer_nodes(replicas_per_gpu: int, nodes: int) -> None:
    edit = {"serving.engine.replicas_per_gpu": replicas_per_gpu}
    (plan,) = check("dev", edited(blocks("dev"), edit)).region_plans.values()
    assert [group.max_replicas for group in plan.services[0].worker_groups] == [nodes]
    assert plan.services[0].service.max_gpus == nodes


def test_ongoing_requests_are_an_option_of_the_deployment() -> None:
    assert llm_config(max_ongoing_requests=8)["deployment_config"]["max_ongoing_requests"] == 8


def test_a_deployment_that_scales_to_zero_begins_with_a_replica() -> None:
    scaling = {"kind": "autoscaling", "min_replicas": 0, "max_replicas": 2}
    config = llm_config(replicas=scaling)["deployment_config"]["autoscaling_config"]
    assert (config["min_replicas"], config["initial_replicas"]) == (0, 1)
    assert "initial_replicas" not in llm_config(replicas={**scaling, "min_replicas": 1})["deployment_config"]


@pytest.mark.parametrize("template", ["{{ messages[0]['content'] }}", "/models/m/chat_template.jinja"])
def test_the_text_of_a_template_and_a_path_in_the_image_are_passed_on(template: str) -> None:
    assert llm_config(model={"id": "m", "chat_template": template})["engine_kwargs"]["chat_template"] == template


def test_a_template_file_of_the_checkout_is_read() -> None:
    path = "tests/unit/chat_template.jinja"
    argument = llm_config(model={"id": "m", "chat_template": path})["engine_kwargs"]["chat_template"]
    assert argument == (CHECKOUT / path).read_text()
    assert "messages" in argument


def test_a_file_in_another_encoding_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "CHECKOUT", tmp_path)
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ValidationError, match="has no Jinja expression"):
        Model(id="m", chat_template="logo.png")


@pytest.mark.parametrize("name", [*(f"{prefix}X" for prefix in engine_env.READERS), "HF_HUB_DISABLE_IMPLICIT_TOKEN"])
def test_a_variable_of_a_library_of_the_engine_is_allowed(name: str) -> None:
    assert list(engine_env.find_issues({name: "1"})) == []


def test_a_variable_that_the_stack_sets_in_a_pod_is_no_setting_of_the_engine() -> None:
    names = {variable["name"]: "1" for variable in ray_env_vars(ray_services.args("prod"))}
    assert {issue.path.removeprefix("env.") for issue in engine_env.find_issues(names)} == names.keys()


@pytest.mark.parametrize(("ray", "found"), [("2.56.1", 0), ("2.57.1", 1), ("2.60.0", 1), ("2.61.0", 0)])
def test_the_names_are_those_of_the_release_s_vllm(ray: str, found: int) -> None:
    assert len(list(engine_env.find_version_issues({"VLLM_USE_FLASHINFER_MOE_FP8": "1"}, ray))) == found


def test_the_names_are_read_from_vllm_s_source() -> None:
    source = """
environment_variables: dict[str, Callable] = {
    "MAX_JOBS": lambda: 1,
    "VLLM_OLD": deprecated_env("VLLM_OLD", "v9", "Use --moe-backend a with " "--quantization_config.moe b.", f),
}
"""
    assert env_var_names(source) == {"VLLM_OLD"}
    assert replacements(source) == {"VLLM_OLD": ["moe_backend", "quantization_config"]}
    assert pinned_vllm('Requires-Dist: vllm[audio]==0.27.0; extra == "llm"\n') == "0.27.0"


def test_the_generated_names_are_those_of_the_installed_vllm() -> None:
    found = list(CHECKOUT.glob(".venv-ray/lib/python3*/site-packages/vllm/envs.py"))
    if not found:
        pytest.skip(VLLM)
    names, vllm = env_var_names(found[0].read_text()), vllm_version("2.60.0")
    assert {name for name in names if vllm not in versions_with(name)} == set()


@pytest.mark.parametrize("path", ["a" * 5000, f"tests/unit/{'b' * 300}.jinja", "x\0y", "tests"])
def test_a_template_that_cannot_be_opened_is_a_sentence(path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check("local", edited(blocks("local"), {"serving.model.chat_template": path}))
    assert refused.value.rules == ("serving.model.chat-template-not-found",)
