"""One stack's settings, checked: the `infra` and `serving` blocks as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from config import cross_validation
from config.base import Settings
from config.infra import InfraSettings
from config.issues import ConfigError
from config.local.infra import LocalInfra
from config.model_service import TINY_RANDOM
from config.parsing import parse
from config.secret_scan import SECRET_IN_CLEAR, find_secrets
from config.serving import ServingSettings, reject_model_list
from workloads.local.host_checks import Demand, weights_gib


class Blocks(Settings):
    """Both blocks of a file."""

    infra: InfraSettings
    """Where it runs."""
    serving: ServingSettings | None
    """What runs; null for infrastructure only."""


@dataclass(frozen=True)
class StackConfig:
    """One environment, checked."""

    name: str
    infra: InfraSettings
    serving: ServingSettings | None
    hugging_face_token: pulumi.Output[str] | None = None
    """A Pulumi secret."""

    @property
    def demand(self) -> Demand:
        """What it asks of the computer it runs on, where it runs on one."""
        if self.serving is None or not isinstance(self.infra, LocalInfra):
            return Demand(0)
        source = self.serving.model.source
        return Demand(self.serving.replicas.max_replicas, 0.0 if source == TINY_RANDOM else weights_gib(Path(source)))


def check(name: str, raw: Mapping[str, object], hugging_face_token: pulumi.Output[str] | None = None) -> StackConfig:
    """`raw` is `{infra: ..., serving: ...}` as plain data, and whatever else the file has."""
    if leaks := list(find_secrets("", raw)):
        raise ConfigError([SECRET_IN_CLEAR.format(at=at) for at in leaks], [SECRET_IN_CLEAR.id] * len(leaks))
    if several := reject_model_list(raw.get("serving")):
        raise several
    blocks = parse(Blocks, "", raw)
    found = list(cross_validation.find_issues(name, blocks.infra, blocks.serving, token=hugging_face_token is not None))
    if found:
        raise ConfigError([sentence for _, sentence in found], [rule for rule, _ in found])
    return StackConfig(name, blocks.infra, blocks.serving, hugging_face_token)
