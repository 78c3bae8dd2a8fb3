"""Engine arguments that the vLLM of a release does not accept."""

from typing import Any

from tests.unit.case import Case

ARGUMENTS = "serving.engine.engine_kwargs"
RELEASE = "serving.kubernetes.releases.r1"
OLDEST = {f"{RELEASE}.ray_version": "2.56.1"}


def case(rule: str, arguments: dict[str, Any], *says: str, **more: Any) -> Case:
    return Case(f"serving.engine.{rule}", {ARGUMENTS: arguments}, says, **more)


CASES = [
    case("unknown-argument", {"zzz": 1}, "engine_kwargs.zzz: ", "vLLM 0.29.0, which Ray 2.60.0 has", "Remove it"),
    case("unknown-argument", {"gpu_memory_utilisation": 0.9}, "Remove it, or write an argument of vllm/engine"),
    case("argument-spelling", {"gpu-memory-utilization": 0.9}, "Write `gpu_memory_utilization`"),
    case("argument-spelling", {"--max-num-seqs": 9}, "Write `max_num_seqs`"),
    case("removed-argument", {"device": "cuda"}, "vLLM 0.10.0 removed it", "Remove it: vLLM takes the device"),
    case("removed-argument", {"swap_space": 4}, "vLLM 0.18.0 removed it", ". Remove it ("),
    case("removed-argument", {"disable_log_requests": True}, "`enable_log_requests`, the opposite"),
    case("removed-argument", {"num_speculative_tokens": 3}, "key `num_speculative_tokens` of `speculative_config`"),
    case("removed-argument", {"task": "embed"}, "Write `runner`"),
    case("server-argument", {"api_server_count": 4}, "more replicas"),
    case(
        "newer-argument",
        {"watermark": 0.1},
        "Ray 2.56.1 has vLLM 0.22.0",
        "an image with Ray 2.57.0 or later",
        stack="dev",
        first=OLDEST,
    ),
    case("argument-type", {"max_num_seqs": "64"}, "max_num_seqs: '64' has the wrong type", "a whole number"),
    case("argument-type", {"max_num_seqs": True}, "max_num_seqs: true"),
    case("argument-type", {"max_num_seqs": 8.5}, "max_num_seqs: 8.5"),
    case("argument-type", {"enforce_eager": "false"}, "Write true or false, without quotes"),
    case("argument-type", {"cudagraph_capture_sizes": "1,2"}, "Write a list"),
    case("argument-type", {"cudagraph_capture_sizes": [1, "2"]}, "cudagraph_capture_sizes[1]: '2'"),
    case("argument-type", {"dtype": {"kind": "float16"}}, "dtype: "),
    case("text-for-mapping", {"speculative_config": "ngram"}, "Write a mapping"),
    case("text-for-mapping", {"compilation_config": '{"mode": 3}'}, "without the quotes around it"),
    case("text-for-mapping", {"limit_mm_per_prompt": "image=4"}, "limit_mm_per_prompt: 'image=4' is text"),
    case("argument-choice", {"dtype": "fp16"}, "dtype: 'fp16' is not a choice", "float16", "bfloat16"),
    case("argument-choice", {"kv_cache_dtype": "fp4"}, "fp8_e4m3"),
    case("argument-choice", {"attention_backend": "FLASH"}, "FLASH_ATTN"),
    case(
        "argument-choice", {"speculative_config": {"method": "n-gram", "num_speculative_tokens": 3}}, "config.method: "
    ),
    case("argument-choice", {"compilation_config": {"mode": 9}}, "compilation_config.mode: 9"),
    case("argument-out-of-range", {"gpu_memory_utilization": 1.5}, "1.5", "above 0"),
    case("argument-out-of-range", {"gpu_memory_utilization": 0}, "above 0 and at most 1"),
    case("argument-out-of-range", {"max_num_seqs": 0}, "1 or more"),
    case("argument-out-of-range", {"block_size": 0}, "above 0"),
    case(
        "argument-out-of-range",
        {"speculative_config": {"method": "ngram", "num_speculative_tokens": 0}},
        "speculative_config.num_speculative_tokens: 0",
    ),
    case("unknown-argument-key", {"speculative_config": {"methd": "ngram"}}, "config.methd: ", "SpeculativeConfig"),
    case("unknown-argument-key", {"compilation_config": {"pass_config": {"zzz": 1}}}, "pass_config.zzz", "PassConfig"),
    case("unknown-parser", {"reasoning_parser": "gemma"}, "parser gemma", "gemma4", "reasoning_parser_plugin"),
    Case(
        "serving.engine.unknown-parser",
        {f"{ARGUMENTS}.tool_call_parser": "llama3"},
        ("llama3_json", "tool_parser_plugin"),
        first={ARGUMENTS: {"enable_auto_tool_choice": True, "tool_call_parser": "llama3_json"}},
    ),
    Case(
        "serving.engine.argument-out-of-range",
        {f"{RELEASE}.engine": {"engine_kwargs": {"max_num_seqs": 0}}},
        (f"{RELEASE}.engine.engine_kwargs.max_num_seqs: ",),
        "dev",
    ),
]
