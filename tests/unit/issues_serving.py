"""What the `serving` block may not say, and what the two blocks may not say together on a computer."""

from paths import CHECKOUT
from tests.unit.case import Case

CASES = [
    Case(
        "environment.secret-in-clear",
        {"serving.engine.engine_kwargs": {"revision": "hf_" + 30 * "a"}},
        ("serving.engine.engine_kwargs.revision holds", "rayllm:huggingFaceToken"),
    ),
    Case("environment.secret-in-clear", {"infra.regions.0.name": "ghp_" + 36 * "a"}, ("infra.regions[0].name",), "dev"),
    Case("environment.pool-on-a-machine", {"serving.node_pool": "a4"}, ("take `pool` out",)),
    *(
        Case("engine.argument-decided-here", {"serving.engine.engine_kwargs": {name: value}}, (f"`{name}`", why))
        for name, value, why in (
            ("hf_token", "mine", "--secret"),
            ("api_key", "mine", "nobody would ask"),
            ("port", 80, "Ray Serve listens"),
            ("nnodes", 2, "one node"),
            ("enable_lora", True, "model.lora"),
        )
    ),
    Case("environment.secret-in-clear", {"huggingFaceToken": "anything"}, ("huggingFaceToken holds", "--secret")),
    Case("serving.one-model", {"serving.models": [{"id": "a"}, {"id": "b"}]}, ("2 models", "ingress/builder.py")),
    Case("serving.one-model", {"serving.model": [{"id": "a"}, {"id": "b"}]}, ("serving.kubernetes.additional_models",)),
    Case(
        "engine.argument-decided-here",
        {"serving.engine.engine_kwargs": {"distributed_executor_backend": "mp"}},
        ("distributed_executor_backend", "v2 executor"),
    ),
    Case(
        "engine.argument-decided-here",
        {"serving.engine.engine_kwargs": {"max_model_len": 9}},
        ("engine.max_model_len",),
    ),
    Case(
        "serving.autoscaling-bounds",
        {"serving.replicas": {"kind": "autoscaling", "min_replicas": 3, "max_replicas": 2}},
        ("at most 2",),
    ),
    Case("machine.folder-relative", {"infra.data_dir": "run"}, ("absolute",)),
    Case("machine.folder-too-long", {"infra.data_dir": "/tmp/" + 30 * "x"}, ("at most 27",)),
    Case("machine.folder-not-own", {"infra.data_dir": "/tmp"}, ("parts of the system", "/tmp/rayllm")),
    Case("machine.folder-not-own", {"infra.data_dir": str(CHECKOUT)}, ("this checkout",)),
    Case("environment.nothing-to-run", {"serving": None}, ("model",)),
    Case(
        "environment.lora-on-a-machine",
        {
            "serving.data_path": "python_proxy",
            "serving.model.lora": {"dynamic_lora_loading_path": "gs://bucket/adapters"},
        },
        ("buckets", "merge"),
    ),
    Case(
        "environment.too-few-gpus",
        {"serving.replicas.num_replicas": 9},
        ("9 GPUs", "infra.logical_gpus is 8", "infra.logical_gpus to 9"),
    ),
    Case("environment.model-not-a-folder", {"serving.model.source": "google/gemma-4-E2B-it"}, ("tiny-random",)),
    Case(
        "environment.clusters-on-a-machine",
        {
            "serving.kubernetes": {
                "releases": {"1": {"image": f"ray@sha256:{64 * '1'}"}},
                "max_rate_per_endpoint": 1,
            }
        },
        ("take `clusters` out",),
    ),
]
