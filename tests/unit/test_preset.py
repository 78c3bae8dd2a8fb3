"""Prod is KubeRay's sample for this benchmark and more: nothing of the sample is missing, each difference has a reason.

docs/reference/preset.md shows the same, row by row.
"""

from __future__ import annotations

from typing import Any

import yaml

from paths import CHECKOUT
from tests.unit.ray_services import container, manifest, pods

SAMPLE: dict[str, Any] = yaml.safe_load((CHECKOUT / "tests" / "unit" / "kuberay_sample.yaml").read_text())
TOKEN = "As HF_TOKEN, its current name, and only with `gated: true`"
DIFFERENCES = {
    "metadata.name": "Service, routes and exports carry this name, so it stays when the model changes",
    "serve.name": "The same application name for every model",
    "cluster.rayVersion": "The newest Ray; the router of 2.56.0 hangs (ray-project/ray#64488)",
    "head.container.name": "Named by its role",
    "worker.container.name": "Named by its role",
    "head.container.image": "You choose it, by digest: a tag can move",
    "worker.container.image": "You choose it, by digest: a tag can move",
    "head.container.env.HUGGING_FACE_HUB_TOKEN": TOKEN,
    "worker.container.env.HUGGING_FACE_HUB_TOKEN": TOKEN,
    "worker.groupName": "Named by its node pool",
    "worker.container.imagePullPolicy": "A digest never changes, so a node need not pull it again",
    "worker.container.resources.requests.cpu": "The pod has the node to itself, so it requests all of it",
    "worker.container.resources.requests.memory": "The pod has the node to itself, so it requests all of it",
    "worker.container.resources.requests.ephemeral-storage": "All of the node's local SSDs that GKE leaves to pods",
    "worker.tolerations.nvidia.com/gpu": "Exactly the taint of the node pool",
    "worker.volumes.dshm": "With a limit, because its content counts as the pod's memory",
}
"""Field of the sample -> why ours has another value, or none."""


def ours() -> dict[str, str]:
    """Prod's first region, by the sample's paths."""
    whole = manifest("prod")
    cluster, serve = whole["rayClusterConfig"], whole["serveConfigV2"]["applications"][0]
    (group,) = cluster["workerGroupSpecs"]
    found: dict[str, Any] = {
        "metadata.name": "llm",
        **_flat({k: serve[k] for k in ("name", "import_path", "route_prefix")}, "serve"),
        **_flat(serve["args"]["llm_configs"][0], "serve.llm_config"),
        "cluster.rayVersion": cluster["rayVersion"],
        **_flat(cluster["headGroupSpec"]["rayStartParams"], "head.rayStartParams"),
        "worker.replicas": group["replicas"],
        "worker.groupName": group["groupName"],
    }
    for name, pod in (("head", pods(whole)["head"]), ("worker", pods(whole)["a4"])):
        one = container(pod)
        found |= _flat({k: one[k] for k in ("name", "image", "resources")}, f"{name}.container")
        found |= {f"{name}.container.ports.{p['name']}": p["containerPort"] for p in one["ports"]}
        found |= {f"{name}.container.env.{e['name']}": e.get("value", "from a Secret") for e in one["env"]}
        found |= {f"{name}.container.volumeMounts.{m['name']}": m["mountPath"] for m in one["volumeMounts"]}
        found |= {f"{name}.nodeSelector.{k}": v for k, v in pod["nodeSelector"].items()}
        found |= {f"{name}.tolerations.{t['key']}": f"{t['value']} {t['effect']}" for t in pod.get("tolerations", [])}
        found |= {
            f"{name}.volumes.{v['name']}": " ".join(("emptyDir", *v["emptyDir"].values()))
            for v in pod["volumes"]
            if "emptyDir" in v
        }
    return {path: str(value) for path, value in found.items()}


def _flat(mapping: dict[str, Any], path: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in mapping.items():
        out |= _flat(value, f"{path}.{name}") if isinstance(value, dict) else {f"{path}.{name}": value}
    return out


def test_what_differs_from_the_sample_is_what_has_a_reason() -> None:
    mine = ours()
    differs = {path for path, value in SAMPLE.items() if mine.get(path) != str(value)}
    assert differs == set(DIFFERENCES)


def test_the_page_shows_every_field() -> None:
    mine = ours()
    rows = [
        f"| `{path}` | `{value}` | {f'`{mine[path]}`' if path in mine else '-'} | {DIFFERENCES.get(path, '')} |"
        for path, value in SAMPLE.items()
    ]
    page = (CHECKOUT / "docs" / "reference" / "preset.md").read_text().splitlines()
    assert [line for line in page if line.startswith("| `")] == rows
