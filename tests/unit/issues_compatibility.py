"""Options that do not work together."""

from tests.unit.case import Case

ARGUMENTS = "serving.engine.engine_kwargs"

CASES = [
    Case(
        "compatibility.direct-lora",
        {"serving.kubernetes.releases.r1.ray_version": "2.59.0"},
        ("serving.model.lora: ", "ray#65976", "python_proxy", "Ray 2.60"),
        "dev",
        {"serving.model.lora": {"dynamic_lora_loading_path": "gs://bucket/adapters"}},
    ),
    Case(
        "compatibility.least-connections-lora",
        {"serving.data_path": "least_connections"},
        ("serving.model.lora: ", "direct_streaming"),
        "dev",
        {"serving.model.lora": {"dynamic_lora_loading_path": "gs://bucket/adapters"}},
    ),
    Case(
        "compatibility.least-connections-router",
        {"serving.request_router": "session"},
        ("serving.request_router: session", "`request_router: session_hash`"),
        first={"serving.data_path": "least_connections"},
    ),
    Case(
        "compatibility.hash-router",
        {"serving.request_router": "prompt_hash"},
        ("serving.request_router: prompt_hash", "`data_path: least_connections`"),
    ),
    Case(
        "compatibility.hash-router",
        {"serving.data_path": "haproxy"},
        ("data path haproxy",),
        first={"serving.data_path": "least_connections", "serving.request_router": "session_hash"},
    ),
    Case("compatibility.direct-ingress", {"serving.ingress": {"num_replicas": 2}}, ("python_proxy",)),
    Case(
        "compatibility.kv-aware",
        {"serving.request_router": "kv_aware"},
        ("serving.request_router: ", "ai-dynamo", "prefix_cache_affinity"),
    ),
    Case("compatibility.kv-aware", {"serving.request_router": {"kind": "kv_aware"}}, ("503",), "dev"),
    Case(
        "compatibility.direct-ingress",
        {"serving.kubernetes.releases.r1.data_path": "direct_streaming"},
        ("direct_streaming",),
        "dev",
        {"serving.data_path": "python_proxy", "serving.ingress": {"num_replicas": 2}},
    ),
    Case(
        "compatibility.direct-pooling",
        {ARGUMENTS: {"runner": "pooling"}},
        ("Ray 2.57.0 or later", "ray#64494"),
        "dev",
        {"serving.kubernetes.releases.r1.ray_version": "2.56.1"},
    ),
    Case(
        "compatibility.structured-outputs-mapping",
        {ARGUMENTS: {"structured_outputs_config": {"enable_in_reasoning": True}}},
        ("structured_outputs_config: ", "Ray 2.58.0 or later", "ray#65077"),
        "dev",
        {"serving.kubernetes.releases.r1.ray_version": "2.57.1"},
    ),
    Case(
        "compatibility.gguf-file",
        {"serving.model.source": "/models/tiny.Q4_K_M.gguf"},
        ("model.source: /models/tiny.Q4_K_M.gguf", "save_pretrained"),
    ),
    Case("compatibility.data-parallel", {ARGUMENTS: {"data_parallel_size": 2}}, ("more replicas", "ray#58301")),
    Case(
        "compatibility.pipeline-parallel",
        {ARGUMENTS: {"pipeline_parallel_size": 2}},
        ("pipeline_parallel_size: 2", "engine.tensor_parallel_size"),
        "dev",
    ),
    Case(
        "compatibility.decode-context-parallel",
        {ARGUMENTS: {"decode_context_parallel_size": 2}},
        ("decode_context_parallel_size: 2 does not divide", "tensor_parallel_size 1"),
    ),
    Case(
        "compatibility.context-parallel",
        {ARGUMENTS: {"prefill_context_parallel_size": 2}},
        ("prefill_context_parallel_size: 2", "engine.tensor_parallel_size"),
    ),
    Case("compatibility.log-stats-disabled", {ARGUMENTS: {"disable_log_stats": True}}, ("metrics",)),
    Case(
        "compatibility.tool-calls-incomplete",
        {ARGUMENTS: {"enable_auto_tool_choice": True}},
        ("without tool_call_parser", "both, or neither"),
    ),
    Case(
        "compatibility.tool-calls-incomplete",
        {f"{ARGUMENTS}.enable_auto_tool_choice": False},
        ("tool_call_parser is set without enable_auto_tool_choice",),
        first={ARGUMENTS: {"enable_auto_tool_choice": True, "tool_call_parser": "gemma4"}},
    ),
]
