"""`make preflight` of engine arguments, with vLLM's answers given."""

import subprocess
from typing import Any

import pytest

from config.serving import ServingSettings
from tools import engine_preflight
from verify.check_result import Status


def results(answer: Any, ray: str = "2.60.0", **engine: Any) -> list[tuple[Status, str]]:
    release = {"image": f"ray@sha256:{64 * '1'}", "ray_version": ray}
    kubernetes = {"releases": {"r1": release}, "max_rate_per_endpoint": 1}
    serving = ServingSettings.model_validate({"model": {"id": "m"}, "engine": engine, "kubernetes": kubernetes})

    def ask(arguments: dict[str, Any], *, gpu: bool) -> Any:
        assert gpu
        if isinstance(answer, Exception):
            raise answer
        return answer

    return [(each.status, each.detail) for each in engine_preflight.check_results(serving, gpu=True, ask=ask)]


def test_a_rule_that_vllm_checks_fails_with_its_own_sentence_and_the_path() -> None:
    ((status, detail),) = results([("max_num_seqs", "refused", "too many")], engine_kwargs={"max_num_seqs": 9})
    assert status is Status.FAILED
    assert detail == "serving.engine.engine_kwargs: max_num_seqs: vLLM refuses it: too many"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FileNotFoundError(), "`make up` installs it"),
        (subprocess.CalledProcessError(1, "python", stderr="a\nlast line"), "last line"),
        ([("speculative_config", "not checked", "it depends on the model")], "not checked: it depends"),
    ],
    ids=["no venv", "no answer", "not checked"],
)
def test_what_cannot_be_checked_is_told_and_fails_nothing(answer: Any, words: str) -> None:
    found = results(answer, engine_kwargs={"max_num_seqs": 9})
    assert found[0][0] is Status.NOT_RUN
    assert words in found[0][1]
    assert all(status in (Status.NOT_RUN, Status.OK) for status, _ in found)


def test_another_vllm_than_the_installed_one_is_not_checked() -> None:
    ((status, detail),) = results([], ray="2.56.1", engine_kwargs={"max_num_seqs": 9})
    assert status is Status.NOT_RUN
    assert "Ray 2.56.1 has vLLM 0.22.0, and .venv-ray has 0.29.0" in detail


def test_a_ray_version_without_a_table_is_told() -> None:
    ((status, detail),) = results([], ray="2.99.0", engine_kwargs={"zzz": 9})
    assert status is Status.NOT_RUN
    assert "no table for Ray 2.99.0" in detail


def test_a_name_that_only_a_plugin_can_register_is_a_warning() -> None:
    found = results([], engine_kwargs={"quantization": "fp9"})
    assert found[0][0] is Status.WARNING
    assert "engine_kwargs.quantization: right only if a plugin" in found[0][1]


def test_vllm_is_asked_about_the_engine_s_own_settings_too() -> None:
    serving = ServingSettings.model_validate(
        {
            "model": {"id": "m"},
            "engine": {"max_model_len": 512, "tensor_parallel_size": 2, "engine_kwargs": {"seed": 1}},
        }
    )
    assert engine_preflight.arguments(serving.engine) == {"tensor_parallel_size": 2, "max_model_len": 512, "seed": 1}
