"""What replaced the engine arguments that vLLM removed or renamed, in the words of its own deprecation notes.

config/vllm/removed.json has every removed argument with its version. An argument without a row here has no replacement:
what it switched is gone. A row never names an argument of another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_SPECULATIVE = {
    "speculative_model": "model",
    "num_speculative_tokens": "num_speculative_tokens",
    "speculative_draft_tensor_parallel_size": "draft_tensor_parallel_size",
    "speculative_max_model_len": "max_model_len",
    "speculative_model_quantization": "quantization",
    "ngram_prompt_lookup_max": "prompt_lookup_max",
    "ngram_prompt_lookup_min": "prompt_lookup_min",
}
_EPLB = {
    "num_redundant_experts": "num_redundant_experts",
    "eplb_window_size": "window_size",
    "eplb_step_interval": "step_interval",
    "eplb_log_balancedness": "log_balancedness",
}

REPLACEMENTS: Mapping[str, str] = MappingProxyType(
    {
        **{old: f"Write it as the key `{new}` of `speculative_config`" for old, new in _SPECULATIVE.items()},
        **{old: f"Write it as the key `{new}` of `eplb_config`" for old, new in _EPLB.items()},
        "cuda_graph_sizes": "Write `cudagraph_capture_sizes`",
        "device": "Remove it: vLLM takes the device of the machine that it runs on",
        "disable_log_requests": "Remove it, as requests are not logged by default; or write `enable_log_requests`, the "
        "opposite",
        "disable_mm_preprocessor_cache": "Write `mm_processor_cache_gb: 0` where it was true",
        "enable_multimodal_encoder_data_parallel": "Write `mm_encoder_tp_mode: data` where it was true",
        "enable_reasoning": "Remove it: `reasoning_parser` alone enables reasoning",
        "guided_decoding_backend": "Write it as the key `backend` of `structured_outputs_config`",
        "guided_decoding_disable_additional_properties": "Write it as the key `disable_additional_properties` of "
        "`structured_outputs_config`",
        "guided_decoding_disable_any_whitespace": "Write it as the key `disable_any_whitespace` of "
        "`structured_outputs_config`",
        "override_pooler_config": "Write `pooler_config`",
        "rope_scaling": "Write it below `hf_overrides`, as the model's config.json has it",
        "rope_theta": "Write it below `hf_overrides`, as the model's config.json has it",
        "task": "Write `runner` (`generate` or `pooling`) and, to change the kind of a model, `convert` (`embed` or "
        "`classify`)",
        "use_v2_block_manager": "Remove it: vLLM has one block manager",
        "worker_use_ray": "Remove it: the stack always runs vLLM on Ray",
        "engine_use_ray": "Remove it: the stack always runs vLLM on Ray",
    }
)
"""Removed engine argument -> the fix."""

SERVER_ONLY: Mapping[str, str] = MappingProxyType(
    {
        "api_server_count": "Remove it; for more HTTP work write more replicas",
        "config": "Remove it, and write its arguments below engine_kwargs",
        "grpc": "Remove it: Ray Serve answers HTTP",
        "model_tag": "Remove it, and write `model.source`",
    }
)
"""Argument of vLLM's own server -> the fix."""
