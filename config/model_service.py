"""One model service: model, engine, replicas and request router."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from config.base import Settings, format_error, matches
from config.data_path import DataPath
from config.issues import Rule

TINY_RANDOM = "tiny-random"
"""Model source: a tiny model with random weights, made on the spot."""
MODEL_BUCKET_SCHEME = "bucket:"
"""How a model source begins that is a folder of infra.model_bucket's bucket."""
PRIMARY_SERVICE_NAME = "llm"
"""What the first model's RayService is called."""

_ONE_NODE = "a replica stays on one node, and Ray places it"
_RAY_LISTENS = "Ray Serve listens for requests, and vLLM's own server, which would heed it, is not started"
_LORA = "adapters have settings of their own, model.lora"

MANAGED_ENGINE_ARGS = {
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
"""vLLM engine arguments that engine.engine_kwargs may not carry, with the reason."""

ENGINE_ARGUMENT = Rule(
    "engine.argument-decided-here",
    problem="engine.engine_kwargs has `{name}`",
    reason="{why}",
    fix="take it out of engine.engine_kwargs",
)
AUTOSCALING_BOUNDS = Rule(
    "serving.autoscaling-bounds",
    problem="min_replicas {low} is above max_replicas {high}",
    reason="Serve could never satisfy both",
    fix="write a min_replicas of at most {high}",
)
NO_REPLICA = Rule(
    "serving.scaled-to-nothing",
    problem="min_replicas is {low}",
    reason="without a replica nothing answers until a node and the weights are there, and the load balancer takes the "
    "region for dead",
    fix="write 1 or more; a region rests with traffic: drained",
    source="ray-project/ray#61271",
)


class RequestRouter(StrEnum):
    """How Ray picks the replica. `default` is the data path's own: round robin on `direct_streaming`, power of two
    choices on `python_proxy`."""

    DEFAULT = "default"
    PREFIX_CACHE_AFFINITY = "prefix_cache_affinity"


class LoraSettings(Settings):
    """Adapters beside the base model, loaded on demand."""

    dynamic_lora_loading_path: Annotated[
        str, matches(r"gs://[a-z0-9][^/]+(/.*[^/])?", "gs://BUCKET/FOLDER, without a slash at the end")
    ]
    """`gs://…` under which adapters lie, one folder each (Ray's dynamic_lora_loading_path: it reads buckets only)."""
    max_num_adapters_per_replica: int = Field(default=16, ge=1)
    """Adapters that a replica holds at once."""


class Model(Settings):
    """The model and the name that clients ask for."""

    id: Annotated[
        str,
        matches(
            r"[A-Za-z0-9][A-Za-z0-9._/-]{0,95}",
            "up to 96 letters, digits, dots, hyphens, underscores and slashes, a letter or digit first",
        ),
    ]
    """What clients write in `model`."""
    source: str = TINY_RANDOM
    """On a computer `tiny-random` (made on the spot, its answers are noise) or a local folder in Hugging Face format;
    on clusters `bucket:<folder>` of infra.model_bucket's bucket, `gs://…`, a Hugging Face id, or a folder of the image.
    """
    gated: bool = False
    """Whether Hugging Face gives the weights to a token only: `pulumi config set --secret rayllm:huggingFaceToken`."""
    lora: LoraSettings | None = None
    """Adapters, if any."""


def _plain(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        raise format_error("a number, text, or true or false")
    return value


Argument = Annotated[bool | int | float | str, BeforeValidator(_plain)]


class Engine(Settings):
    """vLLM's part."""

    max_model_len: int = Field(default=4096, ge=64)
    """Longest context, prompt and answer together, in tokens."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that one replica uses."""
    engine_kwargs: dict[str, Argument] = Field(default_factory=dict)
    """Further vLLM engine arguments under vLLM's own names."""

    @model_validator(mode="after")
    def _nothing_that_the_stack_decides(self) -> Engine:
        for name in self.engine_kwargs:
            if name in MANAGED_ENGINE_ARGS:
                raise ENGINE_ARGUMENT.error(name=name, why=MANAGED_ENGINE_ARGS[name])
        return self


class FixedReplicas(Settings):
    """Always the same number."""

    kind: Literal["fixed"] = "fixed"
    """A number."""
    num_replicas: int = Field(default=1, ge=1)
    """Replicas of the model."""

    @property
    def max_replicas(self) -> int:
        return self.num_replicas


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
    idle_timeout_s: int = Field(default=300, ge=1)
    """Seconds without a replica after which a worker pod gives its node back; on clusters."""

    @model_validator(mode="after")
    def _bounds(self) -> Autoscaling:
        if self.min_replicas < 1:
            raise NO_REPLICA.error(low=self.min_replicas)
        if self.min_replicas > self.max_replicas:
            raise AUTOSCALING_BOUNDS.error(low=self.min_replicas, high=self.max_replicas)
        return self


class Ingress(Settings):
    """Options of the OpenAI ingress deployment, where the data path has one."""

    num_replicas: int = Field(default=1, ge=1)
    """Ingress replicas; Serve's HTTP work is done here on `python_proxy`."""


class ModelService(Settings):
    """One model behind one Serve application: a RayService on clusters."""

    data_path: DataPath = DataPath.DIRECT_STREAMING
    """How requests reach a replica: `direct_streaming` or the baseline `python_proxy`."""
    model: Model
    """What is served."""
    replicas: Annotated[FixedReplicas | Autoscaling, Field(discriminator="kind")] = FixedReplicas()
    """How many, in each region: `{kind: fixed, num_replicas}` or `{kind: autoscaling, min_replicas, max_replicas}`."""
    engine: Engine = Engine()
    """vLLM's settings."""
    request_router: RequestRouter = RequestRouter.DEFAULT
    """How Ray picks the replica."""
    ingress: Ingress | None = None
    """Options of the ingress deployment; the direct path has none."""
    node_pool: str | None = None
    """The one GPU pool that it runs on, in every region; null: all of them."""

    @property
    def max_gpus(self) -> int:
        """GPUs in use when every replica runs."""
        return self.replicas.max_replicas * self.engine.tensor_parallel_size
