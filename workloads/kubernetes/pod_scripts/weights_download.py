"""Download a model's weights from a bucket to the node, once for all replicas of the node.

It reads the bucket as Ray's own download does (pyarrow, with the identity of the pod), and adds what that lacks:

- Ray downloads again for every replica, over the files that another replica may be reading. Here the first replica
  downloads and the others wait.
- Ray takes a folder for complete that another process only began to fill. Here a folder has its name only when it is
  complete; an interrupted download goes on with the files that are missing.
- Ray gives up at the first error, and Serve ends a deployment after three failed replicas. Here it tries again.

Source: ray/llm/_internal/common/utils/download_utils.py and cloud_filesystem/pyarrow_filesystem.py, Ray 2.56.1 to 2.60.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ATTEMPTS = 6
FIRST_PAUSE_S = 5
"""Seconds before the second attempt; twice as many before each further one."""
PARALLEL_FILES = 8
BLOCK_BYTES = 64 * 2**20
FREE_BYTES = 2**30
"""Bytes that stay free on the disk."""


class WeightsError(Exception):
    """A download that cannot work."""


def download_once(uri: str, directory: Path, *, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Download the objects below `uri` (gs://BUCKET/FOLDER) to `directory`, unless it exists: then it is complete.

    Return True if this call downloaded. Wait while another process of the node downloads. Raise `WeightsError` if there
    is nothing to download or no room for it, and the last error after `ATTEMPTS` attempts.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Linux releases it when the process ends, however it ends
        if directory.is_dir():
            return False
        partial = directory.with_name(f"{directory.name}.partial")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _download(uri, partial)
                break
            except OSError as error:
                if attempt == ATTEMPTS:
                    raise
                pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1)
                print(f"{uri}: attempt {attempt} of {ATTEMPTS} failed, the next one in {pause_s} s: {error}")
                sleep(pause_s)
        partial.rename(directory)
        return True


def _download(uri: str, partial: Path) -> None:
    """Fill `partial` with the objects below `uri`, and with nothing else."""
    files, root, objects = list_objects(uri)
    if not any(each.base_name == "config.json" for each in objects):
        raise WeightsError(f"{uri} has {len(objects)} objects and no config.json: no model in Hugging Face format")
    wanted = {partial / each.path[len(root) :].lstrip("/"): each for each in objects}
    for path in [path for path in partial.rglob("*") if not path.is_dir()] if partial.is_dir() else []:
        if path not in wanted or not _is_complete(path, wanted[path]):
            path.unlink()
    missing = {path: each for path, each in wanted.items() if not path.exists()}
    partial.mkdir(parents=True, exist_ok=True)
    size, free = sum(each.size for each in missing.values()), shutil.disk_usage(partial).free
    if size + FREE_BYTES > free:
        wanted_gib, free_gib = size / 2**30, free / 2**30
        raise WeightsError(f"{uri} needs {wanted_gib:.1f} GiB more on the disk of {partial}; {free_gib:.1f} are free")
    began = time.monotonic()
    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        for _ in pool.map(lambda item: _copy(files, *item), missing.items()):
            pass
    print(f"{uri}: {len(missing)} files, {size / 2**30:.2f} GiB in {time.monotonic() - began:.0f} s")


def list_objects(uri: str) -> tuple[Any, str, list[Any]]:
    """Return the file system of `uri`, the path of `uri` in it, and its objects."""
    from pyarrow import fs
    from ray.llm._internal.common.utils.cloud_filesystem.pyarrow_filesystem import PyArrowFileSystem

    files, root = PyArrowFileSystem.get_fs_and_path(uri.rstrip("/"))
    found = files.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    objects = [each for each in found if each.type == fs.FileType.File]
    return files, root, objects


def _copy(files: Any, path: Path, item: Any) -> None:
    """Copy one object. It has its name, and the object's time, only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with files.open_input_stream(item.path, buffer_size=0) as source, part.open("wb") as target:
        shutil.copyfileobj(source, target, BLOCK_BYTES)
    if part.stat().st_size != item.size:
        raise OSError(f"{item.path} has {item.size} bytes, and {part.stat().st_size} arrived")
    os.utime(part, ns=(item.mtime_ns, item.mtime_ns))
    part.rename(path)


def _is_complete(path: Path, item: Any) -> bool:
    state = path.stat()
    return (state.st_size, state.st_mtime_ns) == (item.size, item.mtime_ns)
