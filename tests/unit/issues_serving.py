"""What the `serving` block may not say, and what the two blocks may not say together on a computer."""

from paths import CHECKOUT
from tests.unit.case import Case

CASES = [
    Case(
        "settings.secret-in-clear-text",
        {"serving.engine.engine_kwargs": {"tokenizer_revision": "hf_" + 30 * "a"}},
        ("serving.engine.engine_kwargs.tokenizer_revision: holds", "rayllm:huggingFaceToken"),
    ),
    Case(
        "settings.secret-in-clear-text", {"infra.regions.0.name": "ghp_" + 36 * "a"}, ("infra.regions[0].name",), "dev"
    ),
    Case("serving.node-pool-on-local", {"serving.node_pool": "a4"}, ("Remove `node_pool`",)),
    *(
        Case(
            "serving.engine.managed-engine-arg",
            {"serving.engine.engine_kwargs": {name: value}},
            (f"engine_kwargs.{name}: ", why),
        )
        for name, value, why in (
            ("hf_token", "mine", "--secret"),
            ("api_key", "mine", "does not check the key"),
            ("port", 80, "Ray Serve accepts the requests"),
            ("nnodes", 2, "one node"),
            ("data_parallel_rank", 0, "one data-parallel rank"),
            ("dp_supervisor_probe_timeout_s", 1, "one data-parallel rank"),
            ("ssl_ca_certs", "/ca.pem", "Ray Serve accepts the requests"),
            ("h11_max_header_count", 9, "Ray Serve accepts the requests"),
            ("device_ids", [0], "Ray selects the GPUs"),
            ("model_weights", "x/y", "model.source"),
            ("enable_lora", True, "model.lora"),
            ("max_lora_rank", 64, "model.lora"),
            ("max_cpu_loras", 4, "model.lora"),
            ("revision", 40 * "a", "model.revision"),
            ("allowed_media_domains", ["a.example.com"], "media.allowed_hosts"),
            ("language_model_only", True, "media.text_only"),
        )
    ),
    Case("settings.secret-in-clear-text", {"huggingFaceToken": "anything"}, ("huggingFaceToken: holds", "--secret")),
    Case("serving.several-models", {"serving.models": [{"id": "a"}, {"id": "b"}]}, ("2 models", "ingress/builder.py")),
    Case(
        "serving.several-models",
        {"serving.model": [{"id": "a"}, {"id": "b"}]},
        ("serving.kubernetes.additional_models",),
    ),
    Case(
        "serving.engine.managed-engine-arg",
        {"serving.engine.engine_kwargs": {"distributed_executor_backend": "mp"}},
        ("distributed_executor_backend", "v2 executor"),
    ),
    Case(
        "serving.engine.managed-engine-arg",
        {"serving.engine.engine_kwargs": {"max_model_len": 9}},
        ("engine.max_model_len",),
    ),
    Case(
        "serving.replicas.bounds",
        {"serving.replicas": {"kind": "autoscaling", "min_replicas": 3, "max_replicas": 2}},
        ("at most 2",),
    ),
    Case("infra.local.data-dir-relative", {"infra.data_dir": "run"}, ("absolute",)),
    Case("infra.local.data-dir-too-long", {"infra.data_dir": "/tmp/" + 30 * "x"}, ("at most 27",)),
    Case("infra.local.data-dir-not-own", {"infra.data_dir": "/tmp"}, ("parts of the operating system", "/tmp/rayllm")),
    Case("infra.local.data-dir-not-own", {"infra.data_dir": str(CHECKOUT)}, ("this checkout",)),
    Case("serving.missing-on-local", {"serving": None}, ("model",)),
    Case(
        "serving.model.bucket-credentials-missing",
        {"serving.model.lora": {"dynamic_lora_loading_path": "gs://bucket/adapters"}},
        ("serving.model.lora.dynamic_lora_loading_path: ", "infra.bucket_access", "anonymous@"),
    ),
    Case(
        "serving.model.bucket-credentials-missing",
        {"infra.bucket_access": {"endpoint": "http://127.0.0.1:4443"}},
        ("credentials_file",),
        first={
            "infra.bucket_access": {"credentials_file": "/tmp/key.json"},
            "serving.model.lora": {"dynamic_lora_loading_path": "gs://bucket/adapters"},
        },
    ),
    Case(
        "serving.model.model-bucket-on-local",
        {"serving.model.lora": {"dynamic_lora_loading_path": "bucket:adapters"}},
        ("gs://BUCKET/FOLDER",),
    ),
    Case(
        "serving.model.model-bucket-missing",
        {"infra.model_bucket": None},
        ("serving.model.lora.dynamic_lora_loading_path: bucket:adapters",),
        "dev",
        {"serving.model.lora": {"dynamic_lora_loading_path": "bucket:adapters"}},
    ),
    Case(
        "infra.local.credentials-file-relative",
        {"infra.bucket_access": {"credentials_file": "key.json"}},
        ("infra.bucket_access.credentials_file: key.json", "absolute"),
    ),
    *(
        Case("settings.wrong-format", {"serving.model.lora": {"dynamic_lora_loading_path": path}}, ("bucket:FOLDER",))
        for path in ("s3://bucket/adapters", "/adapters", "gs://bucket/adapters/", "bucket:", "gs://me@bucket/a")
    ),
    Case(
        "settings.unknown-value",
        {"serving.model.lora.max_lora_rank": 24},
        ("serving.model.lora.max_lora_rank: 24", "320"),
        first={"serving.model.lora": {"dynamic_lora_loading_path": "gs://anonymous@bucket/adapters"}},
    ),
    Case("settings.unknown-kind", {"serving.request_router": "sticky"}, ("serving.request_router: ", "`session`")),
    Case("settings.wrong-type", {"serving.request_router": 7}, ("serving.request_router: 7",)),
    Case(
        "settings.unknown-key",
        {"serving.request_router": {"kind": "session", "num_vnodes": 9}},
        ("`num_virtual_nodes`",),
    ),
    Case(
        "settings.wrong-format",
        {"serving.request_router": {"kind": "session", "header": "x session"}},
        ("serving.request_router.header: 'x session'", "hyphens"),
    ),
    Case(
        "settings.out-of-range",
        {"serving.request_router": {"kind": "prefix_cache_affinity", "match_rate_threshold": 10}},
        ("serving.request_router.match_rate_threshold: 10", "or less"),
    ),
    Case(
        "serving.request-router.eviction-target",
        {"serving.request_router": {"kind": "prefix_cache_affinity", "eviction_threshold_chars": 1000}},
        ("serving.request_router.eviction_target_chars: 360000", "at most 1000"),
    ),
    Case(
        "serving.replicas.exceed-logical-gpus",
        {"serving.replicas.num_replicas": 9},
        ("9 GPUs", "infra.logical_gpus is 8", "infra.logical_gpus: 9"),
    ),
    Case(
        "serving.kubernetes-on-local",
        {
            "serving.kubernetes": {
                "releases": {"1": {"image": f"ray@sha256:{64 * '1'}"}},
                "max_rate_per_endpoint": 1,
            }
        },
        ("Remove `kubernetes`",),
    ),
]
