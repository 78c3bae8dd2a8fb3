"""The tiny model with random weights, as a dynamic resource.

Creates a directory in Hugging Face format with workloads/local/ray_runtime/make_tiny_model.py. A change of that script
or of the directory replaces the resource. Deleting it removes the directory.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider

from infra.contract import LocalHost
from paths import CHECKOUT
from workloads.dynamic_provider import OperationFailed

SCRIPT = CHECKOUT / "workloads" / "local" / "ray_runtime" / "make_tiny_model.py"


class TinyModelProvider(ResourceProvider):
    """Creates and removes the directory."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Run the script in Ray's virtual environment. Raises OperationFailed with its error output."""
        run = subprocess.run(
            [props["python"], props["script"], props["model_dir"]],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if run.returncode != 0:
            raise OperationFailed(f"Creating the tiny model in {props['model_dir']} failed:\n{run.stderr[-1500:]}")
        return CreateResult(props["model_dir"], props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace the model when its directory or the script changes."""
        changed = [key for key in ("model_dir", "digest") if olds.get(key) != news.get(key)]
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=True)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return an empty id if the model is gone."""
        return ReadResult(id_ if (Path(id_) / "config.json").exists() else "", props)

    def delete(self, id_: str, _props: dict[str, Any]) -> None:
        """Remove the directory."""
        shutil.rmtree(id_, ignore_errors=True)


class TinyModel(Resource, module="rayllm", name="TinyModel"):
    """The tiny model of a local host; see the module."""

    model_dir: pulumi.Output[str]
    """Directory of the model."""

    def __init__(self, name: str, host: LocalHost, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            TinyModelProvider(),
            name,
            {
                "model_dir": str(model_dir(host)),
                "script": str(SCRIPT),
                "digest": hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:12],
                "python": str(host.venv / "bin" / "python"),
            },
            opts,
        )


def model_dir(host: LocalHost) -> Path:
    """Return the model's directory. It is beside the data directory, which the head removes at each start."""
    return host.data_dir.with_name(host.data_dir.name + "-model")
