"""Where a model's weights are, and how they reach the GPUs."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import NamedTuple

GS_SCHEME = "gs://"
REVISION = r"[0-9a-f]{40}"
"""A commit of a Hugging Face repository. Branches and tags can move."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
CLAIM_SCHEME = "pvc:"
"""Prefix of a model source that is a folder of a PersistentVolumeClaim: `pvc:CLAIM/FOLDER`."""
LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
CLAIM_SOURCE = re.compile(rf"{CLAIM_SCHEME}(?P<claim>(?=[^/]{{1,253}}(/|$)){LABEL}(\.{LABEL})*)(?P<folder>(/[^/\s]+)*)")


class WeightsLoad(StrEnum):
    """How the weights of a bucket reach the GPUs.

    `download`: Ray downloads them to the node's disk, once for all replicas of the node; every image of Ray can.
    `stream`: vLLM streams them from the bucket to the GPUs (`load_format: runai_streamer`); the image must have
    `vllm[runai]`, which rayproject/ray-llm has not. `mount`: GKE mounts the folder with Cloud Storage FUSE, and caches
    what vLLM reads on the node's disk; the cluster needs `gcs_fuse_csi_driver: true`.
    """

    DOWNLOAD = "download"
    STREAM = "stream"
    MOUNT = "mount"


class Claim(NamedTuple):
    """A folder of a PersistentVolumeClaim."""

    name: str
    folder: str
    """Without a slash at its ends; empty for the whole volume."""


def claim(source: str) -> Claim | None:
    """Return the claim of a model source such as `pvc:models/gemma`, or None for another kind of source."""
    found = CLAIM_SOURCE.fullmatch(source)
    return Claim(found["claim"], found["folder"].strip("/")) if found else None


def is_hub_id(source: str) -> bool:
    """Return True if a model source is a Hugging Face id, `OWNER/NAME`."""
    return _HUB_ID.fullmatch(source) is not None


def split_gs_url(url: str) -> tuple[str, str]:
    """Return the bucket and the folder of `gs://BUCKET/FOLDER`; the folder may be empty."""
    bucket, _, folder = url.removeprefix(GS_SCHEME).partition("/")
    return bucket, folder.strip("/")


def download_dir(url: str, parent: str) -> str:
    """Return the directory below `parent` for the weights of `url`. Every URL has its own: replicas of an earlier model
    keep their files."""
    return f"{parent}/{hashlib.sha256(url.encode()).hexdigest()[:16]}"


_SIZE = re.compile(r"(?<![A-Za-z0-9.])(?:(?P<experts>\d+)x)?(?P<billions>\d+(?:\.\d+)?)b(?![a-z0-9])", re.IGNORECASE)
_BYTES_PER_PARAMETER = (
    (re.compile(r"awq|gptq|int4|4bit|w4a|nvfp4|mxfp4|fp4|bnb-4", re.IGNORECASE), 0.6),
    (re.compile(r"fp8|int8|8bit|w8a", re.IGNORECASE), 1.05),
)


def guess_gib(source: str) -> float | None:
    """Guess the size of the weights from a name such as `Llama-3.3-70B-Instruct-FP8`: parameters times bytes of each,
    two if the name says nothing (bf16). None without a number of parameters. No check may rely on it."""
    name = source.rstrip("/").rpartition("/")[2]
    sizes = [int(found["experts"] or 1) * float(found["billions"]) for found in _SIZE.finditer(name)]
    if not sizes:
        return None
    bytes_each = next((size for pattern, size in _BYTES_PER_PARAMETER if pattern.search(name)), 2.0)
    return max(sizes) * 1e9 * bytes_each / 2**30
