"""Environment variables that `engine.env` may set: an allow-list of prefixes, and what is refused for which reason.

Ray LLM gives the variables to the replica (LLMConfig.runtime_env; ray/llm/_internal/serve/core/server/llm_server.py,
get_deployment_options). vLLM's engine process is its child, and the executor copies the replica's whole environment to
its workers (vllm/v1/executor/ray_env_utils.py). Ray's own processes start earlier and never see them.
`find_version_issues` checks the names that begin with VLLM_ against the vLLM of each release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import BeforeValidator

from config.base import format_error
from config.data_path import DATA_PATHS, DataPath
from config.issues import ConfigIssue, Rule
from config.vllm.env_vars import replacements, versions_with, vllm_version

READERS: Mapping[str, str] = MappingProxyType(
    {
        "VLLM_": "vLLM",
        "NCCL_": "NCCL",
        "HF_": "Hugging Face's libraries",
        "TRANSFORMERS_": "transformers",
        "TOKENIZERS_": "tokenizers",
        "SAFETENSORS_": "safetensors",
        "TIKTOKEN_": "tiktoken",
        "TORCH": "PyTorch (TORCH_, TORCHDYNAMO_, TORCHINDUCTOR_)",
        "PYTORCH_": "PyTorch",
        "TRITON_": "Triton",
        "CUDA_": "CUDA",
        "CUBLAS": "cuBLAS",
        "CUDNN_": "cuDNN",
        "FLASHINFER_": "FlashInfer",
        "FLASH_ATTENTION_": "FlashAttention",
        "DG_": "DeepGEMM",
        "NVSHMEM_": "NVSHMEM",
        "GLOO_": "Gloo",
        "UCX_": "UCX",
        "NIXL_": "NIXL",
        "LMCACHE_": "LMCache",
        "MOONCAKE_": "Mooncake",
        "RUNAI_STREAMER_": "the Run:ai Model Streamer",
        "OMP_": "OpenMP",
        "KMP_": "OpenMP",
        "MKL_": "MKL",
        "OTEL_": "OpenTelemetry",
    }
)
"""Prefix of the names that `engine.env` may have -> the library that reads them."""
OTHER_NAMES = frozenset({"PYTHONHASHSEED", "PYTHONUNBUFFERED"})
"""Names without such a prefix. vLLM hashes the blocks of its prefix cache with PYTHONHASHSEED."""

_PLACEMENT = "Ray gives each worker its GPUs"
_REMOVE = "Remove it"
_DATA_PARALLEL = "data-parallel ranks do not work, as with the argument data_parallel_size"
RESERVED: tuple[tuple[str, str, str], ...] = (
    ("|".join(DATA_PATHS[DataPath.DIRECT_STREAMING].env_vars), "the data path sets it", "Write serving.data_path"),
    (
        "RAY.*",
        "Ray reads it when its own processes start, on head and workers, and the stack derives it from the settings",
        _REMOVE,
    ),
    (
        "LD_.*|PYTHON(?!HASHSEED$|UNBUFFERED$).*|PATH|VLLM_TARGET_DEVICE",
        "it changes which code the processes of a replica load",
        "Build what it points to into the image",
    ),
    (
        "CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|NVIDIA_.*",
        _PLACEMENT,
        "Remove it; engine.tensor_parallel_size, engine.replicas_per_gpu and node_pool say which GPUs",
    ),
    ("VLLM_RAY_PER_WORKER_GPUS", "it has its own setting", "Write engine.replicas_per_gpu"),
    ("VLLM_RAY_BUNDLE_INDICES", _PLACEMENT, _REMOVE),
    ("VLLM_(RAY_)?DP_.*", _DATA_PARALLEL, "Remove it; for more copies of the model write more replicas"),
    (
        "VLLM_HOST_IP|VLLM_LOOPBACK_IP|VLLM_PORT",
        "each pod has its own address, which vLLM finds itself",
        _REMOVE,
    ),
    (
        "VLLM_ENGINE_READY_TIMEOUT_S",
        "it follows from serving.kubernetes.ready_timeout_s, with every other timeout of the start",
        "Remove it, or write a longer ready_timeout_s",
    ),
    (
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS",
        "a redirect would lead workers to hosts that media.allowed_hosts does not have",
        "Remove it, and write every host that media comes from in media.allowed_hosts",
    ),
    (
        "VLLM_ALLOW_INSECURE_SERIALIZATION",
        "vLLM would unpickle what another process sends",
        _REMOVE,
    ),
    ("HF_HOME", "it is a directory on the node's disk, which survives a restart of the container", _REMOVE),
    ("VLLM_NO_USAGE_STATS", "the stack switches these statistics off", _REMOVE),
    (
        "VLLM_SERVER_DEV_MODE",
        "every client could call vLLM's development routes, which change the engine of one replica",
        _REMOVE,
    ),
    (
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
        "every client could load an adapter, into one replica only",
        "Remove it; model.lora loads adapters in every replica",
    ),
)
"""(pattern of names, reason, fix): what `engine.env` must not have although something reads it."""

SECRET_NAME = re.compile(r"(?:.*_)?(TOKEN|SECRET|PASSWORD|PASSPHRASE|API_?KEY|ACCESS_KEY(_ID)?|CREDENTIALS?|HEADERS)")
NOT_SECRET = frozenset({"HF_HUB_DISABLE_IMPLICIT_TOKEN"})
HUGGING_FACE_TOKENS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})

RESERVED_ENV_VAR = Rule("serving.engine.reserved-env-var", problem="not allowed in env", reason="{reason}", fix="{fix}")
SECRET_ENV_VAR = Rule(
    "serving.engine.secret-env-var",
    problem="not allowed in env",
    reason="its value is a secret, and everyone who reads this file, the Serve configuration or Ray's dashboard "
    "would see it",
    fix="{fix}",
)
UNKNOWN_ENV_VAR = Rule(
    "serving.engine.unknown-env-var",
    problem="not allowed in env",
    reason="no library of the engine is known to read it, and a misspelt variable has no effect and no message",
    fix="Write a name that begins with {prefixes}, or is {names}; for another one write `ENV` in the image",
)
OTHER_VLLM_ENV_VAR = Rule(
    "serving.engine.env-var-of-another-vllm",
    problem="unknown to vLLM {vllm}, the version in Ray {ray}",
    reason="vLLM ignores a variable that it does not know{others}",
    fix="{fix}",
    source="vllm/envs.py",
)
REPLACED_BEFORE = {"VLLM_ATTENTION_BACKEND": ("attention_backend",)}
"""Variable that vLLM removed before the versions of config/vllm/env_vars.json -> the arguments that replaced it."""


def _text(value: object) -> object:
    """Return a number as text. True and false are refused: some libraries read `1`, others `true`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise format_error('text or a number, such as "1" for a flag of vLLM')
    return str(value)


EnvVarValue = Annotated[str, BeforeValidator(_text)]


def find_issues(env: Mapping[str, str]) -> Iterator[ConfigIssue]:
    """Yield an issue for each variable of `env` that the engine must not have. Paths are relative to the engine."""
    for name in env:
        if issue := _issue(name):
            yield issue


def _issue(name: str) -> ConfigIssue | None:
    path = f"env.{name}"
    if SECRET_NAME.fullmatch(name.upper()) and name not in NOT_SECRET:
        fix = "Remove it; pods reach Google Cloud with their service account, without keys"
        if name in HUGGING_FACE_TOKENS:
            fix = "Run `pulumi config set --secret rayllm:huggingFaceToken`, which sets HF_TOKEN"
        return SECRET_ENV_VAR.issue(path, fix=fix)
    for pattern, reason, fix in RESERVED:
        if re.fullmatch(pattern, name):
            return RESERVED_ENV_VAR.issue(path, reason=reason, fix=fix)
    if name.startswith(tuple(READERS)) or name in OTHER_NAMES:
        return None
    return UNKNOWN_ENV_VAR.issue(path, prefixes=", ".join(READERS), names=" or ".join(sorted(OTHER_NAMES)))


def find_version_issues(env: Mapping[str, str], ray: str) -> Iterator[ConfigIssue]:
    """Yield an issue for each VLLM_ variable that the vLLM of Ray version `ray` does not read.

    A Ray version that config/vllm/env_vars.json does not have is not checked. Paths are relative to the engine.
    """
    vllm = vllm_version(ray)
    for name in env:
        has = versions_with(name)
        if vllm is None or vllm in has or not name.startswith("VLLM_") or _issue(name):
            continue
        others = f"; vLLM {', '.join(has)} reads it" if has else ""
        arguments = " or ".join(
            f"engine.engine_kwargs.{each}" for each in REPLACED_BEFORE.get(name, replacements(name))
        )
        fix = f"Write {arguments}, which replaced it" if arguments else "Remove it"
        yield OTHER_VLLM_ENV_VAR.issue(f"env.{name}", vllm=vllm, ray=ray, others=others, fix=fix)
