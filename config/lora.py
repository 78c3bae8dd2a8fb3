"""`serving.model.lora`: LoRA adapters beside the base model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from config.base import Settings, matches

MODEL_BUCKET_SCHEME = "bucket:"
"""Prefix of a folder of the bucket of infra.model_bucket."""
ANONYMOUS = "gs://anonymous@"
"""Prefix of the URL of a bucket that Ray reads without credentials (PyArrowFileSystem.get_fs_and_path)."""


class LoraSettings(Settings):
    """LoRA adapters of the base model. A request names one as `MODEL_ID:ADAPTER`; Ray downloads it at its first
    request."""

    dynamic_lora_loading_path: Annotated[
        str,
        matches(
            r"gs://(anonymous@)?[a-z0-9][a-z0-9._-]+(/[^/\s]+)*|bucket:[^/\s]+(/[^/\s]+)*",
            "gs://BUCKET/FOLDER, or bucket:FOLDER of infra.model_bucket, without a slash at the end",
        ),
    ]
    """Folder with one folder for each adapter, in PEFT's format: `gs://BUCKET/FOLDER`, `gs://anonymous@BUCKET/FOLDER`
    for a public bucket, or `bucket:FOLDER` of infra.model_bucket. Ray reads buckets only."""
    max_num_adapters_per_replica: int = Field(default=16, ge=1, le=10_000)
    """Adapters that one replica keeps in memory."""
    max_loras: int = Field(default=1, ge=1, le=1000)
    """Adapters that the requests of one batch may use. Requests for further ones wait; each one needs GPU memory."""
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16
    """Greatest rank of an adapter (`r` of adapter_config.json). vLLM takes these ranks; a greater one needs more
    GPU memory for every adapter."""

    @property
    def engine_kwargs(self) -> dict[str, Any]:
        """vLLM's engine arguments. vLLM drops adapters from memory beyond max_cpu_loras, and reads them again."""
        return {
            "enable_lora": True,
            "max_loras": self.max_loras,
            "max_lora_rank": self.max_lora_rank,
            "max_cpu_loras": max(self.max_loras, self.max_num_adapters_per_replica),
        }
