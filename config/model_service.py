"""One model service: model, engine, replicas and request router."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from config import engine_env, gpu_sharing, unsafe_arguments
from config.api_keys import ApiKeys
from config.base import Settings, format_error, matches, raise_issues
from config.chat_template import ChatTemplate
from config.data_path import DataPath
from config.issues import ConfigIssue, Rule
from config.limits import Limits
from config.lora import MODEL_BUCKET_SCHEME, LoraSettings
from config.media import Media
from config.request_routers import DefaultRouter, RequestRouter
from config.weights import REVISION, WeightsLoad, is_hub_id

TINY_RANDOM = "tiny-random"
"""Model source: a tiny model with random weights, generated on the local host."""
SMOLLM2 = "smollm2-135m"
"""Model source: SmolLM2-135M-Instruct, which `make up` downloads to the local host."""
MAX_REPLICAS = 10_000
MAX_CONTEXT = 100_000_000
"""Tokens; no model has a hundredth of it."""
AUTO = "auto"
"""Context length that vLLM chooses by the GPUs' memory."""
PRIMARY_SERVICE_NAME = "llm"
"""Name of the primary model's RayService."""

_ONE_NODE = "a replica stays on one node, and Ray places it"
_RAY_LISTENS = "Ray Serve accepts the requests, and vLLM's own server, which would read this argument, does not run"
_ONE_RANK = "a replica is one data-parallel rank; for more copies of the model write more replicas"
_LORA = "LoRA adapters have their own settings, model.lora"

DATA_PARALLEL_ARGS = (
    *("data_parallel_rank", "data_parallel_start_rank", "data_parallel_size_local", "data_parallel_address"),
    *("data_parallel_rpc_port", "data_parallel_hybrid_lb", "data_parallel_external_lb", "data_parallel_backend"),
    *("data_parallel_multi_port_external_lb", "data_parallel_supervisor_port", "dp_supervisor_probe_interval_s"),
    *("dp_supervisor_probe_timeout_s", "dp_supervisor_probe_failure_threshold", "enable_elastic_ep"),
    *("enable_fault_tolerance", "fault_tolerance_config"),
)
"""vLLM engine arguments that only several data-parallel ranks use (vllm/engine/arg_utils.py, create_engine_config)."""
SERVER_ARGS = (
    *("host", "port", "uds", "root_path", "middleware", "ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_cert_reqs"),
    *("ssl_ciphers", "enable_ssl_refresh", "uvicorn_log_level", "disable_uvicorn_access_log", "log_config_file"),
    *("disable_access_log_for_endpoints", "h11_max_incomplete_event_size", "h11_max_header_count"),
)
"""vLLM arguments of its own HTTP server (vllm/entrypoints/launchers/api_server/entry.py)."""

MANAGED_ENGINE_ARGS = {
    **dict.fromkeys(("nnodes", "node_rank", "master_addr", "master_port", "headless"), _ONE_NODE),
    **dict.fromkeys(DATA_PARALLEL_ARGS, _ONE_RANK),
    **dict.fromkeys(SERVER_ARGS, _RAY_LISTENS),
    **dict.fromkeys(("enable_lora", "max_loras", "max_lora_rank", "max_cpu_loras", "lora_modules"), _LORA),
    "allowed_media_domains": "it has its own setting, media.allowed_hosts",
    "language_model_only": "it has its own setting, media.text_only",
    "revision": "it has its own setting, model.revision",
    "api_key": "Ray Serve accepts the requests, and it does not check the key",
    "chat_template": "it has its own setting, model.chat_template",
    "device_ids": "Ray selects the GPUs of a replica, and vLLM ignores this argument on Ray",
    "distributed_executor_backend": "the stack always runs vLLM on Ray's v2 executor",
    "hf_token": "it is a secret; `pulumi config set --secret rayllm:huggingFaceToken` keeps it out of the file",
    "max_model_len": "it has its own setting, engine.max_model_len",
    "model": "the model is model.source",
    "model_weights": "the model is model.source",
    "served_model_name": "Ray serves a model under one name, model.id, and rejects the model if it has another",
    "tensor_parallel_size": "it has its own setting, engine.tensor_parallel_size",
}
"""vLLM engine arguments that engine.engine_kwargs must not have -> the reason."""

MANAGED_ENGINE_ARG = Rule(
    "serving.engine.managed-engine-arg",
    problem="not allowed in engine_kwargs",
    reason="{reason}",
    fix="Remove it",
)
REPLICA_BOUNDS = Rule(
    "serving.replicas.bounds",
    problem="min_replicas {min_replicas} is greater than max_replicas {max_replicas}",
    reason="Ray Serve cannot satisfy both",
    fix="Write a min_replicas of at most {max_replicas}",
)
REVISION_WITHOUT_HUB = Rule(
    "serving.model.revision-without-hub",
    problem="set with `source: {source}`",
    reason="only a repository of Hugging Face has revisions",
    fix="Remove it; for a bucket, write each version of a model to a folder of its own",
)
OLD_BUCKET_SCHEME = Rule(
    "serving.model.old-bucket-scheme",
    problem="{source} has an old scheme",
    reason="the scheme is now `bucket:`",
    fix="Write `{new}`",
)


class Model(Settings):
    """The model, and the name that clients use."""

    id: Annotated[
        str,
        matches(
            r"[A-Za-z0-9][A-Za-z0-9._/-]{0,95}",
            "up to 96 letters, digits, dots, hyphens, underscores and slashes, beginning with a letter or digit",
        ),
    ]
    """Name that clients write in the `model` field."""
    source: str = SMOLLM2
    """Where the weights are. Stack local: `smollm2-135m` (SmolLM2-135M-Instruct, which `make up` downloads),
    `tiny-random` (random weights, generated on the host), the absolute path of a directory in Hugging Face format, or
    `gs://BUCKET/FOLDER`. Google Cloud: `bucket:FOLDER` of infra.model_bucket, `gs://BUCKET/FOLDER`, a Hugging Face id,
    `pvc:CLAIM/FOLDER` of a PersistentVolumeClaim that exists in the namespace and that all nodes can read, or an
    absolute path in the image."""
    revision: (
        Annotated[str, matches(REVISION, "a commit of the model's repository: 40 lowercase hex digits")] | None
    ) = None
    """Commit of the Hugging Face repository, 40 hex digits, which vLLM downloads weights, configuration, tokenizer and
    code at; null for its newest one. The policies of staging and prod require it for a Hugging Face id."""
    load: WeightsLoad = WeightsLoad.DOWNLOAD
    """How the weights of a bucket reach the GPUs. `download`: to the node's disk first, once for all replicas of the
    node. `stream`: from the bucket to the GPUs; the image must have `vllm[runai]`, which rayproject/ray-llm has not.
    `mount`: GKE mounts the folder with Cloud Storage FUSE and caches it on the node's disk; it needs
    infra.cluster_defaults.gcs_fuse_csi_driver."""
    weights_gib: float | None = Field(default=None, gt=0, le=100_000)
    """Size of the weights in GiB, to check it against the node's disk; null if you do not know it."""
    gated: bool = False
    """True if Hugging Face requires a token for the weights: `pulumi config set --secret rayllm:huggingFaceToken`."""
    lora: LoraSettings | None = None
    """LoRA adapters; null for none."""
    chat_template: ChatTemplate = None
    """Chat template (Jinja) in place of the model's own: the text itself, the path of a file in this checkout
    (`templates/tools.jinja`), or the absolute path of a file where the model runs: in the image, or on the local host.
    null: the model's own."""

    @field_validator("source")
    @classmethod
    def _check_scheme(cls, source: str) -> str:
        if source.startswith("store:"):
            raise OLD_BUCKET_SCHEME.error(source=source, new=MODEL_BUCKET_SCHEME + source.removeprefix("store:"))
        return source

    @model_validator(mode="after")
    def _check(self) -> Model:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        if self.revision is not None and not is_hub_id(self.source):
            yield REVISION_WITHOUT_HUB.issue("revision", source=self.source)


def _context_length(value: object) -> object:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_CONTEXT):
        return value
    if value in (AUTO, -1):  # vLLM's command line writes it both ways
        return AUTO
    raise format_error("a whole number of tokens, 1 or more, without quotes; or `auto`, or null")


ContextLength = Annotated[int | Literal["auto"] | None, BeforeValidator(_context_length)]


EnvVarName = Annotated[
    str, matches(r"[A-Za-z_][A-Za-z0-9_]*", "a name of letters, digits and underscores, such as VLLM_LOGGING_LEVEL")
]


class Engine(Settings):
    """vLLM engine settings."""

    max_model_len: ContextLength = None
    """Longest context, prompt and answer together, in tokens. null: the model's own, from its config.json. `auto`: the
    longest one up to the model's own that fits in the GPUs' memory (vLLM's -1)."""
    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    """GPUs of one replica."""
    replicas_per_gpu: int = Field(default=1, ge=1, le=16)
    """Replicas that share one GPU, for small models. Each one gets an equal share of its memory, so write no
    gpu_memory_utilization or one of at most 0.95 divided by this number."""
    env: dict[EnvVarName, engine_env.EnvVarValue] = Field(default_factory=dict)
    """Environment variables of the replicas and of vLLM's workers: `VLLM_*`, `NCCL_*`, `HF_*` and those of other
    libraries of the engine. A change replaces every replica, one at a time, and no pod."""
    engine_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further vLLM engine arguments, by vLLM's own names and in its own types: mappings and lists as YAML has them."""
    unsafe_arguments: tuple[str, ...] = ()
    """Arguments of engine_kwargs that run code by name, read files for callers or trust callers, and that you allow:
    `trust_remote_code`, `allowed_local_media_path`, `worker_extension_cls` and their like. The policies of staging and
    prod have a list of their own."""

    @property
    def gpus_text(self) -> str:
        """GPUs of one replica, as text: `2`, or `1/2` if replicas share a GPU."""
        return f"1/{self.replicas_per_gpu}" if self.replicas_per_gpu > 1 else str(self.tensor_parallel_size)

    @model_validator(mode="after")
    def _check(self) -> Engine:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        yield from self._managed_arguments()
        yield from engine_env.find_issues(self.env)
        yield from unsafe_arguments.find_issues(self.engine_kwargs, self.unsafe_arguments)
        yield from gpu_sharing.find_issues(self.replicas_per_gpu, self.tensor_parallel_size, self.engine_kwargs)

    def _managed_arguments(self) -> Iterator[ConfigIssue]:
        for name in self.engine_kwargs:
            if name in MANAGED_ENGINE_ARGS:
                yield MANAGED_ENGINE_ARG.issue(f"engine_kwargs.{name}", reason=MANAGED_ENGINE_ARGS[name])


class FixedReplicas(Settings):
    """A fixed number of replicas."""

    kind: Literal["fixed"] = "fixed"
    """A fixed number."""
    num_replicas: int = Field(default=1, ge=1, le=MAX_REPLICAS)
    """Replicas of the model."""

    @property
    def max_replicas(self) -> int:
        """Greatest number of replicas."""
        return self.num_replicas


class Autoscaling(Settings):
    """Ray Serve scales the replicas with the load. A change of these values replaces every replica, one at a time: they
    are arguments of the deployment."""

    kind: Literal["autoscaling"]
    """Autoscaling."""
    min_replicas: int = Field(ge=0, le=MAX_REPLICAS)
    """Fewest replicas; 1 or more. 0 on stack local with `python_proxy` only: the first request then waits until a
    replica has started."""
    max_replicas: int = Field(ge=1, le=MAX_REPLICAS)
    """Most replicas."""
    target_ongoing_requests: int = Field(default=32, ge=1, le=100_000)
    """Requests in progress that Ray Serve aims at for each replica."""
    downscale_delay_s: int = Field(default=600, ge=1, le=604_800)
    """Seconds of lower load before Ray Serve removes a replica. A new replica has to load the model again."""
    idle_timeout_s: int = Field(default=300, ge=1, le=604_800)
    """Seconds without a replica before the autoscaler removes a worker pod and its node; on Kubernetes only."""

    @model_validator(mode="after")
    def _check(self) -> Autoscaling:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        low, high = self.min_replicas, self.max_replicas
        if low > high:
            yield REPLICA_BOUNDS.issue("", min_replicas=low, max_replicas=high)


class Ingress(Settings):
    """The OpenAI ingress deployment, which `python_proxy` and `haproxy` have."""

    num_replicas: int = Field(default=1, ge=1, le=MAX_REPLICAS)
    """Ingress replicas; they do Serve's HTTP work."""


class ModelService(Settings):
    """One model in one Serve application; on Kubernetes one RayService."""

    data_path: DataPath = DataPath.DIRECT_STREAMING
    """How requests reach a replica: `direct_streaming`, `least_connections` (no request router), `haproxy` (HAProxy
    before Ray's OpenAiIngress), or the baseline `python_proxy`. docs/how-to/data-paths.md compares them."""
    model: Model
    """The model to serve."""
    replicas: Annotated[FixedReplicas | Autoscaling, Field(discriminator="kind")] = FixedReplicas()
    """Replicas in each region: `{kind: fixed, num_replicas}` or `{kind: autoscaling, min_replicas, max_replicas}`."""
    engine: Engine = Engine()
    """vLLM engine settings."""
    media: Media = Media()
    """Images, sounds and videos in requests."""
    max_ongoing_requests: int | None = Field(default=None, ge=1, le=100_000)
    """Most requests in progress in one replica; further ones wait. null: Ray Serve LLM's default, which is no limit:
    vLLM's scheduler queues the requests (`max_num_seqs`)."""
    request_router: RequestRouter = DefaultRouter()
    """How Ray selects the replica: `{kind: session, header: x-session-id}`; its `kind` alone for the defaults, such as
    `prefix_cache_affinity`."""
    ingress: Ingress | None = None
    """The OpenAI ingress deployment; null for one replica of it. Direct data paths have none."""
    limits: Limits = Limits()
    """What the proxy of each node refuses."""
    api_keys: ApiKeys | None = None
    """API keys that callers need; `{}` for the defaults, null for an API without keys."""
    node_pool: str | None = None
    """The one GPU node pool, in every region, that the model runs on; null for all GPU node pools."""

    @property
    def max_gpus(self) -> int:
        """GPUs in use when every replica runs."""
        return math.ceil(self.replicas.max_replicas / self.engine.replicas_per_gpu) * self.engine.tensor_parallel_size
