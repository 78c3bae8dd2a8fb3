"""Check that pods can read a model's weights, and that the weights fit on the disk of a node."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from config import sizing
from config.google.cluster import NewCluster
from config.google.infra import GoogleInfra
from config.google.model_bucket import ExistingBucket
from config.google.node_storage import boot_disk_for
from config.issues import ConfigIssue, Rule
from config.model_service import MODEL_BUCKET_SCHEME, Model, ModelService
from config.node_pool_info import GpuNodePoolInfo
from config.region_plan import RegionPlan
from config.releases import Release
from config.serving import ServingSettings
from config.weights import GS_SCHEME, WeightsLoad, claim, guess_gib, split_gs_url

STOCK_IMAGE = re.compile(r"(^|/)rayproject/ray-llm[:@]")
MAX_BOOT_DISK_GIB = 65_536

LOAD_WITHOUT_BUCKET = Rule(
    "serving.model.load-without-bucket",
    problem="{load} with `source: {source}`",
    reason="only the weights of a bucket can be streamed or mounted",
    fix="Remove `load`, or write `bucket:FOLDER` or `gs://BUCKET/FOLDER` as source",
)
STREAM_WITH_STOCK_IMAGE = Rule(
    "serving.model.stream-with-stock-image",
    problem="stream with the image {image}",
    reason="vLLM streams with runai-model-streamer, which this image does not have",
    fix="Write `load: download`, or an image that you built from this one with `pip install vllm[runai]`",
    source="ray-project/ray#52499",
)
MOUNT_WITHOUT_DRIVER = Rule(
    "serving.model.mount-without-driver",
    problem="mount with `infra.cluster_defaults.gcs_fuse_csi_driver: false`",
    reason="this driver mounts the bucket, and the pods would stay pending without it",
    fix="Write `infra.cluster_defaults.gcs_fuse_csi_driver: true`, or `load: download`",
)
WEIGHTS_EXCEED_DISK = Rule(
    "serving.model.weights-exceed-disk",
    problem="{weights:g} GiB",
    reason="a worker pod of node pool {pool} has {disk} GiB of disk, {logs} of them for logs and caches, and the "
    "kubelet evicts a pod that uses more",
    fix="Write {fix}",
    source="GKE, Plan node sizes",
)


def find_issues(
    infra: GoogleInfra, service: ModelService, release: Release, locate: Callable[[str], str]
) -> Iterator[ConfigIssue]:
    """Yield what keeps the pods of `release` from the weights of `service`."""
    model, load = service.model, service.model.load
    if load is WeightsLoad.DOWNLOAD:
        return
    if not is_bucket(model.source):
        yield LOAD_WITHOUT_BUCKET.issue(locate("model.load"), load=load, source=model.source)
    elif load is WeightsLoad.STREAM and STOCK_IMAGE.search(release.image):
        yield STREAM_WITH_STOCK_IMAGE.issue(locate("model.load"), image=release.image.partition("@")[0])
    elif load is WeightsLoad.MOUNT and not infra.cluster_defaults.gcs_fuse_csi_driver and _new_clusters(infra):
        yield MOUNT_WITHOUT_DRIVER.issue(locate("model.load"))


def find_size_issues(
    service: ModelService, node_pools: Sequence[GpuNodePoolInfo], locate: Callable[[str], str]
) -> Iterator[ConfigIssue]:
    """Yield an issue if `model.weights_gib` does not fit on the disk of a node pool of the model."""
    weights = service.model.weights_gib
    if weights is None or not uses_disk(service.model):
        return
    for pool in sizing.eligible_node_pools(service, node_pools):
        disk = sizing.worker_disk_gib(pool.pod_storage_gib)
        if weights + sizing.LOGS_GIB > disk:
            facts = {"weights": weights, "pool": pool.name, "disk": disk, "logs": sizing.LOGS_GIB}
            yield WEIGHTS_EXCEED_DISK.issue(locate("model.weights_gib"), **facts, fix=_larger_disk(pool, weights))
            return


def find_warnings(infra: GoogleInfra, serving: ServingSettings, plans: Mapping[str, RegionPlan]) -> Iterator[str]:
    """Yield one sentence for each thing about weights that works, but may not do what the user wants."""
    services = tuple(_services(serving))
    if infra.cluster_defaults.gcs_fuse_csi_driver and not any(
        model.load is WeightsLoad.MOUNT for model in (service.model for service in services)
    ):
        yield (
            "infra.cluster_defaults.gcs_fuse_csi_driver: true, and no model has `load: mount`, so this stack mounts "
            "nothing. Write `load: mount` for a model, or false."
        )
    for bucket in sorted(_buckets_without_grant(infra, services)):
        yield (
            f"serving.model.source: {GS_SCHEME}{bucket} is not infra.model_bucket, so this stack does not grant the "
            f"workers the right to read it. Write `infra.model_bucket: {{kind: existing, name: {bucket}}}`, unless the "
            f"bucket is public or you granted the right yourself."
        )
    yield from dict.fromkeys(
        warning for plan in plans.values() for each in plan.services for warning in _size_warnings(each.service, plan)
    )


def is_bucket(source: str) -> bool:
    """Return True if `source` is a folder of a bucket."""
    return source.startswith((MODEL_BUCKET_SCHEME, GS_SCHEME))


def uses_disk(model: Model) -> bool:
    """Return True if the whole weights are on the node's disk: not in the image, on a volume, or in GPU memory only. A
    mounted bucket caches what fits."""
    return not model.source.startswith("/") and claim(model.source) is None and model.load is WeightsLoad.DOWNLOAD


def _new_clusters(infra: GoogleInfra) -> bool:
    """Return True if the stack creates a cluster. Only an existing cluster's driver is unknown."""
    return any(isinstance(region.cluster, NewCluster) for region in infra.regions)


def _services(serving: ServingSettings) -> Iterator[ModelService]:
    releases = serving.kubernetes.releases.values() if serving.kubernetes else ()
    for release in releases:
        yield from serving.services(release)


def _buckets_without_grant(infra: GoogleInfra, services: Sequence[ModelService]) -> set[str]:
    own = infra.model_bucket.name if isinstance(infra.model_bucket, ExistingBucket) else None
    sources = (service.model.source for service in services)
    return {split_gs_url(source)[0] for source in sources if source.startswith(GS_SCHEME)} - {own}


def _size_warnings(service: ModelService, plan: RegionPlan) -> Iterator[str]:
    """Yield a sentence if a guess by the model's name does not fit, and the settings do not say the size."""
    guess = guess_gib(service.model.source) or guess_gib(service.model.id)
    if guess is None or service.model.weights_gib is not None or not uses_disk(service.model):
        return
    for pool in sizing.eligible_node_pools(service, plan.node_pools):
        disk = sizing.worker_disk_gib(pool.pod_storage_gib)
        if guess + sizing.LOGS_GIB > disk:
            yield (
                f"serving.model.source: by its name {service.model.source} has about {guess:.0f} GiB of weights, and a "
                f"worker pod of node pool {pool.name} has {disk} GiB of disk. If you know the size, write "
                f"`weights_gib`, which is checked."
            )


def _larger_disk(pool: GpuNodePoolInfo, weights: float) -> str:
    wanted = boot_disk_for((weights + sizing.LOGS_GIB + 1) / sizing.REQUESTED_SHARE)
    if pool.local_ssd_gib or wanted > MAX_BOOT_DISK_GIB:
        return "a node pool with more local SSDs, or put the weights into a bucket and write `load: mount`"
    return f"`boot_disk_size_gib: {wanted}` or more for the node pool"
