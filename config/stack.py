"""One stack's settings, checked: the `infra` and `serving` blocks as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from config import cross_validation
from config.base import Settings
from config.infra import InfraSettings
from config.issues import Refused
from config.local.infra import MachineSettings
from config.model_service import TINY
from config.parsing import parse
from config.secret_scan import SECRET_IN_CLEAR, _secrets
from config.serving import ServingSettings, several_models
from workloads.local.host_checks import Demand, weights_gib


class Blocks(Settings):
    """Both blocks of a file."""

    infra: InfraSettings
    """Where it runs."""
    serving: ServingSettings | None
    """What runs; null for infrastructure only."""


@dataclass(frozen=True)
class Environment:
    """One environment, checked."""

    name: str
    infra: InfraSettings
    serving: ServingSettings | None
    hugging_face_token: pulumi.Output[str] | None = None
    """A Pulumi secret."""

    @property
    def demand(self) -> Demand:
        """What it asks of the computer it runs on, where it runs on one."""
        if self.serving is None or not isinstance(self.infra, MachineSettings):
            return Demand(0)
        source = self.serving.model.source
        return Demand(self.serving.replicas.most, 0.0 if source == TINY else weights_gib(Path(source)))


def check(name: str, raw: Mapping[str, object], hugging_face_token: pulumi.Output[str] | None = None) -> Environment:
    """`raw` is `{infra: ..., serving: ...}` as plain data, and whatever else the file has."""
    if leaks := list(_secrets("", raw)):
        raise Refused([SECRET_IN_CLEAR.sentence(at=at) for at in leaks], [SECRET_IN_CLEAR.id] * len(leaks))
    if several := several_models(raw.get("serving")):
        raise several
    blocks = parse(Blocks, "", raw)
    found = list(cross_validation.refusals(name, blocks.infra, blocks.serving, token=hugging_face_token is not None))
    if found:
        raise Refused([sentence for _, sentence in found], [rule for rule, _ in found])
    return Environment(name, blocks.infra, blocks.serving, hugging_face_token)
