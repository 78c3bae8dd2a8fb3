"""What serving may not ask of clusters."""

from typing import Any

from tests.unit.case import ABSENT, Case

DIGEST = "@sha256:" + 64 * "a"
RTX: dict[str, Any] = {
    "name": "g4",
    "machine_type": "g4-standard-48",
    "zones": ["us-central1-a"],
    "capacity": {"kind": "spot"},
    "nodes": {"kind": "autoscaling", "max_nodes": 4},
}
QWEN: dict[str, Any] = {
    "name": "qwen",
    "route": {"kind": "path", "prefix": "/qwen"},
    "model": {"id": "qwen", "source": "Qwen/Qwen3.5-4b"},
    "requests_per_second_per_worker": 5,
}

CASES = [
    Case("environment.clusters-missing", {"serving.clusters": ABSENT}, ("`releases`", "serving: null"), "dev"),
    Case(
        "environment.release-unknown",
        {"infra.regions.0.release": "r2"},
        ("regions[0].release is 'r2'", "are r1"),
        "dev",
    ),
    Case(
        "environment.release-unknown",
        {"serving.clusters.releases.r2": {"image": f"rayproject/ray-llm{DIGEST}"}},
        ("is ''", "are r1, r2"),
        "dev",
    ),
    Case(
        "environment.placeholder-image", {"infra.project.id": "acme-serving"}, ("release r1", "digest of zeros"), "dev"
    ),
    Case(
        "environment.image-with-registry",
        {"serving.clusters.releases.r1.image": f"quay.io/acme/ray-llm{DIGEST}"},
        ("leave quay.io/ out", "kind: direct"),
        "dev",
    ),
    Case(
        "serving.ray-too-old",
        {"serving.clusters.releases.r1.ray_version": "2.56.0"},
        ("2.56.1 or later", "ray#64488"),
        "dev",
    ),
    Case(
        "serving.image-without-digest",
        {"serving.clusters.releases.r1.image": "rayproject/ray-llm:latest"},
        ("image rayproject/ray-llm:latest", "@sha256:DIGEST"),
        "dev",
    ),
    Case(
        "serving.image-of-another-ray",
        {"serving.clusters.releases.r1.image": f"rayproject/ray-llm:2.58.0-py312-cu130{DIGEST}"},
        ("says Ray 2.58.0", "ray_version: 2.58.0"),
        "dev",
    ),
    Case("environment.tiny-on-clusters", {"serving.model.source": "tiny-random"}, ("Hugging Face id",), "dev"),
    Case(
        "environment.no-model-store",
        {"serving.model.source": "store:gemma"},
        ("infra.model_store", "gs://"),
        "dev",
        {"infra.model_store": None},
    ),
    Case("environment.token-missing", {"serving.model.gated": True}, ("gemma4-e2b-it", "huggingFaceToken"), "dev"),
    Case("environment.pool-unknown", {"serving.pool": "b200"}, ("b200", "us-central1 has l4"), "dev"),
    Case("environment.mixed-accelerators", {"infra.regions.0.pools.1": RTX}, ("L4", "`pool: <name>`"), "dev"),
    Case(
        "environment.too-many-replicas",
        {"serving.replicas": {"kind": "fixed", "count": 5}},
        ("5 replicas", "room for 4", "infra.regions[0].pools"),
        "dev",
    ),
    Case(
        "environment.replica-wider-than-a-node",
        {"serving.engine.tensor_parallel_size": 2},
        ("at most 1", "us-central1"),
        "dev",
    ),
    Case(
        "environment.pool-too-small",
        {"serving.clusters.services.0.replicas": {"kind": "fixed", "count": 2}},
        ("pool l4 of us-central1", "take 5 nodes", "at most 4"),
        "dev",
        {"serving.clusters.services": [QWEN]},
    ),
    Case(
        "environment.heads-do-not-fit",
        {"infra.system_pool": {"machine_type": "e2-standard-4"}},
        ("4 vCPUs and 16 GiB",),
        "dev",
    ),
    Case(
        "environment.heads-do-not-fit",
        {"infra.system_pool": {"max_nodes": 1}},
        ("need 2 nodes", "max_nodes is 1"),
        "dev",
    ),
    Case(
        "environment.service-twice",
        {"serving.clusters.services.0.name": "llm"},
        ("llm twice",),
        "dev",
        {"serving.clusters.services": [QWEN]},
    ),
    Case(
        "environment.service-twice",
        {"serving.clusters.services.1": {**QWEN, "name": "other", "replicas": {"kind": "fixed", "count": 1}}},
        ("'/qwen' twice",),
        "dev",
        {"serving.clusters.services": [QWEN], "infra.regions.0.pools.0.nodes.max_nodes": 8},
    ),
    Case(
        "environment.host-taken",
        {"serving.clusters.services.0.route": {"kind": "host", "hostname": "llm.rayllm.internal"}},
        ("service qwen", "infra.gateway.hostname", "by path or header"),
        "prod",
        {"serving.clusters.services": [{**QWEN, "replicas": {"kind": "fixed", "count": 8}}]},
    ),
]
