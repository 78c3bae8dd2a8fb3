"""Rules between engine arguments, as vLLM's config classes check them, without a GPU's settings being refused."""

import pytest

from tools.engine_preflight import ask_vllm

GPU_ONLY = {"enable_eplb": True, "enable_expert_parallel": True, "async_scheduling": True, "enable_dbo": True,
            "block_size": 256, "kv_cache_dtype": "fp8", "tensor_parallel_size": 8}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 2,
                                    "prompt_lookup_min": 4}},
            "prompt_lookup_min=4",
        ),
        ({"max_num_batched_tokens": 64, "max_num_seqs": 128}, "greater than or equal to max_num_seqs"),
        ({"kv_transfer_config": {"kv_connector": "NixlConnector"}}, "kv_role"),
        ({"pooler_config": {"pooling_type": "MEAN", "seq_pooling_type": "CLS"}}, "Cannot set both"),
    ],
)  # fmt: skip
def test_vllm_s_own_classes_refuse_what_does_not_fit_together(arguments: dict[str, object], words: str) -> None:
    ((_, verdict, sentence),) = ask_vllm(arguments, gpu=True)
    assert verdict == "refused"
    assert words in sentence


def test_a_cpu_refuses_no_setting_of_a_gpu() -> None:
    assert [each for each in ask_vllm(GPU_ONLY, gpu=True) if each[1] == "refused"] == []


def test_what_needs_a_model_is_not_checked() -> None:
    eagle = {"speculative_config": {"method": "eagle3", "model": "x/y", "num_speculative_tokens": 3}}
    ((name, verdict, _),) = ask_vllm(eagle, gpu=True)
    assert (name, verdict) == ("speculative_config", "not checked")
