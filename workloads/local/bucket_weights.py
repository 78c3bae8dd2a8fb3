"""Weights of a bucket on the local host: Ray downloads them to the stack's directory, once for all replicas.

`make down` deletes them with the directory, and the next `make up` downloads what the bucket then has.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from config.issues import ConfigIssue
from config.local import host_rules
from config.model_service import TINY_RANDOM, Model
from config.serving import ServingSettings
from config.weights import GS_SCHEME
from infra.contract import LocalHost
from workloads import model_weights
from workloads.local import processes
from workloads.model_weights import ServedWeights

RESERVE_GIB = 2
"""Disk for logs, and for what else the stack writes."""


def served_weights(model: Model, host: LocalHost) -> ServedWeights:
    """Return what the Serve configuration says of the weights of a model whose source is `gs://BUCKET/FOLDER`."""
    parent = str(host.data_dir / "weights")
    return model_weights.served_weights(model, model.source, parent, parent)


def find_issues(host: LocalHost, model: Model) -> Iterator[ConfigIssue]:
    """Yield an issue if `model.weights_gib` does not fit on the disk. A stack that runs has its weights already."""
    if model.weights_gib is None or not model.source.startswith(GS_SCHEME):
        return
    if processes.stack_processes(host.process_tag):
        return
    directory = next(each for each in (host.data_dir, *host.data_dir.parents) if each.exists())
    free, needed = _free_gib(directory), model.weights_gib + RESERVE_GIB
    if free < needed:
        yield host_rules.WEIGHTS_EXCEED_DISK.issue(
            "serving.model.weights_gib",
            weights=model.weights_gib,
            path=host.data_dir,
            needed=f"{needed:g}",
            free=f"{free:.1f}",
        )


def without_bucket(serving: ServingSettings) -> ServingSettings:
    """Return `serving` for checks of files that the host has: it has none of a bucket's weights yet."""
    if not serving.model.source.startswith(GS_SCHEME):
        return serving
    return serving.model_copy(update={"model": serving.model.model_copy(update={"source": TINY_RANDOM})})


def _free_gib(directory: Path) -> float:
    return shutil.disk_usage(directory).free / 2**30
