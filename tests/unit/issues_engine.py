"""What the engine's environment, its share of a GPU, its chat template and the bounds of its replicas may not say."""

from tests.unit.case import Case

ENV = "serving.engine.env"
ARGUMENTS = "serving.engine.engine_kwargs"
FROM_ZERO = {"kind": "autoscaling", "min_replicas": 0, "max_replicas": 1}


def _env(rule: str, name: str, *says: str, stack: str = "local") -> Case:
    return Case(rule, {f"{ENV}.{name}": "1"}, (f"env.{name}: ", *says), stack)


CASES = [
    *(
        _env("serving.engine.reserved-env-var", name, *says)
        for name, *says in (
            ("RAY_SERVE_ENABLE_HA_PROXY", "data path", "Write serving.data_path"),
            ("VLLM_USE_RAY_V2_EXECUTOR_BACKEND", "data path"),
            ("RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S", "own processes", "Remove it"),
            ("RAYLLM_ROUTER_HTTP_TIMEOUT", "own processes"),
            ("LD_PRELOAD", "which code", "image"),
            ("LD_LIBRARY_PATH", "which code"),
            ("PYTHONPATH", "which code"),
            ("PATH", "which code"),
            ("CUDA_VISIBLE_DEVICES", "Ray gives each worker its GPUs", "tensor_parallel_size"),
            ("NVIDIA_VISIBLE_DEVICES", "Ray gives"),
            ("VLLM_RAY_PER_WORKER_GPUS", "engine.replicas_per_gpu"),
            ("VLLM_RAY_BUNDLE_INDICES", "Ray gives"),
            ("VLLM_DP_SIZE", "data-parallel", "more replicas"),
            ("VLLM_HOST_IP", "own address"),
            ("VLLM_ENGINE_READY_TIMEOUT_S", "ready_timeout_s"),
            ("VLLM_NO_USAGE_STATS", "switches"),
            ("VLLM_SERVER_DEV_MODE", "every client"),
            ("VLLM_MEDIA_URL_ALLOW_REDIRECTS", "media.allowed_hosts"),
            ("VLLM_ALLOW_INSECURE_SERIALIZATION", "unpickle"),
            ("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "model.lora"),
        )
    ),
    *(
        _env("serving.engine.secret-env-var", name, *says)
        for name, *says in (
            ("HF_TOKEN", "rayllm:huggingFaceToken"),
            ("HUGGING_FACE_HUB_TOKEN", "rayllm:huggingFaceToken"),
            ("VLLM_API_KEY", "a secret", "service account"),
            ("AWS_SECRET_ACCESS_KEY", "a secret"),
            ("S3_ACCESS_KEY_ID", "a secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a secret"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "service account"),
        )
    ),
    _env("serving.engine.unknown-env-var", "MY_FLAG", "VLLM_, NCCL_, HF_", "`ENV` in the image"),
    _env("serving.engine.unknown-env-var", "vllm_logging_level", "VLLM_"),
    _env("serving.engine.env-var-of-another-vllm", "VLLM_LOGING_LEVEL", "unknown to vLLM 0.29.0", "Ray 2.60.0"),
    _env("serving.engine.env-var-of-another-vllm", "VLLM_ATTENTION_BACKEND", "engine_kwargs.attention_backend"),
    Case(
        "serving.engine.env-var-of-another-vllm",
        {f"{ENV}.VLLM_USE_FLASHINFER_MOE_FP8": 1},
        ("vLLM 0.22.0 reads it", "moe_backend"),
    ),
    Case("settings.wrong-format", {ENV: {"VLLM_USE_DEEP_GEMM": True}}, ("VLLM_USE_DEEP_GEMM", '"1" for a flag')),
    Case(
        "serving.engine.shared-gpu-tensor-parallel",
        {"serving.engine.replicas_per_gpu": 2, "serving.engine.tensor_parallel_size": 2},
        ("NCCL", "tensor_parallel_size: 1"),
    ),
    Case(
        "serving.engine.shared-gpu-memory",
        {"serving.engine.replicas_per_gpu": 3, ARGUMENTS: {"gpu_memory_utilization": 0.32}},
        ("gpu_memory_utilization: 0.32", "at most 0.31"),
    ),
    Case(
        "serving.replicas.exceed-logical-gpus",
        {"serving.engine.replicas_per_gpu": 2, "serving.replicas.num_replicas": 17},
        ("17 replicas of 1/2 GPU(s) need 9 GPUs",),
    ),
    Case(
        "serving.model.chat-template-not-found",
        {"serving.model.chat_template": "templates/none.jinja"},
        ("'templates/none.jinja'", "absolute path"),
    ),
    Case("serving.model.chat-template-not-found", {"serving.model.chat_template": "../x"}, ("this checkout",)),
    Case("serving.model.chat-template-without-jinja", {"serving.model.chat_template": "LICENSE"}, ("messages",)),
    Case(
        "serving.max-ongoing-requests-below-target",
        {
            "serving.max_ongoing_requests": 4,
            "serving.replicas": {**FROM_ZERO, "min_replicas": 1, "target_ongoing_requests": 8},
        },
        ("max_ongoing_requests: 4", "at least 8", "at most 4"),
    ),
    Case(
        "serving.replicas.scale-to-zero-direct",
        {"serving.replicas": FROM_ZERO},
        ("min_replicas: 0", "`data_path: python_proxy`", "ray#59076"),
    ),
    Case(
        "serving.replicas.scale-to-zero-on-google",
        {"serving.replicas.min_replicas": 0},
        ("serving.replicas.min_replicas: 0", "1 or more", "serving: null"),
        "dev",
    ),
]
