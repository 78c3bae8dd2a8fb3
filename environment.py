"""Reads an environment's two settings blocks and checks them (agreement.py), on plain data, before any resource.

The blocks come from `Pulumi.<environment>.yaml` (`rayllm:infra`, `rayllm:serving`). This is the only module that reads
Pulumi's configuration. Raises `schema.Refused` with one sentence for each thing to change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

import agreement
from infra.machine.computer import Demand, weights_gib
from infra.machine.settings import MachineSettings
from infra.settings import InfraSettings
from schema import Refused, Settings, parse
from workloads.settings import TINY, ServingSettings

TOKEN = "huggingFaceToken"
"""The one secret that settings may hold: `pulumi config set --secret rayllm:huggingFaceToken`."""


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


def read() -> Environment:
    """The environment of the stack that Pulumi is running."""
    config = pulumi.Config()
    blocks = {name: _plain(config.get(name)) for name in ("infra", "serving")}
    return check(pulumi.get_stack(), blocks, config.get_secret(TOKEN))


def _plain(text: str | None) -> object:
    """A block as plain data. Pulumi hands on `null` as empty text, and anything structured as JSON."""
    try:
        return json.loads(text) if text else None
    except json.JSONDecodeError:
        return text


def check(name: str, raw: Mapping[str, object], hugging_face_token: pulumi.Output[str] | None = None) -> Environment:
    """`raw` is `{infra: ..., serving: ...}` as plain data."""
    blocks = parse(Blocks, "", raw)
    found = list(agreement.refusals(name, blocks.infra, blocks.serving, token=hugging_face_token is not None))
    if found:
        raise Refused([sentence for _, sentence in found], [rule for rule, _ in found])
    return Environment(name, blocks.infra, blocks.serving, hugging_face_token)
