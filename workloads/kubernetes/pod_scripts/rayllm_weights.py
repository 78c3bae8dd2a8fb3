"""The callback with which Ray Serve LLM downloads weights from a bucket (`callback_config` of LLMConfig).

Ray runs it on the node of a replica before vLLM starts, in pods and on the local host, if the folder of this file is on
PYTHONPATH. Source: ray/llm/_internal/common/callbacks/base.py, the same from Ray 2.56.1 to 2.60.
"""

from __future__ import annotations

from pathlib import Path

from ray.llm._internal.common.callbacks.base import CallbackBase
from weights_download import download_once


class NodeWeights(CallbackBase):
    """Its arguments: `uri` (gs://BUCKET/FOLDER) and `directory`, which `model_source` names too."""

    def on_before_download_model_files_distributed(self) -> None:
        """Download, or wait for the replica that downloads."""
        download_once(self.kwargs["uri"], Path(self.kwargs["directory"]))
