"""Is this computer able to serve? Looked at before any resource exists; each "no" is one sentence with a remedy.

These are checks of the computer, not of the settings: the same settings pass on another one.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from config.local import ports as port_plan
from config.local.ports import Ports
from config.model_service import TINY_RANDOM
from config.serving import ServingSettings
from infra.contract import LocalHost
from workloads.local import processes

REPLICA_GIB = 4.2
"""Memory of one replica of the tiny model with its share of Ray (proportional set size, measured; most is PyTorch and
vLLM themselves, so a larger model adds its weights to it)."""


@dataclass(frozen=True)
class Demand:
    """What a stack will need of this computer."""

    replicas: int
    weights_gib: float = 0.0


def demand(serving: ServingSettings) -> Demand:
    """Return the replicas and the weights of `serving`."""
    source = serving.model.source
    return Demand(serving.replicas.max_replicas, 0.0 if source == TINY_RANDOM else weights_gib(Path(source)))


def check_host(site: LocalHost, demand: Demand) -> Iterator[str]:
    """Why this computer cannot run the stack, a sentence each; nothing when it can."""
    folder = site.data_dir
    if sys.platform != "linux" or platform.machine() != "x86_64":
        yield (
            f"Stack local runs vLLM's CPU engine, which has packages for Linux on x86-64 only, and this is "
            f"{platform.system()} on {platform.machine()}: run it on such a computer or in such a virtual machine; the "
            f"cloud stacks (`make preview STACK=dev`) and `make test TIER=unit` work here."
        )
        return
    if not (site.venv / "bin" / "ray").exists():
        yield f"{site.venv.name} does not hold Ray yet: run `make up`, which installs it from locks/ray.txt."
        return
    if _is_anothers(folder, site.process_tag):
        yield (
            f"{folder} is there and is not this stack's, and would be emptied: set infra.data_dir to one that nothing "
            f"else uses, or remove it."
        )
    running = processes.stack_processes(site.process_tag)
    if not running:
        need = demand.replicas * (REPLICA_GIB + demand.weights_gib)
        free = psutil.virtual_memory().available / 2**30
        if free < need:
            yield (
                f"{demand.replicas} replica(s) need about {need:.0f} GiB of memory and {free:.0f} GiB are free: "
                f"write fewer replicas in the stack's file, or end other programs."
            )
        free_disk = shutil.disk_usage(_existing(folder)).free / 2**30
        if free_disk < 2:
            yield f"{folder} needs 2 GiB of disk and {free_disk:.1f} are free: set infra.data_dir to one with more."
    yield from _held(site.process_tag, site.ports)


def _held(mark: str, ports: Ports) -> Iterator[str]:
    """One sentence for all ports: a second stack at the same offset meets every one of them."""
    taken = {
        f"{port} ({name})": holder
        for name, port in port_plan.all_ports(ports).items()
        if (holder := processes.port_owner(port)) is not None
        and not (isinstance(holder, psutil.Process) and processes.is_stack_process(holder, mark))
    }
    if not taken:
        return
    (first, holder), *others = taken.items()
    who = holder if isinstance(holder, str) else processes.describe([holder])
    more = f", and {len(others)} more of this stack's ports are taken, too" if others else ""
    yield (
        f"Port {first} is taken by {who}{more}: end what holds them (another stack: `make down` in its checkout), or "
        f"set infra.port_offset (200, 400, ...) in the stack's file to move all ports."
    )


def _is_anothers(folder: Path, mark: str) -> bool:
    """A head makes a folder of its mark in its own."""
    if folder.is_dir():
        return any(folder.iterdir()) and not (folder / mark).exists()
    return folder.exists()


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def weights_gib(source: Path) -> float:
    """Size of the weights in a model folder."""
    return sum(f.stat().st_size for f in source.glob("*.safetensors")) / 2**30
