"""Volumes of Ray's pods for weights: a directory on the node's disk, a mounted bucket, or a PersistentVolumeClaim.

Sources: GKE, "Mount Cloud Storage buckets as CSI ephemeral volumes" and "Optimize Cloud Storage FUSE CSI driver for GKE
performance"; GoogleCloudPlatform/gcsfuse, samples/gke-csi-yaml/gpu/serving-pv.yaml; GKE, "Accelerate AI/ML data loading
with Hyperdisk ML" (a claim that all nodes read).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi import Input, Output

from config.model_service import Model
from config.sizing import LOGS_GIB
from config.weights import WeightsLoad, claim, split_gs_url

WEIGHTS_VOLUME, WEIGHTS_DIR = "weights", "/weights"
"""Directory on the node's local SSDs, or on its boot disk. It survives a restart of the container."""
MODELS_VOLUME, MODELS_DIR = "models", "/models"
"""The mounted bucket or claim, read-only."""
HUGGING_FACE_DIR = f"{WEIGHTS_DIR}/huggingface"
FUSE_CACHE_VOLUME = "gke-gcsfuse-cache"
"""Name that GKE's webhook looks for: the file cache of Cloud Storage FUSE."""
FUSE_DISK_GIB = 5
"""Disk that GKE's sidecar requests beside the cache."""
FUSE_ANNOTATIONS = {
    "gke-gcsfuse/volumes": "true",
    # Without limits: with the defaults (250m, 256Mi) loading is slow, and the sidecar runs out of memory.
    "gke-gcsfuse/cpu-limit": "0",
    "gke-gcsfuse/memory-limit": "0",
    "gke-gcsfuse/ephemeral-storage-limit": "0",
    "gke-gcsfuse/ephemeral-storage-request": f"{FUSE_DISK_GIB}Gi",
}
FUSE_MOUNT_OPTIONS = (
    "implicit-dirs",
    # Weights do not change: a model gets another folder.
    "metadata-cache:ttl-secs:-1",
    "metadata-cache:stat-cache-max-size-mb:-1",
    "metadata-cache:type-cache-max-size-mb:-1",
    "file-cache:enable-parallel-downloads:true",
    "file-cache:cache-file-for-range-read:true",
    "read_ahead_kb=1024",
)


@dataclass(frozen=True)
class ModelVolumes:
    """What a pod template has for weights."""

    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    annotations: Mapping[str, str] = field(default_factory=dict)
    sidecar_disk_gib: int = 0
    """Ephemeral storage that a sidecar of the pod requests."""


def head_volumes() -> ModelVolumes:
    """Return the volumes of the head: it loads no model, and has the same directories as the workers."""
    return ModelVolumes(
        [{"name": WEIGHTS_VOLUME, "emptyDir": {}}], [{"name": WEIGHTS_VOLUME, "mountPath": WEIGHTS_DIR}]
    )


def worker_volumes(model: Model, source: Input[str], disk_gib: int) -> ModelVolumes:
    """Return the volumes of a worker.

    `source`: `model.source` with `bucket:` replaced by the bucket's URL. `disk_gib`: disk of the worker and its
    sidecar.
    """
    own = head_volumes()
    mount = {"name": MODELS_VOLUME, "mountPath": MODELS_DIR, "readOnly": True}
    if (volume := claim(model.source)) is not None:
        mounted = {
            "name": MODELS_VOLUME,
            "persistentVolumeClaim": {"claimName": volume.name, "readOnly": True},
        }
        return ModelVolumes([*own.volumes, mounted], [*own.mounts, mount])
    if model.load is not WeightsLoad.MOUNT:
        return own
    cache = {"name": FUSE_CACHE_VOLUME, "emptyDir": {}}
    cache_gib = max(disk_gib - FUSE_DISK_GIB - LOGS_GIB, 1)
    volumes = [*own.volumes, cache, _bucket_volume(source, cache_gib)]
    return ModelVolumes(volumes, [*own.mounts, mount], FUSE_ANNOTATIONS, FUSE_DISK_GIB)


def _bucket_volume(source: Input[str], cache_gib: int) -> dict[str, Any]:
    def mount_options(url: str) -> str:
        folder = split_gs_url(url)[1]
        return ",".join([*FUSE_MOUNT_OPTIONS, *([f"only-dir={folder}"] if folder else [])])

    plain = isinstance(source, str)
    return {
        "name": MODELS_VOLUME,
        "csi": {
            "driver": "gcsfuse.csi.storage.gke.io",
            "readOnly": True,
            "volumeAttributes": {
                "bucketName": split_gs_url(source)[0] if plain else _apply(source, lambda url: split_gs_url(url)[0]),
                "mountOptions": mount_options(source) if plain else _apply(source, mount_options),
                "fileCacheCapacity": f"{cache_gib}Gi",
                "skipCSIBucketAccessCheck": "true",
            },
        },
    }


def _apply(source: Input[str], change: Any) -> Output[str]:
    return Output.from_input(source).apply(change)
