"""What the two settings blocks, `infra` and `serving`, may not say together. On plain data, before any resource."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import versions
from config import compatibility, sizing
from config.data_path import DATA_PATHS
from config.google import resource_names
from config.google.gateway import ManagedCertificate
from config.google.image_registry import DirectPull
from config.google.infra import GoogleInfra
from config.google.regions import Region
from config.google.scheduling import gpu_pool_info
from config.infra import InfraSettings
from config.issues import Rule
from config.local.infra import LocalInfra
from config.model_service import MODEL_BUCKET_SCHEME, PRIMARY_SERVICE_NAME, TINY_RANDOM, ModelService
from config.node_pool_info import GpuNodePoolInfo
from config.releases import KubernetesServing
from config.routes import PRIMARY_PATH_PREFIXES, HostRoute, PathRoute
from config.serving import ServingSettings

EXAMPLE = "example-"
"""How the ids of the projects in this repository's own files begin."""
EXAMPLE_NUMBERS = range(100000000001, 100000000004)
CHANGE_ME = "change-me"

HUGGING_FACE = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
BUCKET, IMAGE_FOLDER = r"gs://[a-z0-9][a-z0-9._-]+(/[^/\s]+)*", r"(/[^/\s]+)+"
PLACES = re.compile(rf"{re.escape(MODEL_BUCKET_SCHEME)}[^/\s]+(/[^/\s]+)*|{BUCKET}|{HUGGING_FACE}|{IMAGE_FOLDER}")
"""Where pods can read a model from."""

NOTHING_TO_RUN = Rule(
    "environment.nothing-to-run",
    problem="serving is null with infra.kind local",
    reason="a computer has no infrastructure to stand up, so there would be nothing to do",
    fix="write a `serving` block, at least `model: {{id: ...}}`",
)
GPUS = Rule(
    "environment.too-few-gpus",
    problem="serving asks for {wanted} GPUs ({replicas} replicas of {each})",
    reason="infra.logical_gpus is {there}",
    fix="write fewer replicas, or raise infra.logical_gpus to {wanted}",
)
LOCAL_MODEL = Rule(
    "environment.model-not-a-folder",
    problem="serving.model.source is {source}",
    reason="on a computer it must be a folder with a config.json, in Hugging Face format, and there is none",
    fix="write `tiny-random` or the absolute path of such a folder",
)

POOL_HERE = Rule(
    "environment.pool-on-a-machine",
    problem="serving.node_pool is set with infra.kind local",
    reason="a computer has no pools",
    fix="take `pool` out",
)
LORA_HERE = Rule(
    "environment.lora-on-a-machine",
    problem="serving.model.lora is set with infra.kind local",
    reason="Ray loads adapters from buckets only, and a computer is served from folders",
    fix="merge the adapter into the weights",
    source="ray/llm/_internal/serve/core/configs/llm_config.py",
)


CLUSTERS_BLOCK_HERE = Rule(
    "environment.clusters-on-a-machine",
    problem="serving.kubernetes is set with infra.kind local",
    reason="a computer has no image, no release and no entrance",
    fix="take `clusters` out",
)

CLUSTERS_MISSING = Rule(
    "environment.clusters-missing",
    problem="`serving` has no `clusters` with infra.kind google",
    reason="pods need an image, and the entrance a rate at which a worker is full",
    fix="write serving.kubernetes with `releases` and `max_rate_per_endpoint`, or `serving: null` for "
    "infrastructure only",
)
RELEASE = Rule(
    "environment.release-unknown",
    problem="infra.regions[{index}].release is {release!r}",
    reason="the releases in serving.kubernetes.releases are {known}",
    fix="write one of them; with a single one it can be left out",
)
LEFT_OVER = Rule(
    "environment.left-over",
    problem="{at} is {value}",
    reason="that is what this repository's example says, and the project is not the example's",
    fix="write your own",
)
PLACEHOLDER = Rule(
    "environment.placeholder-image",
    problem="serving.kubernetes.releases.{release}.image has a digest of zeros",
    reason="that is this repository's placeholder, and no registry has such an image",
    fix="write the digest of the image that you tested (`docker buildx imagetools inspect IMAGE:TAG` prints it)",
)
TWO_REGISTRIES = Rule(
    "environment.image-with-registry",
    problem="serving.kubernetes.releases.{release}.image begins with a registry, {registry}",
    reason="nodes get images from the repository of infra.image_registry, whose address goes in front",
    fix="leave {registry}/ out, or write infra.image_registry: {{kind: direct}}",
)
TINY_THERE = Rule(
    "environment.tiny-on-clusters",
    problem="serving.model.source is tiny-random with infra.kind google",
    reason="random weights are made on a computer, to show that it works; on GPUs they are only expensive",
    fix="write a Hugging Face id, `bucket:<folder>` or `gs://…`",
)
MODEL_SOURCE = Rule(
    "environment.model-source",
    problem="model.source of model {model} is {source!r}",
    reason="pods can read four kinds of places only, and would find out when the GPUs are up and paid for",
    fix="write `bucket:FOLDER` of infra.model_bucket, `gs://BUCKET/FOLDER`, a Hugging Face id (OWNER/NAME), or the "
    "absolute path of a folder of the image",
)
NO_STORE = Rule(
    "environment.no-model-store",
    problem="a model's source is {source} with infra.model_bucket null",
    reason="`bucket:` is a folder of that bucket",
    fix="write infra.model_bucket, or the whole `gs://…`",
)
TOKEN_MISSING = Rule(
    "environment.token-missing",
    problem="model {model} is `gated: true`, and there is no token for it",
    reason="Hugging Face would refuse the weights when the GPUs are up and paid for",
    fix="run `pulumi config set --secret rayllm:huggingFaceToken` for this stack",
)
POOL = Rule(
    "environment.pool-unknown",
    problem="model {model} is to run on pool {pool}",
    reason="{region} has {known}",
    fix="write a pool that every region has, or leave `pool` out",
)
MIXED = Rule(
    "environment.mixed-accelerators",
    problem="model {model} would run on pools of {region} with different GPUs ({accelerators})",
    reason="Ray asks for one kind of accelerator for all replicas of a model, and would never use the other",
    fix="write `pool: <name>` for the model",
)
REPLICA_TOO_WIDE = Rule(
    "environment.replica-wider-than-a-node",
    problem="tensor_parallel_size of model {model} is {each}",
    reason="a replica stays on one node, and those in {region} have {per_node} GPU(s)",
    fix="write at most {per_node}, or a pool of larger machines",
)
GPUS_LEFT = Rule(
    "environment.gpus-left-over",
    problem="tensor_parallel_size of model {model} is {each}",
    reason="a node of {region} has {per_node} GPUs, so {left} of them would be paid for and never used",
    fix="write {fitting}",
)
TOO_MANY_REPLICAS = Rule(
    "environment.too-many-replicas",
    problem="model {model} asks for {replicas} replicas of {each} GPU(s)",
    reason="the nodes of {region}, at their most, have room for {room}",
    fix="write at most {room}, or more nodes in that region's pools (infra.regions)",
)
POOL_SHARED = Rule(
    "environment.pool-too-small",
    problem="the models on pool {pool} of {region} take {wanted} nodes together",
    reason="a worker pod takes a node whole, and the pool has at most {there}",
    fix="write fewer replicas, or more nodes in that region's pool (infra.regions)",
)
HEADS = Rule(
    "environment.heads-do-not-fit",
    problem="the Ray heads of {region} need {wanted} nodes of infra.system_pool",
    reason="{why}",
    fix="write a larger machine_type or max_nodes",
)
SERVICE_TWICE = Rule(
    "environment.service-twice",
    problem="serving.kubernetes.additional_models has the {what} twice",
    reason="each is a RayService and a route of its own; the first model's is called {first} and takes what is left",
    fix="give each another name and another route",
)


PATH_TAKEN = Rule(
    "environment.path-taken",
    problem="service {name} is to be told by the path {prefix}",
    reason="the first model, {first}, answers there",
    fix="write another path, such as /{name}",
)
HOST_UNCERTIFIED = Rule(
    "environment.host-uncertified",
    problem="service {name} is to be told by the host {hostname}",
    reason="the certificate that Google issues for infra.gateway is for {certified} alone",
    fix="write a route by path or header, or infra.gateway.certificate: {{kind: existing}} with one for both names",
)
HOST_TAKEN = Rule(
    "environment.host-taken",
    problem="service {name} is to be told by the host {hostname}",
    reason="that is infra.gateway.hostname, at which the first model, {first}, is called",
    fix="write another name, or a route by path or header",
)

Found = tuple[Rule, dict[str, object]]
"""A rule and the facts of the case."""


def find_issues(
    environment: str, infra: InfraSettings, serving: ServingSettings | None, *, token: bool
) -> Iterator[tuple[str, str]]:
    """(rule id, sentence) of everything that cannot work. `token`: there is one for Hugging Face."""
    yield from dict.fromkeys(_incompatible(serving)) if serving is not None else ()
    match infra:
        case LocalInfra() as machine:
            yield from _on_a_machine(machine, serving)
        case GoogleInfra() as google:
            badly_named = [
                (refusal.type, refusal.message()) for refusal in resource_names.find_issues(google, environment)
            ]
            yield from badly_named
            if serving is not None and not badly_named:  # two pools of one name would be found here, too
                yield from ((rule.id, rule.format(**facts)) for rule, facts in _on_clusters(google, serving, token))


def _on_a_machine(machine: LocalInfra, serving: ServingSettings | None) -> Iterator[tuple[str, str]]:
    if serving is None:
        yield NOTHING_TO_RUN.id, NOTHING_TO_RUN.format()
        return
    if serving.max_gpus > machine.logical_gpus:
        yield (
            GPUS.id,
            GPUS.format(
                wanted=serving.max_gpus,
                replicas=serving.replicas.max_replicas,
                each=serving.engine.tensor_parallel_size,
                there=machine.logical_gpus,
            ),
        )
    if serving.kubernetes is not None:
        yield CLUSTERS_BLOCK_HERE.id, CLUSTERS_BLOCK_HERE.format()
    if serving.node_pool is not None:
        yield POOL_HERE.id, POOL_HERE.format()
    if (
        serving.model.lora is not None and not DATA_PATHS[serving.data_path].direct
    ):  # the direct path's own row says more
        yield LORA_HERE.id, LORA_HERE.format()
    source = Path(serving.model.source)
    if serving.model.source != TINY_RANDOM and not (source.is_absolute() and (source / "config.json").is_file()):
        yield LOCAL_MODEL.id, LOCAL_MODEL.format(source=serving.model.source)


def _on_clusters(google: GoogleInfra, serving: ServingSettings, token: bool) -> Iterator[Found]:
    if serving.kubernetes is None:
        yield CLUSTERS_MISSING, {}
        return
    yield from _left_over(google)
    yield from _releases(google, serving.kubernetes)
    yield from _names(google, serving.kubernetes)
    for service in _models(serving):
        yield from _model(google, service, token)
    yield from _once(_regions(google, serving, serving.kubernetes))


def _regions(google: GoogleInfra, serving: ServingSettings, kubernetes: KubernetesServing) -> Iterator[Found]:
    for region in google.regions:
        services = serving.services(kubernetes.release(region.release))
        misfits = [found for service in services for found in _room(region, service)]
        yield from misfits or _together(google, region, services)


def _once(found: Iterable[Found]) -> Iterator[Found]:
    """What is wrong in several regions alike is told once, with all their names."""
    regions: dict[tuple[Rule, tuple[tuple[str, object], ...]], list[str]] = {}
    for rule, facts in found:
        alike = tuple((name, value) for name, value in facts.items() if name != "region")
        regions.setdefault((rule, alike), []).append(str(facts["region"]))
    for (rule, alike), names in regions.items():
        yield rule, {**dict(alike), "region": " and ".join(dict.fromkeys(names))}


def _left_over(google: GoogleInfra) -> Iterator[Found]:
    """What nobody has changed who put in a project of their own."""
    if google.project.id.startswith(EXAMPLE):
        return
    if google.project.number in EXAMPLE_NUMBERS:
        yield LEFT_OVER, {"at": "infra.project.number", "value": google.project.number}
    for at, value in _texts("infra", google.model_dump(mode="json")):
        if CHANGE_ME in value:
            yield LEFT_OVER, {"at": at, "value": value}


def _texts(at: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            yield from (found for key, inner in value.items() for found in _texts(f"{at}.{key}", inner))
        case list():
            yield from (found for index, inner in enumerate(value) for found in _texts(f"{at}[{index}]", inner))
        case str():
            yield at, value
        case _:
            pass


def _incompatible(serving: ServingSettings) -> Iterator[tuple[str, str]]:
    """Each release by the Ray in its image."""
    releases = serving.kubernetes.releases.values() if serving.kubernetes else (None,)
    for release in releases:
        for service in serving.services(release):
            yield from compatibility.find_issues(service, release.ray_version if release else versions.RAY)


def _models(serving: ServingSettings) -> list[ModelService]:
    """Of all releases, each once."""
    releases = serving.kubernetes.releases.values() if serving.kubernetes else (None,)
    found: list[ModelService] = []
    for service in (service for release in releases for service in serving.services(release)):
        if service not in found:
            found.append(service)
    return found


def _releases(google: GoogleInfra, kubernetes: KubernetesServing) -> Iterator[Found]:
    for index, region in enumerate(google.regions):
        if kubernetes.release(region.release) is None:
            yield RELEASE, {"index": index, "release": region.release, "known": ", ".join(kubernetes.releases)}
    for name, release in kubernetes.releases.items():
        if release.is_placeholder and not google.project.id.startswith(EXAMPLE):
            yield PLACEHOLDER, {"release": name}
        first = release.image.split("/")[0]
        if (
            ("." in first or ":" in first)
            and "/" in release.image
            and not isinstance(google.image_registry, DirectPull)
        ):
            yield TWO_REGISTRIES, {"release": name, "registry": first}


def _names(google: GoogleInfra, kubernetes: KubernetesServing) -> Iterator[Found]:
    names = Counter([PRIMARY_SERVICE_NAME, *(service.name for service in kubernetes.additional_models)])
    routes = Counter(service.route.match_key for service in kubernetes.additional_models)
    for what, count in (Counter({f"name {name}": count for name, count in names.items()}) + routes).items():
        if count > 1:
            yield SERVICE_TWICE, {"what": what, "first": PRIMARY_SERVICE_NAME}
    for service in kubernetes.additional_models:
        match service.route:
            case PathRoute(prefix=prefix) if prefix.split("/")[1] in PRIMARY_PATH_PREFIXES:
                yield PATH_TAKEN, {"name": service.name, "prefix": prefix, "first": PRIMARY_SERVICE_NAME}
            case HostRoute(hostname=hostname) if hostname == google.gateway.hostname:
                yield HOST_TAKEN, {"name": service.name, "hostname": hostname, "first": PRIMARY_SERVICE_NAME}
            case HostRoute(hostname=hostname) if isinstance(google.gateway.certificate, ManagedCertificate):
                certified = google.gateway.hostname
                yield HOST_UNCERTIFIED, {"name": service.name, "hostname": hostname, "certified": certified}
            case _:
                pass


def _model(google: GoogleInfra, service: ModelService, token: bool) -> Iterator[Found]:
    source = service.model.source
    if source == TINY_RANDOM:
        yield TINY_THERE, {}
    elif not PLACES.fullmatch(source) or ".." in source:
        yield MODEL_SOURCE, {"model": service.model.id, "source": source}
    if source.startswith(MODEL_BUCKET_SCHEME) and google.model_bucket is None:
        yield NO_STORE, {"source": source}
    if service.model.gated and not token:
        yield TOKEN_MISSING, {"model": service.model.id}


def _room(region: Region, service: ModelService) -> Iterator[Found]:
    each, model = service.engine.tensor_parallel_size, service.model.id
    here = sizing.eligible_node_pools(service, _groups(region))
    if not here:
        known = ", ".join(pool.name for pool in region.node_pools)
        yield POOL, {"model": model, "pool": service.node_pool, "region": region.name, "known": known}
        return
    accelerators = sorted({group.ray_accelerator_type or "none" for group in here})
    if len(accelerators) > 1:
        yield MIXED, {"model": model, "region": region.name, "accelerators": ", ".join(accelerators)}
        return
    per_node = max(group.gpus_per_node for group in here)
    most = sum(group.max_nodes * (group.gpus_per_node // each) for group in here)
    if each > per_node:
        yield REPLICA_TOO_WIDE, {"model": model, "each": each, "region": region.name, "per_node": per_node}
    elif left := next((group.gpus_per_node % each for group in here if group.gpus_per_node % each), 0):
        fitting = [str(size) for size in range(1, per_node + 1) if per_node % size == 0]
        facts = {"per_node": per_node, "left": left, "fitting": f"{', '.join(fitting[:-1])} or {fitting[-1]}"}
        yield GPUS_LEFT, {"model": model, "each": each, "region": region.name, **facts}
    elif service.replicas.max_replicas > most:
        replicas = service.replicas.max_replicas
        yield (
            TOO_MANY_REPLICAS,
            {"model": model, "replicas": replicas, "each": each, "region": region.name, "room": most},
        )


def _together(google: GoogleInfra, region: Region, services: Sequence[ModelService]) -> Iterator[Found]:
    wanted: Counter[str] = Counter()
    heads = 0
    for service in services:
        found = sizing.worker_groups(service, _groups(region))
        wanted.update({each.node_pool.name: each.max_replicas for each in found})
        heads += (
            2 if sizing.second_ray_cluster_fits(found) else 1
        )  # of the RayCluster that comes and of the one that goes
    for group in _groups(region):
        if wanted[group.name] > group.max_nodes:
            facts = {"pool": group.name, "wanted": wanted[group.name], "there": group.max_nodes}
            yield POOL_SHARED, {"region": region.name, **facts}
    yield from _heads(google, region, heads)


def _heads(google: GoogleInfra, region: Region, heads: int) -> Iterator[Found]:
    machine, pool = google.system_pool.machine, google.system_pool
    cpus, memory = sizing.HEAD_CPUS, sizing.HEAD_MEMORY_GIB
    free_cpus, free_memory = sizing.schedulable_resources(machine.vcpus, machine.memory_gib)
    on_a_node = min(free_cpus // cpus, free_memory // memory)
    if on_a_node == 0:
        why = f"each asks for {cpus} vCPUs and {memory} GiB, and a {machine.name} has not that much left"
        yield HEADS, {"region": region.name, "wanted": "larger", "why": why}
    elif (wanted := math.ceil(heads / on_a_node)) > pool.total_max_nodes:
        why = f"there are up to {heads} of them, {on_a_node} on a node, and max_nodes is {pool.total_max_nodes}"
        yield HEADS, {"region": region.name, "wanted": wanted, "why": why}


def _groups(region: Region) -> tuple[GpuNodePoolInfo, ...]:
    return tuple(gpu_pool_info(pool) for pool in region.node_pools)
