"""The container images of a node that has no registry: made on the spot, a few kilobytes each.

An image's file system is a few links into folders of this machine, which containerd binds into every container, read
only (READ_ONLY in machine.py's base specification): the system's programs, and the virtual environment with Ray and
vLLM. References are by digest, and the digests are the true ones.
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


@dataclass(frozen=True)
class Image:
    """`links` are symbolic links, `folders` are owned by user and group, `files` are contents by path."""

    name: str
    entrypoint: Sequence[str] = ()
    user: str = "0"
    environment: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Path -> mode, user, group."""
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


VLLM_CACHE = "vllm-cache"
"""In a virtual environment: where stack local has vLLM keep what it knows of model classes (ray_head.py)."""


def pause(program: Path) -> Image:
    """What holds a pod's namespaces."""
    return Image("rig.local/pause:1", ["/pause"], files={"pause": program.read_bytes()})


def ray(name: str, environment: Path, variables: Mapping[str, str]) -> Image:
    """As Ray's own: user 1000, home /home/ray, `ray` and `python` of a virtual environment on the path."""
    folders = dict.fromkeys(("usr", "etc", "root", "var", "proc", "sys", "dev", "run", "home"), (0o755, 0, 0))
    own = {"PATH": f"{environment}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/home/ray"}
    system = {Path("/etc") / each for each in ("ld.so.cache", "localtime")}
    return Image(
        name,
        user="1000",
        environment={**own, "VLLM_CACHE_ROOT": f"{environment}/{VLLM_CACHE}", **variables},
        folders={**folders, "tmp": (0o1777, 0, 0), "var/tmp": (0o1777, 0, 0), "home/ray": (0o755, 1000, 100)},
        links={each: f"usr/{each}" for each in ("bin", "lib", "lib64", "sbin")},
        files={
            "etc/passwd": PASSWD.encode(),
            "etc/group": GROUP.encode(),
            "etc/nsswitch.conf": f"passwd: files\ngroup: files\n{HOSTS}".encode(),
            **{str(each.relative_to("/")): each.read_bytes() for each in system if each.exists()},
        },
    )


def archive(images: Sequence[Image], file: Path) -> dict[str, str]:
    """Write an OCI image layout as one tar file; returns name without tag -> reference by digest."""
    blobs: dict[str, bytes] = {}
    index: list[dict[str, Any]] = []
    references: dict[str, str] = {}

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    for image in images:
        layer = blob(_layer(image), LAYER)
        process = {"User": image.user, "Env": [f"{name}={value}" for name, value in image.environment.items()]}
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
