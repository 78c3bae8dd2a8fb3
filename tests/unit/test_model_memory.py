"""The estimate of memory: arithmetic from a model's config.json, and the warnings that follow from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from config.google.machine_types import gpu_machine_type
from config.model_memory import GIB, KNOWN_MODELS, Attention, ModelShape, estimate, find_warnings, shape_from_config
from config.model_service import ModelService
from config.stack import check
from tests.unit.case import blocks, edited
from tests.unit.test_examples import settings
from tools.model_estimate import find_shape, results
from verify.check_result import Status

DEEPSEEK: dict[str, Any] = {
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
}
GPT_OSS: dict[str, Any] = {
    "num_hidden_layers": 36,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
}
LLAMA_70B: dict[str, Any] = {
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "hidden_size": 8192,
}
GEMMA_4_31B: dict[str, Any] = {
    "text_config": {
        "num_hidden_layers": 60,
        "num_attention_heads": 32,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "num_global_key_value_heads": 4,
        "global_head_dim": 512,
        "sliding_window": 1024,
        "layer_types": [*["sliding_attention"] * 5, "full_attention"] * 10,
    }
}


def stack(name: str, edit: dict[str, Any] | None = None) -> Any:
    raw = settings(name)
    return check("mine", edited(raw, edit or {}), has_hugging_face_token=True)


def group(config: Any) -> tuple[ModelService, Any]:
    (plan,) = config.region_plans.values()
    return plan.services[0].service, plan.services[0].worker_groups[0].node_pool


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("deepseek-ai/deepseek-r1", DEEPSEEK),
        ("openai/gpt-oss-120b", GPT_OSS),
        ("meta-llama/llama-3.3-70b-instruct", LLAMA_70B),
        ("google/gemma-4-31b-it", GEMMA_4_31B),
    ],
)
def test_a_known_shape_is_what_its_config_json_says(name: str, config: dict[str, Any]) -> None:
    known = KNOWN_MODELS[name]
    assert shape_from_config(config, known.weight_bytes) == known


def test_gemma_4_keeps_the_cache_that_vllm_reported() -> None:
    """vLLM needed 27.5 GiB for 32,768 tokens (GoogleCloudPlatform/accelerated-platforms,
    rtx-pro-6000-gemma-4-31b-it/runtime.env), with a connector that keeps all tokens of every layer."""
    parts = tuple(replace(part, window=None) for part in KNOWN_MODELS["google/gemma-4-31b-it"].attention)
    assert ModelShape(0, parts).cache_bytes(32768, 1, 2) / GIB == 27.5


def test_a_latent_is_on_every_gpu_and_heads_are_shared() -> None:
    latent, heads = ModelShape(0, (Attention(1, 1, 576),)), ModelShape(0, (Attention(1, 8, 256),))
    assert latent.cache_bytes(10, 8, 2) == latent.cache_bytes(10, 1, 2) == 10 * 576 * 2
    assert heads.cache_bytes(10, 1, 2) == 8 * heads.cache_bytes(10, 8, 2)
    assert heads.cache_bytes(10, 16, 2) == heads.cache_bytes(10, 8, 2)


def test_layers_with_a_window_and_layers_without_attention_do_not_grow() -> None:
    shape = ModelShape(0, (Attention(1, 1, 2, window=100),))
    assert shape.cache_bytes(50, 1, 2) < shape.cache_bytes(100, 1, 2) == shape.cache_bytes(10**6, 1, 2)
    hybrid = {**LLAMA_70B, "layer_types": [*["linear_attention"] * 3, "full_attention"] * 20}
    found = shape_from_config(hybrid, 0)
    assert found is not None
    assert [part.layers for part in found.attention] == [20]
    shared = shape_from_config({**LLAMA_70B, "num_kv_shared_layers": 30}, 0)
    assert shared is not None
    assert [part.layers for part in shared.attention] == [50]


def test_a_config_without_layers_or_heads_has_no_shape() -> None:
    assert shape_from_config({"model_type": "mystery"}, 0) is None
    assert shape_from_config({"num_hidden_layers": 4}, 0) is None


def test_deepseek_r1_fits_one_a4() -> None:
    service, pool = group(stack("deepseek-r1-b200"))
    found = estimate(service, KNOWN_MODELS["deepseek-ai/deepseek-r1"], pool)
    assert gpu_machine_type("a4-highgpu-8g").gpu_memory_gib == 1440
    assert 80 < found.weight_gib_per_gpu < 81
    assert found.full_requests is not None
    assert found.full_requests > 20
    assert 20 * 60 < found.start_s < 40 * 60


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"serving.engine.tensor_parallel_size": 2}, "the weights do not fit: 321 GiB on each GPU of 180 GiB"),
        ({"serving.engine.max_model_len": 10**7}, "no request of the longest context fits"),
        ({"serving.kubernetes.ready_timeout_s": 600}, "ready_timeout_s"),
    ],
)
def test_each_limit_has_a_warning_and_none_refuses(edit: dict[str, Any], said: str) -> None:
    config = stack("deepseek-r1-b200", edit)
    service, pool = group(config)
    found = estimate(service, KNOWN_MODELS["deepseek-ai/deepseek-r1"], pool)
    warnings = list(find_warnings(found, replace(pool, local_ssd_gib=12000), config.serving.kubernetes.ready_timeout_s))
    assert [said in each for each in warnings if "disk" not in each] == [True]


def test_weights_larger_than_the_disk_have_a_warning() -> None:
    service, pool = group(stack("llama31-8b-l4"))
    found = estimate(service, ModelShape(10**13, ()), pool)
    assert any("disk" in each for each in find_warnings(found, pool, 10**9))


def test_an_fp8_cache_and_an_own_share_of_memory_count() -> None:
    service, pool = group(stack("llama31-70b-l4"))
    shape = KNOWN_MODELS["meta-llama/llama-3.1-70b-instruct"]
    plain = estimate(service, shape, pool)
    kwargs = {"kv_cache_dtype": "fp8", "gpu_memory_utilization": 0.5}
    changed = estimate(
        service.model_copy(update={"engine": service.engine.model_copy(update={"engine_kwargs": kwargs})}), shape, pool
    )
    assert plain.request_gib_per_gpu is not None
    assert changed.request_gib_per_gpu == plain.request_gib_per_gpu / 2
    assert changed.cache_gib_per_gpu < plain.cache_gib_per_gpu


def test_replicas_that_share_a_gpu_share_its_memory() -> None:
    config = stack("llama31-8b-l4", {"serving.engine.replicas_per_gpu": 2, "serving.engine.max_model_len": 1024})
    service, pool = group(config)
    found = estimate(service, KNOWN_MODELS["meta-llama/llama-3.1-8b-instruct"], pool)
    assert found.cache_gib_per_gpu < 0
    assert any("weights do not fit" in each for each in find_warnings(found, pool, 3600))


def hub(status: int, files: dict[str, Any]) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        name = request.url.path.rpartition("/")[2]
        return httpx2.Response(status if name in files else 404, json=files.get(name))

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def test_one_file_of_weights_has_no_index() -> None:
    client = hub(200, {"config.json": LLAMA_70B, "model.safetensors": {"x": 1}})
    found = find_shape("me/small", client)
    assert isinstance(found, ModelShape)
    assert found.weight_bytes == len('{"x":1}')


def test_the_shape_of_another_model_comes_from_hugging_face() -> None:
    files = {"config.json": LLAMA_70B, "model.safetensors.index.json": {"metadata": {"total_size": 141_000_000_000}}}
    found = find_shape("me/another", hub(200, files))
    assert found == ModelShape(141_000_000_000, (Attention(80, 8, 256),))


@pytest.mark.parametrize(
    ("source", "client", "said"),
    [
        ("me/another", None, "does not list me/another"),
        ("me/another", hub(401, {"config.json": {}}), "401"),
        ("me/another", hub(200, {"config.json": {}}), "404"),
        ("gs://bucket/folder", hub(200, {}), "not a Hugging Face id"),
    ],
)
def test_a_model_that_cannot_be_estimated_says_why(source: str, client: httpx2.Client | None, said: str) -> None:
    found = find_shape(source, client)
    assert isinstance(found, str)
    assert said in found


def test_a_folder_of_a_bucket_that_is_named_as_the_model_is_known() -> None:
    assert find_shape("bucket:Qwen/Qwen3-32B", None) == KNOWN_MODELS["qwen/qwen3-32b"]


def test_preflight_estimates_each_model_once() -> None:
    found = list(results(stack("deepseek-r1-b200"), None))
    assert [each.status for each in found if each.status is not Status.WARNING] == [Status.OK]
    assert "641 GiB" in found[0].detail
    (unknown,) = results(check("prod", edited(blocks("prod"), {})), None)
    assert unknown.status is Status.NOT_RUN
