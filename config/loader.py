"""Reads an environment's two settings blocks and checks them (cross_validation.py), on plain data, before any resource.

The blocks come from `Pulumi.<environment>.yaml` (`rayllm:infra`, `rayllm:serving`). This is the only module that reads
Pulumi's configuration. Raises `schema.Refused` with one sentence for each thing to change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi.runtime import config as runtime_config

from config import cross_validation
from config.base import Refused, Rule, Settings, parse
from config.infra import InfraSettings
from config.local.infra import MachineSettings
from config.serving import TINY, ServingSettings, several_models
from workloads.local.host_checks import Demand, weights_gib

TOKEN = "huggingFaceToken"
"""The one secret that settings may hold: `pulumi config set --secret rayllm:huggingFaceToken`."""


SECRET = re.compile(
    r"\b(hf_\w{10,}|sk-[\w-]{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|nvapi-[\w-]{20,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}"
    r"|ya29\.[\w-]{20,})|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""How tokens and keys begin: Hugging Face, OpenAI, GitHub, NVIDIA, AWS, Google."""
SECRET_IN_CLEAR = Rule(
    "environment.secret-in-clear",
    wrong="{at} holds a token or a key in clear text",
    why="whoever reads the file or its history can use it",
    instead="take it out and revoke it; the one secret that this stack takes, Hugging Face's token, is set by "
    "`pulumi config set --secret rayllm:huggingFaceToken`",
)


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
    names = {key.removeprefix(f"{config.name}:") for key in _keys() if key.startswith(f"{config.name}:")}
    if _is_secret(f"{config.name}:{TOKEN}"):
        names.discard(TOKEN)
    blocks = {name: _plain(config.get(name)) for name in names | {"infra", "serving"}}
    return check(pulumi.get_stack(), blocks, config.get_secret(TOKEN))


def _keys() -> set[str]:
    """Everything in the file: what is called neither `infra` nor `serving` is a mistake that would go unnoticed."""
    return {*runtime_config.CONFIG.get(), *runtime_config.get_config_env()}


def _is_secret(key: str) -> bool:
    return runtime_config.is_config_secret(key) or key in runtime_config.get_config_secret_keys_env()


def _plain(text: str | None) -> object:
    """A block as plain data. Pulumi hands on `null` as empty text, and anything structured as JSON."""
    try:
        return json.loads(text) if text else None
    except json.JSONDecodeError:
        return text


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


def _secrets(at: str, value: object) -> Iterator[str]:
    """Where in `value` there is a secret; the secret itself is never repeated."""
    match value:
        case Mapping():
            for key, inner in value.items():
                yield from _secrets(f"{at}.{key}" if at else str(key), inner)
        case list():
            for index, inner in enumerate(value):
                yield from _secrets(f"{at}[{index}]", inner)
        case str() if value and (at == TOKEN or SECRET.search(value)):
            yield at
        case _:
            pass
