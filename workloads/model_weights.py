"""What the Serve configuration says of a model's weights: the same for pods and for the local host.

Sources: ray/llm/_internal/common/callbacks/base.py (`callback_config`), ray/llm/_internal/serve/engines/vllm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from config.model_service import Model
from config.weights import GS_SCHEME, WeightsLoad, claim, download_dir

CALLBACK_CLASS = "rayllm_weights:NodeWeights"
"""Class of pod_scripts/, whose folder is on PYTHONPATH."""
RUNAI_STREAMER_KWARGS = {"load_format": "runai_streamer"}
"""vLLM arguments that stream weights from a bucket to the GPU, without a disk."""


@dataclass(frozen=True)
class ServedWeights:
    """The part of an LLMConfig that says where the weights are."""

    model_source: str
    """What vLLM loads: a directory, a bucket URL or a Hugging Face id."""
    engine_kwargs: dict[str, Any] = field(default_factory=dict)
    """vLLM arguments, which the settings may override."""
    callback_config: dict[str, Any] | None = None
    """Ray's callback that downloads the weights to `model_source`; None if nothing needs a download."""


def served_weights(model: Model, source: str, weights_dir: str, models_dir: str) -> ServedWeights:
    """Return what the Serve configuration says of the weights of `model`.

    `source`: `model.source` with `bucket:` replaced by the bucket's URL. `weights_dir`: parent directory of downloads.
    `models_dir`: where a claim or a bucket's folder is mounted.
    """
    if (volume := claim(source)) is not None:
        return ServedWeights(f"{models_dir}/{volume.folder}".rstrip("/"))
    if not source.startswith(GS_SCHEME):
        return ServedWeights(source)
    match model.load:
        case WeightsLoad.STREAM:
            return ServedWeights(source, RUNAI_STREAMER_KWARGS)
        case WeightsLoad.MOUNT:
            return ServedWeights(models_dir)
        case WeightsLoad.DOWNLOAD:
            directory = download_dir(source, weights_dir)
            callback = {
                "callback_class": CALLBACK_CLASS,
                "callback_kwargs": {"uri": source, "directory": directory},
            }
            return ServedWeights(directory, callback_config=callback)
