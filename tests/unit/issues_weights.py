"""What serving may not say of a model's weights."""

from tests.unit.case import Case

CASES = [
    Case("serving.model.load-on-local", {"serving.model.load": "mount"}, ("serving.model.load: mount", "Remove")),
    Case("serving.model.gated-on-local", {"serving.model.gated": True}, ("serving.model.gated: true", "Hugging Face")),
    Case(
        "serving.model.model-bucket-on-local",
        {"serving.model.source": "bucket:gemma"},
        ("serving.model.source: bucket:gemma", "gs://BUCKET/FOLDER"),
    ),
    Case(
        "serving.model.bucket-credentials-missing",
        {"serving.model.source": "gs://weights/gemma"},
        ("serving.model.source: gs://weights/gemma", "gs://anonymous@BUCKET/FOLDER"),
    ),
    Case(
        "serving.model.revision-without-hub",
        {"serving.model.revision": 40 * "a"},
        ("serving.model.revision: set with `source: gs://weights/gemma`", "a folder of its own"),
        "dev",
        first={"serving.model.source": "gs://weights/gemma"},
    ),
    Case("settings.wrong-format", {"serving.model.revision": "main"}, ("40 lowercase hex digits",), "dev"),
    Case(
        "serving.model.load-without-bucket",
        {"serving.model.load": "stream"},
        ("serving.model.load: stream with `source: google/gemma-4-E2B-it`", "Remove `load`"),
        "dev",
    ),
    Case("serving.model.load-without-bucket", {"serving.model.load": "mount"}, ("mounted",), "dev"),
    Case(
        "serving.model.stream-with-stock-image",
        {"serving.model.source": "gs://weights/gemma", "serving.model.load": "stream"},
        ("stream with the image rayproject/ray-llm,", "vllm[runai]"),
        "dev",
    ),
    Case(
        "serving.model.mount-without-driver",
        {"serving.model.source": "gs://weights/gemma", "serving.model.load": "mount"},
        ("gcs_fuse_csi_driver: true",),
        "dev",
    ),
    Case(
        "serving.model.weights-exceed-disk",
        {"serving.model.weights_gib": 130},
        ("serving.model.weights_gib: 130 GiB", "node pool l4 has 93 GiB of disk", "`boot_disk_size_gib: 280` or more"),
        "dev",
    ),
    Case(
        "serving.model.weights-exceed-disk",
        {"serving.model.weights_gib": 20_000},
        ("node pool a4", "local SSDs"),
        "prod",
    ),
    Case(
        "infra.node_pools.boot-disk-too-small",
        {"infra.regions.0.node_pools.0.boot_disk_size_gib": 50},
        ("node_pools[0].boot_disk_size_gib: 50 GiB", "leave 7 GiB", "Write 70 or more"),
        "dev",
    ),
]
