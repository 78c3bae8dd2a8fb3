"""What the `serving` block of an environment may say: which model runs, how many times, on which data path."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from schema import Rule, Settings
from workloads.data_path import DataPath

TINY = "tiny-random"
"""Model source: a tiny model with random weights, made on the spot."""

DECIDED_HERE = {
    "distributed_executor_backend": "the stack always runs vLLM on Ray's v2 executor",
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
    instead="write one `model`; give each further model a stack of its own",
    source="ray-project/ray#63934",
)
AUTOSCALING_BOUNDS = Rule(
    "serving.autoscaling-bounds",
    wrong="min_replicas {low} is above max_replicas {high}",
    why="Serve could never satisfy both",
    instead="write a min_replicas of at most {high}",
)


class RequestRouter(StrEnum):
    """How Ray picks the replica. `default` is the data path's own: round robin on `direct_streaming`, power of two
    choices on `python_proxy`."""

    DEFAULT = "default"
    PREFIX_CACHE_AFFINITY = "prefix_cache_affinity"


class Lora(Settings):
    """Adapters beside the base model, loaded on demand."""

    adapters_bucket: Annotated[str, StringConstraints(pattern=r"^gs://[^/]+(/.*[^/])?$")]
    """`gs://…` under which adapters lie, one folder each (Ray's dynamic_lora_loading_path: it reads buckets only)."""
    max_adapters_per_replica: int = Field(default=16, ge=1)
    """Adapters that a replica holds at once."""


class Model(Settings):
    """The model and the name that clients ask for."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,95}$")]
    """What clients write in `model`."""
    source: str = TINY
    """`tiny-random` (made on the spot, its answers are noise), a local folder in Hugging Face format, `gs://…` or a
    Hugging Face id; which of them depends on where the stack runs."""
    lora: Lora | None = None
    """Adapters, if any."""


class Engine(Settings):
    """vLLM's part."""

    max_model_len: int = Field(default=4096, ge=64)
    """Longest context, prompt and answer together, in tokens."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that one replica uses."""
    arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
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
    min_replicas: int = Field(ge=1)
    """Never fewer."""
    max_replicas: int = Field(ge=1)
    """Never more."""
    target_ongoing_requests: int = Field(default=32, ge=1)
    """Requests in flight that Serve aims at for each replica."""

    @model_validator(mode="after")
    def _bounds(self) -> Autoscaling:
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


class ServingSettings(Settings):
    """The `serving` block."""

    data_path: DataPath = DataPath.DIRECT_STREAMING
    """How requests reach a replica: `direct_streaming` or the baseline `python_proxy`."""
    model: Model
    """What is served."""
    replicas: Annotated[FixedReplicas | Autoscaling, Field(discriminator="kind")] = FixedReplicas()
    """How many replicas: `{kind: fixed, count}` or `{kind: autoscaling, min_replicas, max_replicas}`."""
    engine: Engine = Engine()
    """vLLM's settings."""
    request_router: RequestRouter = RequestRouter.DEFAULT
    """How Ray picks the replica."""
    ingress: Ingress | None = None
    """Options of the ingress deployment; the direct path has none."""

    @model_validator(mode="before")
    @classmethod
    def _one_model(cls, raw: object) -> object:
        if isinstance(raw, dict):
            several = raw.get("models") or raw.get("model")
            if isinstance(several, list):
                raise ONE_MODEL.refusal(count=len(several))
        return raw

    @property
    def most_gpus(self) -> int:
        """GPUs in use when every replica runs."""
        return self.replicas.most * self.engine.tensor_parallel_size
