"""The model made on the spot, as a dynamic resource. Its recipe is workloads/local/ray_runtime/make_tiny_model.py.

Makes: a folder in Hugging Face format. Replaces when the recipe or the place changes. Delete removes the folder.
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

RECIPE = CHECKOUT / "workloads" / "local" / "ray_runtime" / "make_tiny_model.py"


class TinyModelProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        run = subprocess.run(
            [props["python"], props["recipe"], props["folder"]],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if run.returncode != 0:
            raise OperationFailed(f"The tiny model could not be made in {props['folder']}:\n{run.stderr[-1500:]}")
        return CreateResult(props["folder"], props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        changed = [key for key in ("folder", "digest") if olds.get(key) != news.get(key)]
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=True)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        return ReadResult(id_ if (Path(id_) / "config.json").exists() else "", props)

    def delete(self, id_: str, _props: dict[str, Any]) -> None:
        shutil.rmtree(id_, ignore_errors=True)


class TinyModel(Resource, module="rayllm", name="TinyModel"):
    """See the module. `folder` is where it lies."""

    folder: pulumi.Output[str]

    def __init__(self, name: str, site: LocalHost, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            TinyModelProvider(),
            name,
            {
                "folder": str(folder_of(site)),
                "recipe": str(RECIPE),
                "digest": hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:12],
                "python": str(site.venv / "bin" / "python"),
            },
            opts,
        )


def folder_of(site: LocalHost) -> Path:
    """Where the model of `site` lies: beside the head's folder, which is cleared whenever the head starts anew."""
    return site.data_dir.with_name(site.data_dir.name + "-model")
