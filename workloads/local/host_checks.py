"""Check that the local host can run a stack, before any resource exists.

These are checks of the host, not of the settings: the same settings can work on another host.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from config.issues import ConfigIssue
from config.local import host_rules, ports
from config.local.ports import Ports
from config.model_service import SMOLLM2, TINY_RANDOM
from config.serving import ServingSettings
from infra.contract import LocalHost
from workloads.local import processes, smollm2

REPLICA_GIB = 4.2
"""Memory of one replica of the tiny model with its share of Ray (proportional set size, measured; most of it is PyTorch
and vLLM, so a larger model adds its weights)."""
DISK_GIB = 2


def find_issues(host: LocalHost, serving: ServingSettings) -> Iterator[ConfigIssue]:
    """Yield every reason why `host` cannot run `serving`."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        yield host_rules.PLATFORM_UNSUPPORTED.issue("infra.kind", system=platform.system(), machine=platform.machine())
        return
    if not (host.venv / "bin" / "ray").exists():
        yield host_rules.RAY_NOT_INSTALLED.issue("infra.kind", venv=host.venv.name)
        return
    yield from _model_issues(serving.model.source)
    credentials = host.bucket_env_vars.get("GOOGLE_APPLICATION_CREDENTIALS")
    if credentials is not None and not Path(credentials).is_file():
        yield host_rules.CREDENTIALS_FILE_MISSING.issue("infra.bucket_access.credentials_file", path=credentials)
    if _belongs_to_another(host.data_dir, host.process_tag):
        yield host_rules.DATA_DIR_NOT_OWN.issue("infra.data_dir", path=host.data_dir)
    if not processes.stack_processes(host.process_tag):
        yield from _resource_issues(host.data_dir, serving)
    yield from _port_issues(host.process_tag, host.ports)


def weights_gib(source: Path) -> float:
    """Return the size of the weights in a model directory, in GiB."""
    return sum(f.stat().st_size for f in source.glob("*.safetensors")) / 2**30


def _model_issues(source: str) -> Iterator[ConfigIssue]:
    path = Path(source)
    if source not in (SMOLLM2, TINY_RANDOM) and not (path.is_absolute() and (path / "config.json").is_file()):
        yield host_rules.MODEL_NOT_A_DIRECTORY.issue("serving.model.source", source=source)


def _resource_issues(data_dir: Path, serving: ServingSettings) -> Iterator[ConfigIssue]:
    """Yield what is missing in memory and disk, for a stack that does not run yet."""
    replicas, source = serving.replicas.max_replicas, serving.model.source
    own = {TINY_RANDOM: 0.0, SMOLLM2: smollm2.SIZE_GIB}
    needed = replicas * (REPLICA_GIB + (own[source] if source in own else weights_gib(Path(source))))
    free = psutil.virtual_memory().available / 2**30
    if free < needed:
        yield host_rules.MEMORY_TOO_SMALL.issue(
            "serving.replicas", replicas=replicas, needed=f"{needed:.0f}", free=f"{free:.0f}"
        )
    free_disk = shutil.disk_usage(_existing(data_dir)).free / 2**30
    if free_disk < DISK_GIB:
        yield host_rules.DISK_TOO_SMALL.issue("infra.data_dir", path=data_dir, needed=DISK_GIB, free=f"{free_disk:.1f}")


def _port_issues(tag: str, wanted: Ports) -> Iterator[ConfigIssue]:
    """Yield one issue for all ports: a second stack at the same offset takes every one of them."""
    taken = {
        f"{port} ({name})": owner
        for name, port in ports.all_ports(wanted).items()
        if (owner := processes.port_owner(port)) is not None
        and not (isinstance(owner, psutil.Process) and processes.is_stack_process(owner, tag))
    }
    if not taken:
        return
    (port, owner), *others = taken.items()
    yield host_rules.PORT_TAKEN.issue(
        "infra.port_offset",
        port=port,
        owner=owner if isinstance(owner, str) else processes.describe([owner]),
        others=f", and {len(others)} more ports of this stack are taken" if others else "",
    )


def _belongs_to_another(data_dir: Path, tag: str) -> bool:
    """Return True if another user owns the directory, or it has files and none of the stack's own Ray head, which
    creates one named by the tag."""
    if data_dir.is_symlink() or (data_dir.exists() and data_dir.stat().st_uid != os.getuid()):
        return True
    if data_dir.is_dir():
        return any(data_dir.iterdir()) and not (data_dir / tag).exists()
    return data_dir.exists()


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
