"""Where pods find a model's weights, how large they may be, and what a preview warns of."""

from __future__ import annotations

from typing import Any

import pytest

from config.google.infra import GoogleInfra
from config.google.node_storage import allocatable_storage_gib, boot_disk_for, pod_storage_gib
from config.sizing import LOGS_GIB, worker_disk_gib
from config.stack import check
from config.weights import claim, guess_gib, split_gs_url
from config.weights_checks import find_warnings
from tests.unit.case import blocks, edited
from tests.unit.ray_services import args, container, manifest, pods, variables
from workloads.kubernetes.model_volumes import FUSE_DISK_GIB

CUSTOM = {"serving.kubernetes.releases.r1.image": f"acme/ray-llm-runai@sha256:{64 * 'a'}"}
FUSE = {"infra.cluster_defaults.gcs_fuse_csi_driver": True, "serving.model.load": "mount"}
URI = "gs://weights/gemma"


def unpinned(edit: dict[str, Any]) -> dict[str, Any]:
    """Return `edit` of prod without prod's revision, which only a Hugging Face id has."""
    return {**edit, **({"serving.model.revision": None} if "serving.model.source" in edit else {})}


def llm_config(edit: dict[str, Any]) -> dict[str, Any]:
    """Return the LLMConfig of prod with `edit`."""
    (config,) = manifest("prod", unpinned(edit))["serveConfigV2"]["applications"][0]["args"]["llm_configs"]
    return config


def worker(edit: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the pod spec and the annotations of prod's workers with `edit`."""
    (group,) = manifest("prod", unpinned(edit))["rayClusterConfig"]["workerGroupSpecs"]
    return group["template"]["spec"], group["template"]["metadata"]["annotations"]


def test_weights_of_a_bucket_are_downloaded_by_default() -> None:
    """The stock image has no runai-model-streamer."""
    found = llm_config({"serving.model.source": URI})
    directory = found["model_loading_config"]["model_source"]
    assert directory.startswith("/weights/")
    assert "load_format" not in found["engine_kwargs"]
    assert found["callback_config"] == {
        "callback_class": "rayllm_weights:NodeWeights",
        "callback_kwargs": {"uri": URI, "directory": directory},
    }
    other = llm_config({"serving.model.source": f"{URI}-2"})
    assert other["model_loading_config"]["model_source"] != directory, "replicas of the old model read the old files"


def test_ray_finds_the_callback_and_the_node_has_the_disk() -> None:
    for pod in pods(manifest("prod", unpinned({"serving.model.source": URI}))).values():
        mounts = {each["name"]: each["mountPath"] for each in container(pod)["volumeMounts"]}
        assert variables(pod)["PYTHONPATH"] == mounts["pod-scripts"]
        assert variables(pod)["HF_HOME"].startswith(mounts["weights"])
        assert {"name": "weights", "emptyDir": {}} in pod["volumes"], "on the node's disk, not in memory"


def test_weights_are_streamed_if_the_settings_say_so() -> None:
    found = llm_config({"serving.model.source": URI, "serving.model.load": "stream", **CUSTOM})
    assert found["model_loading_config"]["model_source"] == URI
    assert found["engine_kwargs"]["load_format"] == "runai_streamer"
    assert "callback_config" not in found


def test_a_hugging_face_id_stays_as_it_is() -> None:
    found = llm_config({})
    assert found["model_loading_config"]["model_source"] == "google/gemma-4-E2B-it"
    assert found["engine_kwargs"]["revision"] == 40 * "0", "prod's placeholder"
    assert "revision" not in llm_config({"serving.model.revision": None})["engine_kwargs"]
    assert "callback_config" not in found


@pytest.mark.parametrize(
    ("source", "bucket", "only_dir"), [(URI, "weights", ",only-dir=gemma"), ("gs://weights", "weights", "")]
)
def test_a_bucket_is_mounted_read_only(source: str, bucket: str, only_dir: str) -> None:
    edit = {"serving.model.source": source, **FUSE}
    pod, annotations = worker(edit)
    (volume,) = (each["csi"] for each in pod["volumes"] if "csi" in each)
    assert (volume["driver"], volume["readOnly"]) == ("gcsfuse.csi.storage.gke.io", True)
    attributes = volume["volumeAttributes"]
    assert attributes["bucketName"] == bucket
    assert attributes["mountOptions"].endswith(f"read_ahead_kb=1024{only_dir}")
    assert annotations["gke-gcsfuse/volumes"] == "true"
    (mount,) = (each for each in container(pod)["volumeMounts"] if each["name"] == "models")
    assert mount == {"name": "models", "mountPath": "/models", "readOnly": True}
    assert llm_config(edit)["model_loading_config"]["model_source"] == "/models"
    disk = args("prod", unpinned(edit)).plan.worker_groups[0].pod_resources.disk_gib
    own = int(container(pod)["resources"]["requests"]["ephemeral-storage"].removesuffix("Gi"))
    assert own + FUSE_DISK_GIB == disk, "the sidecar's request fits beside the worker's"
    assert int(attributes["fileCacheCapacity"].removesuffix("Gi")) + LOGS_GIB <= own
    head = pods(manifest("prod", unpinned(edit)))["head"]
    assert not any("csi" in each for each in head["volumes"])


def test_a_claim_is_mounted_read_only() -> None:
    edit = {"serving.model.source": "pvc:models/llama/70b"}
    pod, annotations = worker(edit)
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}} in pod["volumes"]
    assert "gke-gcsfuse/volumes" not in annotations
    assert llm_config(edit)["model_loading_config"]["model_source"] == "/models/llama/70b"
    assert llm_config({"serving.model.source": "pvc:models"})["model_loading_config"]["model_source"] == "/models"


@pytest.mark.parametrize("source", ["pvc:", "pvc:Models", "pvc:a..b", "pvc:a/b/", "pvc:a_b", f"pvc:{'a' * 64}"])
def test_what_no_claim_can_be_named_is_no_claim(source: str) -> None:
    assert claim(source) is None


def test_a_url_has_a_bucket_and_a_folder() -> None:
    assert split_gs_url("gs://b/a/c") == ("b", "a/c")
    assert split_gs_url("gs://b") == ("b", "")


def test_pods_can_request_what_gke_documents() -> None:
    """A node with a boot disk of 100 GiB reports 47093746742 bytes as allocatable."""
    assert allocatable_storage_gib(100, 0, 0) == pytest.approx(47093746742 / 2**30, abs=0.5)
    assert allocatable_storage_gib(1000, 0, 0) == pytest.approx(0.9 * 994 - 100)
    assert pod_storage_gib(100, 1, 375) == pytest.approx(0.9 * 0.98 * 375 - 50)
    assert pod_storage_gib(100, 32, 12_000) == pytest.approx(0.9 * 0.98 * 12_000 - 100)


@pytest.mark.parametrize("wanted", [10, 20, 60, 150, 700, 5000])
def test_a_boot_disk_is_large_enough_and_no_larger(wanted: int) -> None:
    size = boot_disk_for(wanted)
    assert pod_storage_gib(size, 0, 0) >= wanted > pod_storage_gib(size - 10, 0, 0)


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_a_worker_requests_less_disk_than_its_node_has(stack: str) -> None:
    inputs = args(stack)
    for group in inputs.plan.worker_groups:
        (pool,) = (each for each in inputs.cluster.gpu_pools if each.name == group.node_pool.name)
        assert 0 < group.pod_resources.disk_gib <= pool.pod_storage_gib
        resources = container(pods(manifest(stack))[pool.name])["resources"]
        assert resources["limits"]["ephemeral-storage"] == f"{group.pod_resources.disk_gib}Gi"


def test_a_larger_boot_disk_is_for_the_worker() -> None:
    size = {"infra.regions.0.node_pools.0.boot_disk_size_gib": 1000}
    assert args("dev", size).plan.worker_groups[0].pod_resources.disk_gib == worker_disk_gib(794.6)


@pytest.mark.parametrize(
    ("source", "gib"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", 130),
        ("Qwen/Qwen3-30B-A3B", 56),
        ("mistralai/Mixtral-8x7B-v0.1", 104),
        ("RedHatAI/Llama-3.1-8B-Instruct-FP8", 8),
        ("casperhansen/llama-3-70b-instruct-awq", 39),
        ("gs://weights/0.5b", 1),
        ("google/gemma-4-E2B-it", None),
        ("bucket:gemma", None),
    ],
)
def test_a_name_is_a_guess_at_the_size(source: str, gib: int | None) -> None:
    found = guess_gib(source)
    assert (None if found is None else round(found)) == gib


def warnings(edit: dict[str, Any], stack: str = "dev") -> list[str]:
    """Return the warnings about weights of `stack` with `edit`."""
    config = check(stack, edited(blocks(stack), edit))
    assert isinstance(config.infra, GoogleInfra)
    assert config.serving is not None
    return list(find_warnings(config.infra, config.serving, config.region_plans))


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_the_shipped_files_have_no_warning(stack: str) -> None:
    assert warnings({}, stack) == []


def test_a_guess_that_does_not_fit_is_a_warning() -> None:
    (warning,) = warnings({"serving.model.source": "meta-llama/Llama-3.3-70B-Instruct"})
    assert "about 130 GiB" in warning
    assert (
        warnings({"serving.model.source": "meta-llama/Llama-3.3-70B-Instruct", "serving.model.weights_gib": 60}) == []
    )
    assert warnings({"serving.model.source": "pvc:models/Llama-3.3-70B-Instruct"}) == []


def test_a_driver_that_mounts_nothing_is_a_warning() -> None:
    (warning,) = warnings({"infra.cluster_defaults.gcs_fuse_csi_driver": True})
    assert "mounts nothing" in warning
    assert warnings({"serving.model.source": "bucket:gemma", "infra.model_bucket": {"kind": "new"}, **FUSE}) == []


def test_a_bucket_without_a_grant_is_a_warning() -> None:
    (warning,) = warnings({"serving.model.source": URI})
    assert "gs://weights is not infra.model_bucket" in warning
    assert "{kind: existing, name: weights}" in warning
    assert warnings({"serving.model.source": URI, "infra.model_bucket": {"kind": "existing", "name": "weights"}}) == []
