"""Several replicas on one GPU: Ray gives each replica a share of the GPU, vLLM takes a share of its memory.

vLLM's gpu_memory_utilization is a share of the whole GPU, not of what other processes leave free: a replica does not
start if less is free (vllm/v1/worker/utils.py, request_memory).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from config.issues import ConfigIssue, Rule

USABLE_SHARE = 0.95
"""Share of a GPU's memory that all replicas together may take. Each process needs a CUDA context besides."""
DEFAULT_SHARE = 0.9
"""Share that they take together if gpu_memory_utilization is not written."""

SHARED_TENSOR_PARALLEL = Rule(
    "serving.engine.shared-gpu-tensor-parallel",
    problem="{replicas} replicas a GPU with `tensor_parallel_size: {gpus}`",
    reason="Ray may place two workers of one replica on the same GPU, and NCCL then fails",
    fix="Remove replicas_per_gpu, or write `tensor_parallel_size: 1`",
)
SHARED_MEMORY = Rule(
    "serving.engine.shared-gpu-memory",
    problem="{share} with `replicas_per_gpu: {replicas}`",
    reason="it is a share of the whole GPU, and the last replica would not find that much free memory",
    fix="Remove it, or write at most {most}",
    source="vllm/v1/worker/utils.py",
)


def memory_share(replicas_per_gpu: int, together: float = DEFAULT_SHARE) -> float:
    """Return the share of a GPU's memory for one of `replicas_per_gpu` replicas that take `together`, rounded down to
    two digits."""
    return math.floor(100 * together / replicas_per_gpu) / 100


def gpu_fraction(replicas_per_gpu: int) -> float:
    """Return the share of a GPU that Ray reserves for a worker. Ray counts in steps of 0.0001."""
    return math.floor(10_000 / replicas_per_gpu) / 10_000


def find_issues(
    replicas_per_gpu: int, tensor_parallel_size: int, arguments: Mapping[str, object]
) -> Iterator[ConfigIssue]:
    """Yield an issue for each setting that several replicas a GPU exclude. Paths are relative to the engine."""
    if replicas_per_gpu == 1:
        return
    if tensor_parallel_size > 1:
        yield SHARED_TENSOR_PARALLEL.issue("replicas_per_gpu", replicas=replicas_per_gpu, gpus=tensor_parallel_size)
    share, most = arguments.get("gpu_memory_utilization"), memory_share(replicas_per_gpu, USABLE_SHARE)
    if isinstance(share, int | float) and share > most:
        yield SHARED_MEMORY.issue(
            "engine_kwargs.gpu_memory_utilization", share=share, replicas=replicas_per_gpu, most=most
        )
