"""Estimate whether a model fits: weights against GPU memory and disk, KV cache against context, time to load.

Arithmetic from numbers that the model's config.json states; nothing here has run on a GPU. The estimate leaves out what
only the engine knows (activations, CUDA graphs, padding, quantised layers), so it warns and never refuses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from config import gpu_sharing
from config.model_service import ModelService
from config.node_pool_info import GpuNodePoolInfo
from config.sizing import worker_pod_resources

GIB = 2**30
DEFAULT_UTILIZATION = 0.92
"""Share of a GPU's memory that vLLM 0.29 uses by default (vllm/config/cache.py)."""
ACTIVATIONS_GIB = 4.0
"""GiB of each GPU for activations and CUDA graphs. A guess: vLLM measures it at the start."""
DOWNLOAD_GIB_S = 0.5
"""GiB a second from Hugging Face or a bucket to a node. Google's recipe for DeepSeek-R1 on A4 says up to 30 minutes
until the model answers, which is 641 GiB at about this rate, with the time to load and to start."""
LOAD_GIB_S = 2.0
"""GiB a second from a node's disk into its GPUs. A guess for local SSDs."""
ENGINE_START_S = 180
"""Seconds in which vLLM compiles and captures CUDA graphs. A guess; large models take longer."""


@dataclass(frozen=True)
class Attention:
    """Layers whose KV cache is alike."""

    layers: int
    heads: int
    """Key-value heads; 1 for a latent that all heads share (MLA)."""
    values: int
    """Numbers that one head keeps for a token: twice the head's dimension, or the size of the latent."""
    window: int | None = None
    """Tokens that the layers look back; None for all."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes that determine how much memory a model takes."""

    weight_bytes: int
    """Bytes of the files of the weights."""
    attention: tuple[Attention, ...]

    @property
    def weight_gib(self) -> float:
        """GiB of the files of the weights."""
        return self.weight_bytes / GIB

    def cache_bytes(self, tokens: int, tensor_parallel_size: int, bytes_per_value: int) -> int:
        """Return the bytes of KV cache that one GPU keeps for a sequence of `tokens`.

        GPUs share the heads. With more GPUs than heads each GPU keeps one, so a latent is on every GPU.
        """
        return sum(
            part.layers
            * math.ceil(part.heads / tensor_parallel_size)
            * part.values
            * min(tokens, part.window or tokens)
            * bytes_per_value
            for part in self.attention
        )


def _uniform(billions: float, bytes_each: float, layers: int, heads: int, head_dim: int) -> ModelShape:
    return ModelShape(round(billions * 1e9 * bytes_each), (Attention(layers, heads, 2 * head_dim),))


_DEEPSEEK = ModelShape(688_600_000_000, (Attention(61, 1, 512 + 64),))
_GPT_OSS_120B = ModelShape(65_300_000_000, (Attention(18, 8, 128), Attention(18, 8, 128, window=128)))
_GPT_OSS_20B = ModelShape(13_800_000_000, (Attention(12, 8, 128), Attention(12, 8, 128, window=128)))
_GEMMA_4_31B = ModelShape(62_000_000_000, (Attention(10, 4, 1024), Attention(50, 16, 512, window=1024)))

KNOWN_MODELS: Mapping[str, ModelShape] = MappingProxyType(
    {
        "deepseek-ai/deepseek-r1": _DEEPSEEK,
        "deepseek-ai/deepseek-v3": _DEEPSEEK,
        "deepseek-ai/deepseek-v3.1": _DEEPSEEK,
        "google/gemma-4-31b-it": _GEMMA_4_31B,
        "meta-llama/llama-3.1-8b-instruct": _uniform(8.03, 2, 32, 8, 128),
        "meta-llama/llama-3.1-70b-instruct": _uniform(70.6, 2, 80, 8, 128),
        "meta-llama/llama-3.3-70b-instruct": _uniform(70.6, 2, 80, 8, 128),
        "openai/gpt-oss-120b": _GPT_OSS_120B,
        "openai/gpt-oss-20b": _GPT_OSS_20B,
        "qwen/qwen3-32b": _uniform(32.8, 2, 64, 8, 128),
        "qwen/qwen3-32b-fp8": _uniform(32.8, 1, 64, 8, 128),
        "qwen/qwen3-coder-480b-a35b-instruct-fp8": _uniform(480, 1, 62, 8, 128),
        "qwen/qwen3-vl-235b-a22b-instruct": _uniform(236, 2, 94, 4, 128),
        "qwen/qwq-32b": _uniform(32.8, 2, 64, 8, 128),
    }
)
"""Models of docs/examples by their Hugging Face id in small letters, so that an estimate needs no network. Layers and
heads: transformers' configuration classes (deepseek_v3, gpt_oss) and THUDM/slime, scripts/models. Sizes: parameters
times bytes."""


def shape_from_config(config: Mapping[str, Any], weight_bytes: int) -> ModelShape | None:
    """Return the shape that a Hugging Face `config.json` describes, or None if it has no attention layers.

    `weight_bytes`: `metadata.total_size` of model.safetensors.index.json. Layers of other kinds than attention
    (Mamba, linear attention) keep no KV cache that grows, and are left out.
    """
    text: Mapping[str, Any] = config.get("text_config") or config.get("llm_config") or config
    layers = text.get("num_hidden_layers")
    if not isinstance(layers, int):
        return None
    if text.get("kv_lora_rank"):
        return ModelShape(weight_bytes, (Attention(layers, 1, text["kv_lora_rank"] + text.get("qk_rope_head_dim", 0)),))
    query_heads = text.get("num_attention_heads")
    heads = text.get("num_key_value_heads") or query_heads
    if not heads or not query_heads:
        return None
    head_dim = text.get("head_dim") or text.get("hidden_size", 0) // query_heads
    window = text.get("sliding_window") or text.get("attention_chunk_size")
    kinds = _layer_kinds(text, layers)
    parts = [
        Attention(kinds.count("full_attention"), *_global_heads(text, heads, head_dim)),
        Attention(kinds.count("sliding_attention") + kinds.count("chunked_attention"), heads, 2 * head_dim, window),
    ]
    return ModelShape(weight_bytes, tuple(part for part in parts if part.layers))


def _layer_kinds(text: Mapping[str, Any], layers: int) -> list[str]:
    """Return each layer's kind as transformers names it. A config without `layer_types` has full attention only.

    Layers that use the cache of an earlier one are left out.
    """
    return list(text.get("layer_types") or ["full_attention"] * layers)[: layers - text.get("num_kv_shared_layers", 0)]


def _global_heads(text: Mapping[str, Any], heads: int, head_dim: int) -> tuple[int, int]:
    """Return heads and numbers for each head of the layers with full attention, which Gemma 4 gives values of their
    own."""
    return text.get("num_global_key_value_heads") or heads, 2 * (text.get("global_head_dim") or head_dim)


@dataclass(frozen=True)
class MemoryEstimate:
    """Whether a replica of a model fits on the GPUs of a node."""

    shape: ModelShape
    gpus: int
    """GPUs of one replica."""
    gpu_memory_gib: float
    """GiB of memory of one GPU."""
    weight_gib_per_gpu: float
    cache_gib_per_gpu: float
    """GiB of each GPU that remain for the KV cache; negative if the weights do not fit."""
    request_gib_per_gpu: float | None
    """KV cache of one request of the longest context; None if no context length is written."""
    start_s: float
    """Seconds from a node without weights to a model that answers."""

    @property
    def full_requests(self) -> int | None:
        """Requests of the longest context whose KV cache fits at once; None if no context length is written."""
        if not self.request_gib_per_gpu:
            return None
        return max(0, math.floor(self.cache_gib_per_gpu / self.request_gib_per_gpu))


def estimate(service: ModelService, shape: ModelShape, node_pool: GpuNodePoolInfo) -> MemoryEstimate:
    """Return the estimate for a replica of `service`, a model of `shape`, on a node of `node_pool`."""
    engine = service.engine
    shared = engine.replicas_per_gpu
    default = DEFAULT_UTILIZATION if shared == 1 else gpu_sharing.memory_share(shared)
    utilization = engine.engine_kwargs.get("gpu_memory_utilization", default)
    if not isinstance(utilization, int | float):
        utilization = default
    per_value = 1 if str(engine.engine_kwargs.get("kv_cache_dtype", "auto")).startswith("fp8") else 2
    weights = shape.weight_gib / engine.tensor_parallel_size
    request = None
    if isinstance(engine.max_model_len, int):
        request = shape.cache_bytes(engine.max_model_len, engine.tensor_parallel_size, per_value) / GIB
    return MemoryEstimate(
        shape=shape,
        gpus=engine.tensor_parallel_size,
        gpu_memory_gib=node_pool.gpu_memory_gib,
        weight_gib_per_gpu=weights,
        cache_gib_per_gpu=node_pool.gpu_memory_gib * utilization - weights - ACTIVATIONS_GIB,
        request_gib_per_gpu=request,
        start_s=shape.weight_gib / DOWNLOAD_GIB_S + shape.weight_gib / LOAD_GIB_S + ENGINE_START_S,
    )


def describe(found: MemoryEstimate) -> str:
    """Return the estimate as one sentence."""
    context = ""
    if found.request_gib_per_gpu is not None:
        context = f", {found.full_requests} requests of the longest context at once"
    gpus = f"{found.weight_gib_per_gpu:,.0f} on each of {found.gpus} GPUs of {found.gpu_memory_gib:.0f} GiB"
    cache = f"{max(found.cache_gib_per_gpu, 0):,.0f} GiB of KV cache a GPU{context}"
    ready = f"ready about {math.ceil(found.start_s / 60)} minutes after the node"
    return f"estimate: weights {found.shape.weight_gib:,.0f} GiB, {gpus}; {cache}; {ready}"


def find_warnings(found: MemoryEstimate, node_pool: GpuNodePoolInfo, ready_timeout_s: int) -> Iterator[str]:
    """Yield a sentence for each limit that the estimate exceeds.

    `ready_timeout_s`: seconds that `pulumi up` waits for the model.
    """
    if found.cache_gib_per_gpu <= 0:
        yield (
            f"by estimate the weights do not fit: {found.weight_gib_per_gpu:,.0f} GiB on each GPU of "
            f"{found.gpu_memory_gib:.0f} GiB. Use more or larger GPUs, or quantised weights."
        )
    elif found.full_requests == 0:
        yield (
            f"by estimate no request of the longest context fits: it needs {found.request_gib_per_gpu:,.1f} GiB of KV "
            f"cache on each GPU, and {found.cache_gib_per_gpu:,.1f} remain. Lower engine.max_model_len or write `auto`."
        )
    disk = worker_pod_resources(node_pool).disk_gib
    if found.shape.weight_gib > disk:
        yield (
            f"by estimate the weights do not fit on the disk: {found.shape.weight_gib:,.0f} GiB, and a worker pod may "
            f"use {disk} GiB. The kubelet would evict the pod again and again."
        )
    if found.start_s > ready_timeout_s:
        yield (
            f"by estimate the model is ready {math.ceil(found.start_s / 60)} minutes after its node, and `pulumi up` "
            f"waits {ready_timeout_s // 60}. Raise serving.kubernetes.ready_timeout_s."
        )
