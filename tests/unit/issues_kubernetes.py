"""What serving may not ask of clusters."""

from typing import Any

from tests.unit.case import ABSENT, Case

R1 = "serving.kubernetes.releases.r1"
DIGEST = "@sha256:" + 64 * "a"
RTX: dict[str, Any] = {
    "name": "g4",
    "machine_type": "g4-standard-48",
    "zones": ["us-central1-a"],
    "capacity": {"kind": "spot"},
    "nodes": {"kind": "autoscaling", "total_max_nodes": 4},
}
QWEN: dict[str, Any] = {
    "name": "qwen",
    "route": {"kind": "path", "prefix": "/qwen"},
    "model": {"id": "qwen", "source": "Qwen/Qwen3.5-4b"},
    "max_rate_per_endpoint": 5,
}

CASES = [
    Case("environment.clusters-missing", {"serving.kubernetes": ABSENT}, ("`releases`", "serving: null"), "dev"),
    Case(
        "environment.release-unknown",
        {"infra.regions.0.release": "r2"},
        ("regions[0].release is 'r2'", "are r1"),
        "dev",
    ),
    Case(
        "environment.release-unknown",
        {"serving.kubernetes.releases.r2": {"image": f"rayproject/ray-llm{DIGEST}"}},
        ("is ''", "are r1, r2"),
        "dev",
    ),
    Case(
        "environment.placeholder-image",
        {"infra.project": {"id": "acme-serving", "number": 123456789012}, "infra.owner": "serving"},
        ("serving.kubernetes.releases.r1.image", "digest of zeros"),
        "dev",
    ),
    Case(
        "environment.image-with-registry",
        {"serving.kubernetes.releases.r1.image": f"quay.io/acme/ray-llm{DIGEST}"},
        ("leave quay.io/ out", "kind: direct"),
        "dev",
    ),
    Case(
        "serving.ray-too-old",
        {"serving.kubernetes.releases.r1.ray_version": "2.56.0"},
        ("2.56.1 or later", "ray#64488"),
        "dev",
    ),
    Case(
        "serving.image-without-digest",
        {"serving.kubernetes.releases.r1.image": "rayproject/ray-llm:latest"},
        ("image rayproject/ray-llm:latest", "@sha256:DIGEST"),
        "dev",
    ),
    Case(
        "serving.image-of-another-ray",
        {"serving.kubernetes.releases.r1.image": f"rayproject/ray-llm:2.58.0-py312-cu130{DIGEST}"},
        ("says Ray 2.58.0", "ray_version: 2.58.0"),
        "dev",
    ),
    Case(
        "environment.left-over",
        {"infra.project": {"id": "acme-serving", "number": 123456789012}, f"{R1}.image": f"rayproject/ray-llm{DIGEST}"},
        ("infra.owner is change-me", "your own"),
        "dev",
    ),
    Case(
        "environment.left-over",
        {"infra.project.id": "acme-serving", "infra.owner": "us", f"{R1}.image": f"rayproject/ray-llm{DIGEST}"},
        ("infra.project.number is 100000000001",),
        "dev",
    ),
    Case("serving.longest-answer", {f"{R1}.request_timeout_s": 3401}, ("3600 s", "30 to 3400"), "dev"),
    Case("serving.longest-answer", {f"{R1}.request_timeout_s": 29}, ("is 29",), "dev"),
    Case("serving.scaled-to-nothing", {"serving.replicas.min_replicas": 0}, ("1 or more", "ray#61271"), "dev"),
    *(
        Case("environment.model-source", {"serving.model.source": source}, (repr(source), "OWNER/NAME"), "dev")
        for source in (
            "gemma",
            "s3://b/m",
            "https://huggingface.co/a/b",
            "./m",
            "bucket:",
            "bucket:../m",
            "gs://b/m/",
            "a b/c",
        )
    ),
    Case("environment.tiny-on-clusters", {"serving.model.source": "tiny-random"}, ("Hugging Face id",), "dev"),
    Case(
        "environment.no-model-store",
        {"serving.model.source": "bucket:gemma"},
        ("infra.model_bucket", "gs://"),
        "dev",
        {"infra.model_bucket": None},
    ),
    Case("environment.token-missing", {"serving.model.gated": True}, ("gemma4-e2b-it", "huggingFaceToken"), "dev"),
    Case("environment.pool-unknown", {"serving.node_pool": "b200"}, ("b200", "us-central1 has l4"), "dev"),
    Case("environment.mixed-accelerators", {"infra.regions.0.node_pools.1": RTX}, ("L4", "`pool: <name>`"), "dev"),
    Case(
        "environment.too-many-replicas",
        {"serving.replicas": {"kind": "fixed", "num_replicas": 5}},
        ("5 replicas", "room for 4", "(infra.regions)"),
        "dev",
    ),
    Case(
        "environment.too-many-replicas",
        {"serving.replicas": {"kind": "fixed", "num_replicas": 17}},
        ("us-central1 and us-east4",),
        "prod",
    ),
    Case(
        "environment.gpus-left-over",
        {"serving.engine.tensor_parallel_size": 3, "serving.replicas.num_replicas": 2},
        ("is 3", "8 GPUs, so 2 of them", "write 1, 2, 4 or 8"),
        "prod",
    ),
    Case(
        "environment.replica-wider-than-a-node",
        {"serving.engine.tensor_parallel_size": 2},
        ("at most 1", "us-central1"),
        "dev",
    ),
    Case(
        "environment.pool-too-small",
        {"serving.kubernetes.additional_models.0.replicas": {"kind": "fixed", "num_replicas": 2}},
        ("pool l4 of us-central1", "take 5 nodes", "at most 4"),
        "dev",
        {"serving.kubernetes.additional_models": [QWEN]},
    ),
    Case(
        "environment.heads-do-not-fit",
        {"infra.system_pool": {"machine_type": "e2-standard-4"}},
        ("4 vCPUs and 16 GiB",),
        "dev",
    ),
    Case(
        "environment.heads-do-not-fit",
        {"infra.system_pool": {"total_max_nodes": 1}},
        ("need 2 nodes", "max_nodes is 1"),
        "dev",
    ),
    Case(
        "environment.service-twice",
        {"serving.kubernetes.additional_models.0.name": "llm"},
        ("the name llm twice",),
        "dev",
        {"serving.kubernetes.additional_models": [QWEN]},
    ),
    Case(
        "environment.service-twice",
        {
            "serving.kubernetes.additional_models.1": {
                **QWEN,
                "name": "other",
                "replicas": {"kind": "fixed", "num_replicas": 1},
            }
        },
        ("the path /qwen twice",),
        "dev",
        {"serving.kubernetes.additional_models": [QWEN], "infra.regions.0.node_pools.0.nodes.total_max_nodes": 8},
    ),
    Case(
        "environment.service-twice",
        {
            "serving.kubernetes.additional_models": [
                {**QWEN, "route": {"kind": "header", "name": "X-Model", "value": "q"}},
                {**QWEN, "route": {"kind": "header", "value": "q"}, "name": "other"},
            ]
        },
        ("the header x-model: q twice",),
        "dev",
        {"infra.regions.0.node_pools.0.nodes.total_max_nodes": 8},
    ),
    *(
        Case(
            "environment.path-taken",
            {"serving.kubernetes.additional_models.0.route.prefix": prefix},
            (f"path {prefix}", "such as /qwen"),
            "dev",
            {"serving.kubernetes.additional_models": [QWEN]},
        )
        for prefix in ("/v1", "/v1/chat", "/-/healthz")
    ),
    Case(
        "environment.host-uncertified",
        {"serving.kubernetes.additional_models.0.route": {"kind": "host", "hostname": "qwen.example.com"}},
        ("qwen.example.com", "for llm.example.com alone", "{kind: existing}"),
        "dev",
        {
            "serving.kubernetes.additional_models": [QWEN],
            "infra.gateway": {
                "hostname": "llm.example.com",
                "certificate": {"kind": "managed", "dns_authorization_zone": "example-com"},
            },
        },
    ),
    Case(
        "environment.host-taken",
        {"serving.kubernetes.additional_models.0.route": {"kind": "host", "hostname": "llm.rayllm.internal"}},
        ("service qwen", "infra.gateway.hostname", "by path or header"),
        "prod",
        {
            "serving.kubernetes.additional_models": [
                {**QWEN, "route": {"kind": "host", "hostname": "qwen.rayllm.internal"}}
            ]
        },
    ),
]
