"""Provision the local host as a platform. It creates no resource: it chooses a directory, a process tag and ports."""

from __future__ import annotations

import hashlib
from pathlib import Path

from config.local import ports
from config.local.infra import LocalInfra
from infra.contract import LocalHost, LocalPlatform

VENV_NAME = ".venv-ray"
"""Virtual environment of the checkout that holds Ray and vLLM; `make up` installs it from locks/ray.txt."""


def process_tag(stack: str, checkout: Path) -> str:
    """Return `rayllm-` and eight hexadecimal digits that are unique to the checkout and stack."""
    return "rayllm-" + hashlib.sha256(f"{checkout.resolve()} {stack}".encode()).hexdigest()[:8]


def local_host(settings: LocalInfra, stack: str, checkout: Path) -> LocalHost:
    """Return the host of `stack` in `checkout`. `data_dir` defaults to a directory below /tmp, named by the tag."""
    tag = process_tag(stack, checkout)
    return LocalHost(
        process_tag=tag,
        data_dir=settings.data_dir or Path("/tmp") / tag,
        venv=checkout / VENV_NAME,
        ports=ports.plan_ports(settings.port_offset),
        logical_gpus=settings.logical_gpus,
        bucket_env_vars={} if settings.bucket_access is None else settings.bucket_access.env_vars,
    )


def provision(settings: LocalInfra, environment: str, checkout: Path) -> LocalPlatform:
    """Return the contract for `workloads`."""
    return LocalPlatform(local_host(settings, environment, checkout))
