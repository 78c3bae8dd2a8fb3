"""What the `serving` block may not say, and what the two blocks may not say together on a computer."""

from paths import CHECKOUT
from tests.unit.case import Case

CASES = [
    Case(
        "settings.secret-in-clear-text",
        {"serving.engine.engine_kwargs": {"revision": "hf_" + 30 * "a"}},
        ("serving.engine.engine_kwargs.revision: holds", "rayllm:huggingFaceToken"),
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
            ("enable_lora", True, "model.lora"),
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
        "serving.model.lora-on-local",
        {
            "serving.data_path": "python_proxy",
            "serving.model.lora": {"dynamic_lora_loading_path": "gs://bucket/adapters"},
        },
        ("buckets", "Merge"),
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
