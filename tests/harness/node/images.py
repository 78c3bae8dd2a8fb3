"""The container images of a node without a registry: created when the node starts, a few kilobytes each.

An image's file system contains links into folders of this machine: the system's programs, and the virtual environment
with Ray and vLLM. containerd binds these folders read-only into every container
(SingleNodeCluster._container_base_spec). References are by digest, and the digests are the real ones.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nray:x:1000:100:ray:/home/ray:/bin/bash\n"
GROUP = "root:x:0:\nusers:x:100:ray\n"
HOSTS = "hosts: files dns\n"
PAUSE_IMAGE = "test.local/pause:1"


@dataclass(frozen=True)
class Image:
    """One image. `links` is path -> target of a symbolic link, `files` is path -> content."""

    name: str
    entrypoint: Sequence[str] = ()
    user: str = "0"
    env: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Path -> mode, user, group."""
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


VLLM_CACHE = "vllm-cache"
"""Folder of a virtual environment in which stack local keeps vLLM's cache about model classes (ray_head.py)."""


def pause_image(program: Path) -> Image:
    """Return the image of the process that holds a pod's namespaces."""
    return Image(PAUSE_IMAGE, ["/pause"], files={"pause": program.read_bytes()})


def ray_image(name: str, venv: Path, env: Mapping[str, str]) -> Image:
    """Return an image like Ray's: user 1000, home /home/ray, and the virtual environment's programs on PATH."""
    folders = dict.fromkeys(("usr", "etc", "root", "var", "proc", "sys", "dev", "run", "home"), (0o755, 0, 0))
    own = {"PATH": f"{venv}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/home/ray"}
    files = {Path("/etc") / each for each in ("ld.so.cache", "localtime")}
    return Image(
        name,
        user="1000",
        env={**own, "VLLM_CACHE_ROOT": f"{venv}/{VLLM_CACHE}", **env},
        folders={**folders, "tmp": (0o1777, 0, 0), "var/tmp": (0o1777, 0, 0), "home/ray": (0o755, 1000, 100)},
        links={each: f"usr/{each}" for each in ("bin", "lib", "lib64", "sbin")},
        files={
            "etc/passwd": PASSWD.encode(),
            "etc/group": GROUP.encode(),
            "etc/nsswitch.conf": f"passwd: files\ngroup: files\n{HOSTS}".encode(),
            **{str(each.relative_to("/")): each.read_bytes() for each in files if each.exists()},
        },
    )


def write_archive(images: Sequence[Image], file: Path) -> dict[str, str]:
    """Write an OCI image layout as one tar file. Return name without tag -> reference by digest."""
    blobs: dict[str, bytes] = {}
    index: list[dict[str, Any]] = []
    references: dict[str, str] = {}

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    for image in images:
        layer = blob(_layer(image), LAYER)
        process = {"User": image.user, "Env": [f"{name}={value}" for name, value in image.env.items()]}
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {**process, **({"Entrypoint": list(image.entrypoint)} if image.entrypoint else {})},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        described = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer]}
        manifest = blob(
            json.dumps({**described, "config": blob(json.dumps(config).encode(), CONFIG)}).encode(), MANIFEST
        )
        by_digest = f"{image.name.rpartition(':')[0]}@{manifest['digest']}"
        references[image.name.rpartition(":")[0]] = by_digest
        for name in (image.name, by_digest):
            index.append({**manifest, "annotations": {"io.containerd.image.name": name}})
    with tarfile.open(file, "w") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": index}).encode())
        for digest, content in blobs.items():
            _add(tar, f"blobs/sha256/{digest}", content)
    return references


def _layer(image: Image) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, (mode, user, group) in image.folders.items():
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, user, group
            tar.addfile(info)
        for path, target in image.links.items():
            info = tarfile.TarInfo(path)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        for path, content in image.files.items():
            _add(tar, path, content, 0o755 if image.entrypoint else 0o644)
    return out.getvalue()


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))
