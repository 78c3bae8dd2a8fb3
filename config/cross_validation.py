"""Validate what the `infra` and `serving` blocks must not say together. On plain data, before any resource."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import versions
from config import compatibility, engine_arguments, engine_env, sizing, weights_checks
from config import cross_validation_rules as rules
from config.data_path import DATA_PATHS
from config.google import resource_names
from config.google.gateway import ManagedCertificate
from config.google.image_registry import DirectPull
from config.google.infra import GoogleInfra
from config.google.regions import Region
from config.infra import InfraSettings
from config.issues import ConfigIssue
from config.local.infra import LocalInfra
from config.lora import ANONYMOUS, MODEL_BUCKET_SCHEME
from config.model_service import PRIMARY_SERVICE_NAME, SMOLLM2, TINY_RANDOM, Autoscaling, Model, ModelService
from config.node_pool_info import GpuNodePoolInfo
from config.region_plan import RegionPlan
from config.releases import RELEASE_OVERRIDES, KubernetesServing, Release
from config.routes import SERVED_SEGMENTS, HostRoute, PathRoute, shadowed_segment
from config.serving import ServingSettings
from config.weights import CLAIM_SOURCE, WeightsLoad
from config.weights_checks import is_bucket

EXAMPLE_PREFIX = "example-"
"""Prefix of the project ids in this repository's own stack files."""
EXAMPLE_NUMBERS = range(100000000001, 100000000004)
"""Project numbers in this repository's own stack files."""
CHANGE_ME = "change-me"

HUGGING_FACE = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
BUCKET, IMAGE_FOLDER = r"gs://[a-z0-9][a-z0-9._-]+(/[^/\s]+)*", r"(/[^/\s]+)+"
MODEL_SOURCE = re.compile(
    rf"{re.escape(MODEL_BUCKET_SCHEME)}[^/\s]+(/[^/\s]+)*|{BUCKET}|{HUGGING_FACE}|{CLAIM_SOURCE.pattern}|{IMAGE_FOLDER}"
)
"""Places that pods can read a model from."""

Locate = Callable[[str], str]
"""Returns the settings path of a field of one model service."""


def find_issues(
    environment: str,
    infra: InfraSettings,
    serving: ServingSettings | None,
    region_plans: Mapping[str, RegionPlan],
    *,
    has_token: bool,
) -> Iterator[ConfigIssue]:
    """Yield every issue of two blocks that are valid on their own.

    `environment` is the stack's name, `region_plans` the plans of the regions whose release exists, `has_token` says
    that the stack has a Hugging Face token.
    """
    if serving is not None:
        yield from find_serving_issues(serving)
    match infra:
        case LocalInfra():
            yield from _local_issues(infra, serving)
        case GoogleInfra():
            name_issues = list(resource_names.find_issues(infra, environment))
            yield from name_issues
            if serving is not None:
                yield from _google_issues(infra, serving, has_token=has_token)
                if not name_issues:  # node pools of one name would be reported again
                    yield from _size_issues(infra, serving, region_plans)


def find_serving_issues(serving: ServingSettings) -> Iterator[ConfigIssue]:
    """Yield every issue of the `serving` block that does not depend on `infra`."""
    for service, ray_version, locate in located_services(serving):
        yield from compatibility.find_issues(service, ray_version, locate)
        yield from engine_arguments.find_issues(service, ray_version, locate)
        for issue in engine_env.find_version_issues(service.engine.env, ray_version):
            yield replace(issue, path=locate(f"engine.{issue.path}"))
        yield from _ongoing_request_issues(service, locate)
    if serving.kubernetes is not None:
        yield from _duplicate_issues(serving.kubernetes)


def _ongoing_request_issues(service: ModelService, locate: Locate) -> Iterator[ConfigIssue]:
    most, replicas = service.max_ongoing_requests, service.replicas
    if isinstance(replicas, Autoscaling) and most is not None and most < replicas.target_ongoing_requests:
        yield rules.TARGET_ABOVE_MAXIMUM.issue(
            locate("max_ongoing_requests"), most=most, target=replicas.target_ongoing_requests
        )


def _scales_to_zero(service: ModelService) -> bool:
    return isinstance(service.replicas, Autoscaling) and service.replicas.min_replicas == 0


def _local_issues(infra: LocalInfra, serving: ServingSettings | None) -> Iterator[ConfigIssue]:
    if serving is None:
        yield rules.SERVING_MISSING.issue("serving")
        return
    if serving.max_gpus > infra.logical_gpus:
        yield rules.LOGICAL_GPUS_TOO_FEW.issue(
            "serving.replicas",
            wanted=serving.max_gpus,
            replicas=serving.replicas.max_replicas,
            gpus=serving.engine.gpus_text,
            available=infra.logical_gpus,
        )
    if serving.kubernetes is not None:
        yield rules.KUBERNETES_ON_LOCAL.issue("serving.kubernetes")
    if _scales_to_zero(serving) and DATA_PATHS[serving.data_path].haproxy:
        yield rules.SCALE_TO_ZERO_DIRECT.issue("serving.replicas.min_replicas", data_path=serving.data_path.value)
    if serving.node_pool is not None:
        yield rules.NODE_POOL_ON_LOCAL.issue("serving.node_pool")
    yield from _local_model_issues(infra, serving.model)


def _local_model_issues(infra: LocalInfra, model: Model) -> Iterator[ConfigIssue]:
    if is_bucket(model.source):
        yield from _local_bucket_issues(infra, "serving.model.source", model.source)
    if model.lora is not None:
        path = model.lora.dynamic_lora_loading_path
        yield from _local_bucket_issues(infra, "serving.model.lora.dynamic_lora_loading_path", path)
    if model.load is not WeightsLoad.DOWNLOAD:
        yield rules.LOAD_ON_LOCAL.issue("serving.model.load", load=model.load)
    if model.gated:
        yield rules.GATED_ON_LOCAL.issue("serving.model.gated")


def _local_bucket_issues(infra: LocalInfra, field: str, path: str) -> Iterator[ConfigIssue]:
    """Yield what keeps Ray on the local host from the folder of a bucket that `field` names."""
    if path.startswith(MODEL_BUCKET_SCHEME):
        yield rules.MODEL_BUCKET_ON_LOCAL.issue(field, path=path)
    elif not path.startswith(ANONYMOUS) and (infra.bucket_access is None or not infra.bucket_access.credentials_file):
        yield rules.BUCKET_CREDENTIALS_MISSING.issue(field, path=path)


def _google_issues(infra: GoogleInfra, serving: ServingSettings, *, has_token: bool) -> Iterator[ConfigIssue]:
    if serving.kubernetes is None:
        yield rules.KUBERNETES_MISSING.issue("serving.kubernetes")
        return
    yield from _example_issues(infra)
    yield from _release_issues(infra, serving.kubernetes)
    yield from _route_issues(infra, serving.kubernetes)
    for service, _, locate in located_services(serving):
        yield from _model_issues(infra, service, locate, has_token=has_token)
    for service, release, locate in _released_services(serving):
        yield from weights_checks.find_issues(infra, service, release, locate)


def located_services(serving: ServingSettings) -> Iterator[tuple[ModelService, str, Locate]]:
    """Yield every model service at every release, the release's Ray version, and how to locate its fields."""
    if serving.kubernetes is None:
        yield serving, versions.RAY, lambda field: f"serving.{field}"
    for service, release, locate in _released_services(serving):
        yield service, release.ray_version, locate


def _released_services(serving: ServingSettings) -> Iterator[tuple[ModelService, Release, Locate]]:
    """Yield every model service at every release, the release, and how to locate the service's fields."""
    releases = serving.kubernetes.releases if serving.kubernetes else {}
    for name, release in releases.items():
        for index, service in enumerate(serving.services(release)):
            yield service, release, _locate(serving, index, name)


def _locate(serving: ServingSettings, index: int, release_name: str) -> Locate:
    """Return how to locate the fields of the model service at `index`: 0 is the primary model."""
    assert serving.kubernetes is not None
    release = serving.kubernetes.releases[release_name]

    def locate(field: str) -> str:
        if index > 0:
            return f"serving.kubernetes.additional_models[{index - 1}].{field}"
        block = field.split(".")[0]
        overridden = block in RELEASE_OVERRIDES and getattr(release, block) is not None
        return f"serving.kubernetes.releases.{release_name}.{field}" if overridden else f"serving.{field}"

    return locate


def _example_issues(infra: GoogleInfra) -> Iterator[ConfigIssue]:
    """Yield an issue for each example value that a user with an own project has not replaced."""
    if infra.project.id.startswith(EXAMPLE_PREFIX):
        return
    if infra.project.number in EXAMPLE_NUMBERS:
        yield rules.EXAMPLE_VALUE.issue("infra.project.number", value=infra.project.number)
    for path, value in _texts("infra", infra.model_dump(mode="json")):
        if CHANGE_ME in value:
            yield rules.EXAMPLE_VALUE.issue(path, value=value)


def _texts(path: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            yield from (found for key, inner in value.items() for found in _texts(f"{path}.{key}", inner))
        case list():
            yield from (found for index, inner in enumerate(value) for found in _texts(f"{path}[{index}]", inner))
        case str():
            yield path, value
        case _:
            pass


def _release_issues(infra: GoogleInfra, kubernetes: KubernetesServing) -> Iterator[ConfigIssue]:
    for index, region in enumerate(infra.regions):
        if kubernetes.release(region.release) is None:
            known = ", ".join(kubernetes.releases)
            problem = f"{region.release} is unknown" if region.release else "missing"
            yield rules.RELEASE_UNKNOWN.issue(f"infra.regions[{index}].release", problem=problem, known=known)
    for name, release in kubernetes.releases.items():
        path = f"serving.kubernetes.releases.{name}.image"
        if release.is_placeholder and not infra.project.id.startswith(EXAMPLE_PREFIX):
            yield rules.IMAGE_PLACEHOLDER.issue(path)
        host, slash, _ = release.image.partition("/")
        if slash and ("." in host or ":" in host) and not isinstance(infra.image_registry, DirectPull):
            yield rules.IMAGE_REGISTRY_TWICE.issue(path, registry=host)


def _duplicate_issues(kubernetes: KubernetesServing) -> Iterator[ConfigIssue]:
    models = kubernetes.additional_models
    names = Counter([PRIMARY_SERVICE_NAME, *(model.name for model in models)])
    routes = Counter(model.route.match_key for model in models)
    for what, times in (Counter({f"name {name}": times for name, times in names.items()}) + routes).items():
        if times > 1:
            yield rules.MODEL_DUPLICATE.issue(
                "serving.kubernetes.additional_models", what=what, primary=PRIMARY_SERVICE_NAME
            )
    paths = {model.name: model.route.prefix for model in models if isinstance(model.route, PathRoute)}
    for index, model in enumerate(models):
        prefix = paths.get(model.name, "")
        for owner, base in {PRIMARY_SERVICE_NAME: "", **paths}.items():
            if owner != model.name and (taken := shadowed_segment(prefix, base)):
                free = f"/{model.name}-model" if model.name in SERVED_SEGMENTS else f"/{model.name}"
                path = f"serving.kubernetes.additional_models[{index}].route.prefix"
                yield rules.PATH_TAKEN.issue(path, free=free, prefix=prefix, owner=owner, taken=taken)


def _route_issues(infra: GoogleInfra, kubernetes: KubernetesServing) -> Iterator[ConfigIssue]:
    own = infra.gateway.hostname
    for index, model in enumerate(kubernetes.additional_models):
        if not isinstance(model.route, HostRoute):
            continue
        path, hostname = f"serving.kubernetes.additional_models[{index}].route.hostname", model.route.hostname
        if hostname == own:
            yield rules.HOSTNAME_TAKEN.issue(path, hostname=hostname, primary=PRIMARY_SERVICE_NAME)
        elif isinstance(infra.gateway.certificate, ManagedCertificate):
            yield rules.HOSTNAME_NOT_IN_CERTIFICATE.issue(path, hostname=hostname, certified=own)


def _model_issues(
    infra: GoogleInfra, service: ModelService, locate: Locate, *, has_token: bool
) -> Iterator[ConfigIssue]:
    source, path = service.model.source, locate("model.source")
    if _scales_to_zero(service):
        yield rules.SCALE_TO_ZERO_ON_GOOGLE.issue(locate("replicas.min_replicas"))
    if source in (SMOLLM2, TINY_RANDOM):
        yield rules.LOCAL_MODEL_ON_GOOGLE.issue(path, source=source)
    elif not MODEL_SOURCE.fullmatch(source) or ".." in source:
        yield rules.MODEL_SOURCE_INVALID.issue(path, source=repr(source))
    adapters = service.model.lora.dynamic_lora_loading_path if service.model.lora else ""
    for field, folder in (("model.source", source), ("model.lora.dynamic_lora_loading_path", adapters)):
        if folder.startswith(MODEL_BUCKET_SCHEME) and infra.model_bucket is None:
            yield rules.MODEL_BUCKET_MISSING.issue(locate(field), source=folder)
    if service.model.revision == 40 * "0" and not infra.project.id.startswith(EXAMPLE_PREFIX):
        yield rules.REVISION_PLACEHOLDER.issue(locate("model.revision"))
    if service.model.gated and not has_token:
        yield rules.TOKEN_MISSING.issue(locate("model.gated"))


def _size_issues(
    infra: GoogleInfra, serving: ServingSettings, plans: Mapping[str, RegionPlan]
) -> Iterator[ConfigIssue]:
    """Yield what does not fit on the node pools. An issue of several regions is reported once, with all their names."""
    regions_of: dict[ConfigIssue, list[str]] = {}
    fitting: dict[str, RegionPlan] = {}
    for region, plan in plans.items():
        issues = [
            issue
            for index, each in enumerate(plan.services)
            for issue in _fit_issues(each.service, _locate(serving, index, plan.release_name), plan.node_pools)
        ]
        for issue in issues:
            regions_of.setdefault(issue, []).append(region)
        if not issues:
            fitting[region] = plan
    for issue, regions in regions_of.items():
        yield rules.of_regions(issue, regions)
    for index, region in enumerate(infra.regions):
        if plan := fitting.get(region.name):
            yield from _shared_pool_issues(index, region, plan)
    yield from _system_pool_issues(infra, fitting)


def _fit_issues(service: ModelService, locate: Locate, node_pools: Sequence[GpuNodePoolInfo]) -> Iterator[ConfigIssue]:
    """Yield what keeps one model from the node pools of a region."""
    gpus, path = service.engine.tensor_parallel_size, locate("engine.tensor_parallel_size")
    pools = sizing.eligible_node_pools(service, node_pools)
    if not pools:
        known = ", ".join(pool.name for pool in node_pools)
        yield rules.NODE_POOL_UNKNOWN.issue(
            locate("node_pool"), pool=service.node_pool, known=known, regions=rules.REGIONS
        )
        return
    models = sorted({pool.ray_accelerator_type or "none" for pool in pools})
    if len(models) > 1:
        yield rules.MIXED_GPUS.issue(locate("node_pool"), models=", ".join(models), regions=rules.REGIONS)
        return
    per_node = max(pool.gpus_per_node for pool in pools)
    room = sum(pool.max_nodes * sizing.replicas_per_node(service, pool) for pool in pools)
    if gpus > per_node:
        yield rules.TENSOR_PARALLEL_EXCEEDS_NODE.issue(path, gpus=gpus, per_node=per_node, regions=rules.REGIONS)
    elif unused := next((pool.gpus_per_node % gpus for pool in pools if pool.gpus_per_node % gpus), 0):
        sizes = [str(size) for size in range(1, per_node + 1) if per_node % size == 0]
        fix = f"{', '.join(sizes[:-1])} or {sizes[-1]}"
        yield rules.GPUS_UNUSED.issue(
            path, gpus=gpus, per_node=per_node, unused=unused, sizes=fix, regions=rules.REGIONS
        )
    elif service.replicas.max_replicas > room:
        replicas = service.replicas.max_replicas
        yield rules.TOO_MANY_REPLICAS.issue(
            locate("replicas"), replicas=replicas, gpus=service.engine.gpus_text, room=room, regions=rules.REGIONS
        )
    yield from weights_checks.find_size_issues(service, node_pools, locate)


def _shared_pool_issues(index: int, region: Region, plan: RegionPlan) -> Iterator[ConfigIssue]:
    """Yield an issue for each node pool that is too small for all its models together."""
    wanted: Counter[str] = Counter()
    for each in plan.services:
        wanted.update({group.node_pool.name: group.max_replicas for group in each.worker_groups})
    for i, pool in enumerate(plan.node_pools):
        if wanted[pool.name] > pool.max_nodes:
            yield rules.NODE_POOL_TOO_SMALL.issue(
                f"infra.regions[{index}].node_pools[{i}].nodes",
                pool=pool.name,
                region=region.name,
                wanted=wanted[pool.name],
                most=pool.max_nodes,
            )


def _system_pool_issues(infra: GoogleInfra, plans: Mapping[str, RegionPlan]) -> Iterator[ConfigIssue]:
    """Yield an issue if the system pool cannot hold the Ray heads of the region with most of them."""
    if not plans:
        return
    # A service has two heads while KubeRay replaces its RayCluster.
    heads_of = {
        region: sum(2 if each.second_ray_cluster_fits else 1 for each in plan.services)
        for region, plan in plans.items()
    }
    region = max(heads_of, key=lambda name: heads_of[name])
    pool, heads = infra.system_pool, heads_of[region]
    heads_per_node = sizing.heads_per_node(pool.machine.vcpus, pool.machine.memory_gib)
    if heads_per_node == 0:
        yield rules.SYSTEM_MACHINE_TOO_SMALL.issue(
            "infra.system_pool.machine_type",
            machine=pool.machine.name,
            cpus=sizing.HEAD_CPUS,
            memory=sizing.HEAD_MEMORY_GIB,
        )
    elif (wanted := math.ceil(heads / heads_per_node)) > pool.total_max_nodes:
        yield rules.SYSTEM_POOL_TOO_SMALL.issue(
            "infra.system_pool.total_max_nodes",
            most=pool.total_max_nodes,
            wanted=wanted,
            heads=heads,
            heads_per_node=heads_per_node,
            region=region,
        )
