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
    Case("serving.kubernetes-missing", {"serving.kubernetes": ABSENT}, ("`releases`", "serving: null"), "dev"),
    Case(
        "infra.regions.release-unknown",
        {"infra.regions.0.release": "r2"},
        ("regions[0].release: r2 is unknown", "has r1"),
        "dev",
    ),
    Case(
        "infra.regions.release-unknown",
        {"serving.kubernetes.releases.r2": {"image": f"rayproject/ray-llm{DIGEST}"}},
        ("regions[0].release: missing", "has r1, r2"),
        "dev",
    ),
    Case(
        "serving.releases.image-placeholder",
        {"infra.project": {"id": "acme-serving", "number": 123456789012}, "infra.owner": "serving"},
        ("serving.kubernetes.releases.r1.image", "the digest is all zeros"),
        "dev",
    ),
    Case(
        "serving.model.revision-placeholder",
        {"infra.project": {"id": "acme-serving", "number": 123456789012}, "infra.owner": "serving"},
        ("serving.model.revision: all zeros", "Files and versions"),
        "dev",
        first={
            "serving.model.revision": 40 * "0",
            "serving.kubernetes.releases.r1.image": f"acme/ray-llm{DIGEST}",
        },
    ),
    Case(
        "serving.releases.image-registry-twice",
        {"serving.kubernetes.releases.r1.image": f"quay.io/acme/ray-llm{DIGEST}"},
        ("Remove quay.io/", "kind: direct"),
        "dev",
    ),
    Case(
        "serving.releases.ray-version-too-old",
        {"serving.kubernetes.releases.r1.ray_version": "2.56.0"},
        ("2.56.1 or later", "ray#64488"),
        "dev",
    ),
    Case(
        "serving.releases.image-without-digest",
        {"serving.kubernetes.releases.r1.image": "rayproject/ray-llm:latest"},
        ("image: rayproject/ray-llm:latest", "@sha256:DIGEST"),
        "dev",
    ),
    *(
        Case(
            "serving.releases.ray-version-of-another-image",
            {"serving.kubernetes.releases.r1.image": f"{image}{DIGEST}"},
            (f"is Ray {ray}", f"ray_version: {ray}"),
            "dev",
        )
        for image, ray in {
            "rayproject/ray-llm:2.58.0rc1": "2.58.0",
            "rayproject/ray-llm:v2.58.1-py312": "2.58.1",
            "rayproject/ray-llm:2.58-cu130": "2.58.0",
            "acme/ray:2.58": "2.58.0",
        }.items()
    ),
    Case(
        "serving.releases.ray-version-of-another-image",
        {"serving.kubernetes.releases.r1.image": f"rayproject/ray-llm:2.58.0-py312-cu130{DIGEST}"},
        ("is Ray 2.58.0", "ray_version: 2.58.0"),
        "dev",
    ),
    Case(
        "infra.example-value",
        {"infra.project": {"id": "acme-serving", "number": 123456789012}, f"{R1}.image": f"rayproject/ray-llm{DIGEST}"},
        ("infra.owner: change-me", "your own"),
        "dev",
    ),
    Case(
        "infra.example-value",
        {"infra.project.id": "acme-serving", "infra.owner": "us", f"{R1}.image": f"rayproject/ray-llm{DIGEST}"},
        ("infra.project.number: 100000000001",),
        "dev",
    ),
    Case(
        "serving.releases.request-timeout-out-of-range",
        {f"{R1}.request_timeout_s": 3401},
        ("3600 s", "30 to 3400"),
        "dev",
    ),
    Case(
        "serving.releases.request-timeout-out-of-range",
        {f"{R1}.request_timeout_s": 29},
        ("request_timeout_s: 29 is too short",),
        "dev",
    ),
    *(
        Case("serving.model.source-invalid", {"serving.model.source": source}, (repr(source), "OWNER/NAME"), "dev")
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
    Case("serving.model.local-model-on-google", {"serving.model.source": "tiny-random"}, ("Hugging Face id",), "dev"),
    Case("serving.model.local-model-on-google", {"serving.model.source": ABSENT}, ("smollm2-135m",), "dev"),
    Case(
        "serving.model.model-bucket-missing",
        {"serving.model.source": "bucket:gemma"},
        ("infra.model_bucket", "gs://"),
        "dev",
        {"infra.model_bucket": None},
    ),
    Case(
        "serving.model.token-missing",
        {"serving.model.gated": True},
        ("serving.model.gated: ", "huggingFaceToken"),
        "dev",
    ),
    Case(
        "serving.node-pool-unknown",
        {"serving.node_pool": "b200"},
        ("serving.node_pool: b200", "us-central1, because the node pools there are l4"),
        "dev",
    ),
    Case(
        "serving.mixed-gpus",
        {"infra.regions.0.node_pools.1": RTX},
        ("serving.node_pool: ", "(L4, RTX-PRO-6000)"),
        "dev",
    ),
    Case(
        "serving.replicas.exceed-node-pools",
        {"serving.replicas": {"kind": "fixed", "num_replicas": 5}},
        ("5 replicas", "hold at most 4", "(infra.regions)"),
        "dev",
    ),
    Case(
        "serving.replicas.exceed-node-pools",
        {"serving.replicas": {"kind": "fixed", "num_replicas": 17}},
        ("us-central1 and us-east4",),
        "prod",
    ),
    Case(
        "serving.engine.gpus-unused",
        {"serving.engine.tensor_parallel_size": 3, "serving.replicas.num_replicas": 2},
        ("tensor_parallel_size: 3", "8 GPUs, and 2 of them", "Write 1, 2, 4 or 8"),
        "prod",
    ),
    Case(
        "serving.engine.tensor-parallel-exceeds-node",
        {"serving.engine.tensor_parallel_size": 2},
        ("at most 1", "us-central1"),
        "dev",
    ),
    Case(
        "infra.node_pools.too-small",
        {"serving.kubernetes.additional_models.0.replicas": {"kind": "fixed", "num_replicas": 2}},
        ("pool l4 in us-central1", "need 5 nodes", "at most 4"),
        "dev",
        {"serving.kubernetes.additional_models": [QWEN]},
    ),
    Case(
        "infra.system_pool.machine-too-small",
        {"infra.system_pool": {"machine_type": "e2-standard-4"}},
        ("4 vCPUs and 16 GiB",),
        "dev",
    ),
    Case(
        "infra.system_pool.too-small",
        {"infra.system_pool": {"total_max_nodes": 1}},
        ("total_max_nodes: 1", "need 2 nodes"),
        "dev",
    ),
    Case(
        "serving.additional_models.duplicate",
        {"serving.kubernetes.additional_models.0.name": "llm"},
        ("the name llm",),
        "dev",
        {"serving.kubernetes.additional_models": [QWEN]},
    ),
    Case(
        "serving.additional_models.duplicate",
        {
            "serving.kubernetes.additional_models.1": {
                **QWEN,
                "name": "other",
                "replicas": {"kind": "fixed", "num_replicas": 1},
            }
        },
        ("the path /qwen",),
        "dev",
        {"serving.kubernetes.additional_models": [QWEN], "infra.regions.0.node_pools.0.nodes.total_max_nodes": 8},
    ),
    Case(
        "serving.additional_models.duplicate",
        {
            "serving.kubernetes.additional_models": [
                {**QWEN, "route": {"kind": "header", "name": "X-Model", "value": "q"}},
                {**QWEN, "route": {"kind": "header", "value": "q"}, "name": "other"},
            ]
        },
        ("the header x-model: q",),
        "dev",
        {"infra.regions.0.node_pools.0.nodes.total_max_nodes": 8},
    ),
    *(
        Case(
            "serving.additional_models.path-taken",
            {"serving.kubernetes.additional_models.0.route.prefix": prefix},
            (f"route.prefix: {prefix} ", "such as /qwen"),
            "dev",
            {"serving.kubernetes.additional_models": [QWEN]},
        )
        for prefix in (
            "/v1",
            "/v1/chat",
            "/-/healthz",
            "/classify",
            "/score",
            "/invocations/qwen",
            "/metrics",
            "/sleep",
        )
    ),
    Case(
        "serving.additional_models.path-taken",
        {
            "serving.kubernetes.additional_models.0": {
                **QWEN,
                "name": "score",
                "route": {"kind": "path", "prefix": "/score"},
            }
        },
        ("such as /score-model",),
        "dev",
        {"serving.kubernetes.additional_models": [QWEN]},
    ),
    Case(
        "serving.additional_models.path-taken",
        {
            "serving.kubernetes.additional_models.1": {
                **QWEN,
                "name": "other",
                "route": {"kind": "path", "prefix": "/qwen/v1"},
            }
        },
        ("additional_models[1].route.prefix: /qwen/v1 takes requests away from model qwen", "such as /other"),
        "dev",
        {"serving.kubernetes.additional_models": [QWEN], "infra.regions.0.node_pools.0.nodes.total_max_nodes": 8},
    ),
    Case(
        "serving.additional_models.hostname-not-in-certificate",
        {"serving.kubernetes.additional_models.0.route": {"kind": "host", "hostname": "qwen.example.com"}},
        ("qwen.example.com", "covers llm.example.com only", "{kind: existing}"),
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
        "serving.additional_models.hostname-taken",
        {"serving.kubernetes.additional_models.0.route": {"kind": "host", "hostname": "llm.rayllm.internal"}},
        ("additional_models[0].route.hostname: ", "infra.gateway.hostname", "by path or header"),
        "prod",
        {
            "serving.kubernetes.additional_models": [
                {**QWEN, "route": {"kind": "host", "hostname": "qwen.rayllm.internal"}}
            ]
        },
    ),
]
