"""What the `serving` block of an environment may say: which model runs, how many times, on which data path, and what
clusters need to know besides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

import versions
from config.base import Refused, Rule, Settings, form, wanted
from config.data_path import DataPath
from config.routes import Route
from config.timeouts import GATEWAY_DRAINING_LIMIT_S

TINY = "tiny-random"
"""Model source: a tiny model with random weights, made on the spot."""
STORE = "store:"
"""How a model source begins that is a folder of infra.model_store's bucket."""
FIRST = "llm"
"""What the first model's RayService is called."""
LONGEST_ANSWER_S = 3400

IMAGE = (
    r"([a-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w.-]+)?@sha256:[0-9a-f]{64}"
)
IMAGE_WORDS = "REPOSITORY@sha256:DIGEST in small letters, without a scheme"

_ONE_NODE = "a replica stays on one node, and Ray places it"
_RAY_LISTENS = "Ray Serve listens for requests, and vLLM's own server, which would heed it, is not started"
_LORA = "adapters have settings of their own, model.lora"

DECIDED_HERE = {
    **dict.fromkeys(("nnodes", "node_rank", "master_addr", "master_port", "headless"), _ONE_NODE),
    **dict.fromkeys(("host", "port", "uds", "root_path", "ssl_keyfile", "ssl_certfile", "middleware"), _RAY_LISTENS),
    **dict.fromkeys(("enable_lora", "max_loras", "lora_modules"), _LORA),
    "api_key": "Ray Serve listens for requests, and nobody would ask for the key",
    "distributed_executor_backend": "the stack always runs vLLM on Ray's v2 executor",
    "hf_token": "it is a secret, which `pulumi config set --secret rayllm:huggingFaceToken` keeps out of the file",
    "max_model_len": "it has a setting of its own, engine.max_model_len",
    "model": "the model is model.source",
    "served_model_name": "the model is served as model.id",
    "tensor_parallel_size": "it has a setting of its own, engine.tensor_parallel_size",
}
"""vLLM engine arguments that engine.arguments may not carry, with the reason."""

ENGINE_ARGUMENT = Rule(
    "engine.argument-decided-here",
    wrong="engine.arguments has `{name}`",
    why="{why}",
    instead="take it out of engine.arguments",
)
ONE_MODEL = Rule(
    "serving.one-model",
    wrong="`serving` lists {count} models",
    why="the direct data path serves one model an application, and Ray refuses more",
    instead="write one `model`; on clusters each further model goes into serving.clusters.services",
    source="ray/llm/_internal/serve/core/ingress/builder.py",
)
AUTOSCALING_BOUNDS = Rule(
    "serving.autoscaling-bounds",
    wrong="min_replicas {low} is above max_replicas {high}",
    why="Serve could never satisfy both",
    instead="write a min_replicas of at most {high}",
)


NO_DIGEST = Rule(
    "serving.image-without-digest",
    wrong="image {image} has no digest",
    why="a tag can come to mean another image, and two nodes would run two programs under one name",
    instead="write REPOSITORY@sha256:DIGEST (`docker buildx imagetools inspect IMAGE:TAG` prints it)",
)
OTHER_RAY = Rule(
    "serving.image-of-another-ray",
    wrong="the image's tag says Ray {tag} and ray_version is {version}",
    why="KubeRay and this stack's checks go by ray_version",
    instead="write ray_version: {tag}, or the image of Ray {version}",
)
NO_REPLICA = Rule(
    "serving.scaled-to-nothing",
    wrong="min_replicas is {low}",
    why="without a replica nothing answers until a node and the weights are there, and the load balancer takes the "
    "region for dead",
    instead="write 1 or more; a region rests with traffic: drained",
    source="ray-project/ray#61271",
)
LONGEST_ANSWER = Rule(
    "serving.longest-answer",
    wrong="longest_answer_s is {seconds}",
    why="Google's load balancer drains a back end for {limit} s at most, and what is behind it gives up sooner",
    instead="write 30 to {most}",
    source="gke-gateway-api, GCPBackendPolicy",
)
RAY_TOO_OLD = Rule(
    "serving.ray-too-old",
    wrong="ray_version is {version}",
    why="direct streaming came with 2.56.0, whose router hangs and does not grow with the proxies",
    instead="use an image with Ray {floor} or later",
    source="ray-project/ray#64488, ray-project/ray#64724",
)


class RequestRouter(StrEnum):
    """How Ray picks the replica. `default` is the data path's own: round robin on `direct_streaming`, power of two
    choices on `python_proxy`."""

    DEFAULT = "default"
    PREFIX_CACHE_AFFINITY = "prefix_cache_affinity"


class Lora(Settings):
    """Adapters beside the base model, loaded on demand."""

    adapters_bucket: Annotated[
        str, form(r"gs://[a-z0-9][^/]+(/.*[^/])?", "gs://BUCKET/FOLDER, without a slash at the end")
    ]
    """`gs://…` under which adapters lie, one folder each (Ray's dynamic_lora_loading_path: it reads buckets only)."""
    max_adapters_per_replica: int = Field(default=16, ge=1)
    """Adapters that a replica holds at once."""


class Model(Settings):
    """The model and the name that clients ask for."""

    id: Annotated[
        str,
        form(
            r"[A-Za-z0-9][A-Za-z0-9._/-]{0,95}",
            "up to 96 letters, digits, dots, hyphens, underscores and slashes, a letter or digit first",
        ),
    ]
    """What clients write in `model`."""
    source: str = TINY
    """On a computer `tiny-random` (made on the spot, its answers are noise) or a local folder in Hugging Face format;
    on clusters `store:<folder>` of infra.model_store's bucket, `gs://…`, a Hugging Face id, or a folder of the image.
    """
    gated: bool = False
    """Whether Hugging Face gives the weights to a token only: `pulumi config set --secret rayllm:huggingFaceToken`."""
    lora: Lora | None = None
    """Adapters, if any."""


def _plain(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        raise wanted("a number, text, or true or false")
    return value


Argument = Annotated[bool | int | float | str, BeforeValidator(_plain)]


class Engine(Settings):
    """vLLM's part."""

    max_model_len: int = Field(default=4096, ge=64)
    """Longest context, prompt and answer together, in tokens."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that one replica uses."""
    arguments: dict[str, Argument] = Field(default_factory=dict)
    """Further vLLM engine arguments under vLLM's own names."""

    @model_validator(mode="after")
    def _nothing_that_the_stack_decides(self) -> Engine:
        for name in self.arguments:
            if name in DECIDED_HERE:
                raise ENGINE_ARGUMENT.refusal(name=name, why=DECIDED_HERE[name])
        return self


class FixedReplicas(Settings):
    """Always the same number."""

    kind: Literal["fixed"] = "fixed"
    """A number."""
    count: int = Field(default=1, ge=1)
    """Replicas of the model."""

    @property
    def most(self) -> int:
        return self.count


class Autoscaling(Settings):
    """Serve follows the load. Changing only these bounds still replaces every replica in turn: they are an argument of
    the deployment, not a knob on it."""

    kind: Literal["autoscaling"]
    """Bounds."""
    min_replicas: int
    """Never fewer; 1 or more."""
    max_replicas: int = Field(ge=1)
    """Never more."""
    target_ongoing_requests: int = Field(default=32, ge=1)
    """Requests in flight that Serve aims at for each replica."""
    downscale_delay_s: int = Field(default=600, ge=1)
    """Seconds of less load after which Serve takes a replica away. A new one has to load the model again."""
    idle_node_s: int = Field(default=300, ge=1)
    """Seconds without a replica after which a worker pod gives its node back; on clusters."""

    @model_validator(mode="after")
    def _bounds(self) -> Autoscaling:
        if self.min_replicas < 1:
            raise NO_REPLICA.refusal(low=self.min_replicas)
        if self.min_replicas > self.max_replicas:
            raise AUTOSCALING_BOUNDS.refusal(low=self.min_replicas, high=self.max_replicas)
        return self

    @property
    def most(self) -> int:
        return self.max_replicas


class Ingress(Settings):
    """Options of the OpenAI ingress deployment, where the data path has one."""

    replicas: int = Field(default=1, ge=1)
    """Ingress replicas; Serve's HTTP work is done here on `python_proxy`."""


class Service(Settings):
    """One model behind one Serve application: a RayService on clusters."""

    data_path: DataPath = DataPath.DIRECT_STREAMING
    """How requests reach a replica: `direct_streaming` or the baseline `python_proxy`."""
    model: Model
    """What is served."""
    replicas: Annotated[FixedReplicas | Autoscaling, Field(discriminator="kind")] = FixedReplicas()
    """How many, in each region: `{kind: fixed, count}` or `{kind: autoscaling, min_replicas, max_replicas}`."""
    engine: Engine = Engine()
    """vLLM's settings."""
    request_router: RequestRouter = RequestRouter.DEFAULT
    """How Ray picks the replica."""
    ingress: Ingress | None = None
    """Options of the ingress deployment; the direct path has none."""
    pool: str | None = None
    """The one GPU pool that it runs on, in every region; null: all of them."""

    @property
    def most_gpus(self) -> int:
        """GPUs in use when every replica runs."""
        return self.replicas.most * self.engine.tensor_parallel_size


class FurtherService(Service):
    """A model beside the first one, as a RayService of its own: Ray's direct path has one model an application."""

    name: Annotated[
        str,
        form(
            r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?",
            "up to 47 lowercase letters, digits and hyphens, a letter first and no hyphen last",
        ),
    ]
    """Its RayService. Changing it makes another."""
    route: Route
    """Which requests are its own; all others go to the first model."""
    requests_per_second_per_worker: int = Field(ge=1, le=100_000)
    """As in `clusters`."""


class Release(Settings):
    """What a region's `release` chooses: what pods are made from, and what else is raised region by region."""

    image: Annotated[str, form(IMAGE, IMAGE_WORDS)]
    """Of Ray's LLM image or one made from it, by digest; without a registry where infra.images has one."""
    ray_version: Annotated[str, form(r"\d+\.\d+\.\d+", f'a whole version, such as "{versions.RAY}"')] = versions.RAY
    """The Ray in that image."""
    longest_answer_s: int = 600
    """Seconds from a request to the last token of its answer; every time-out follows from it
    (config/timeouts.py)."""
    ray_tokens: bool = False
    """Whether Ray's dashboard, jobs and client ask for a token (KubeRay 1.5.1 and later make one)."""
    data_path: DataPath | None = None
    """Instead of serving.data_path, as all that follow: for the first model; null for what `serving` says."""
    model: Model | None = None
    """Instead of serving.model."""
    replicas: Annotated[FixedReplicas | Autoscaling, Field(discriminator="kind")] | None = None
    """Instead of serving.replicas."""
    engine: Engine | None = None
    """Instead of serving.engine."""

    @field_validator("image", mode="before")
    @classmethod
    def _by_digest(cls, image: object) -> object:
        if isinstance(image, str) and image and "@" not in image:
            raise NO_DIGEST.refusal(image=image)
        return image

    @field_validator("ray_version")
    @classmethod
    def _new_enough(cls, version: str) -> str:
        if _numbers(version) < _numbers(versions.RAY_FLOOR):
            raise RAY_TOO_OLD.refusal(version=version, floor=versions.RAY_FLOOR)
        return version

    @field_validator("longest_answer_s")
    @classmethod
    def _within_googles(cls, seconds: int) -> int:
        if not 30 <= seconds <= LONGEST_ANSWER_S:
            raise LONGEST_ANSWER.refusal(seconds=seconds, limit=GATEWAY_DRAINING_LIMIT_S, most=LONGEST_ANSWER_S)
        return seconds

    @model_validator(mode="after")
    def _ray_of_the_image(self) -> Release:
        tagged = re.search(r":(\d+\.\d+\.\d+)\b", self.image)
        if tagged and tagged[1] != self.ray_version:
            raise OTHER_RAY.refusal(tag=tagged[1], version=self.ray_version)
        return self

    @property
    def is_placeholder(self) -> bool:
        """Whether the digest is one that no image has."""
        return self.image.endswith("@sha256:" + 64 * "0")


INSTEAD = ("data_path", "model", "replicas", "engine")
"""What a release may say in place of `serving`."""


class WaitFor(StrEnum):
    """What `up` waits for. Infrastructure that is up and a model that is ready are two things, hours apart where nodes
    are yet to come."""

    INFRASTRUCTURE = "infrastructure"
    READY = "ready"


ReleaseName = Annotated[
    str, form(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", "a name of small letters, digits, dots and hyphens, such as r2")
]


class Clusters(Settings):
    """What only clusters need."""

    releases: dict[ReleaseName, Release] = Field(min_length=1)
    """Name -> release. With several, every region says which one is its own (infra.regions[].release)."""
    requests_per_second_per_worker: int = Field(ge=1, le=100_000)
    """What one worker pod was measured to bear; beyond it the load balancer sends requests to other regions. Google's
    default is a hundred million, so that a full region never gives any away."""
    detach_s: int = Field(default=120, ge=0, le=1800)
    """Seconds in which the load balancer may still send requests to a region that was taken out of the entrance, or to
    a worker that leaves."""
    wait_for: WaitFor = WaitFor.READY
    """`ready`: until the model answers. `infrastructure`: until everything is declared. Where nodes may take days to
    come (flex-start) nothing waits for a model."""
    ready_limit_s: int = Field(default=3600, ge=60, le=86_400)
    """Seconds after which an `up` that waits for a model gives up. What it made is kept."""
    services: tuple[FurtherService, ...] = ()
    """Further models, each a RayService of its own behind the same entrance."""

    def release(self, name: str) -> Release | None:
        """The one that a region means by `name`."""
        return next(iter(self.releases.values())) if not name and len(self.releases) == 1 else self.releases.get(name)


class ServingSettings(Service):
    """The `serving` block."""

    clusters: Clusters | None = None
    """Required with infra.kind google, and only there."""

    def services(self, release: Release | None = None) -> tuple[Service, ...]:
        """All models of a region at `release`, the first one first."""
        instead = {} if release is None else {name: getattr(release, name) for name in INSTEAD}
        first = self.model_copy(update={name: value for name, value in instead.items() if value is not None})
        return (first, *(self.clusters.services if self.clusters else ()))


def several_models(serving: object) -> Refused | None:
    """What to tell whoever writes a list of models. Looked for in what was written: a validator that saw it first would
    make pydantic take the rest of the block for Python's own data, which it reads less strictly."""
    found = (serving.get("models") or serving.get("model")) if isinstance(serving, Mapping) else None
    return Refused([ONE_MODEL.sentence(count=len(found))], [ONE_MODEL.id]) if isinstance(found, list) else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))
