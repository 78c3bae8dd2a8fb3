"""Reads an environment's two settings blocks and checks them against each other, on plain data, before any resource.

The blocks come from `Pulumi.<environment>.yaml` (`rayllm:infra`, `rayllm:serving`). This is the only module that reads
Pulumi's configuration. Raises `schema.Refused` with one sentence for each thing to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.machine.computer import Demand, weights_gib
from infra.machine.settings import MachineSettings
from infra.settings import InfraSettings
from schema import Refused, Rule, Settings, parse
from workloads import compatibility
from workloads.data_path import TERMS
from workloads.settings import TINY, ServingSettings

NOTHING_TO_RUN = Rule(
    "environment.nothing-to-run",
    wrong="serving is null with infra.kind machine",
    why="a computer has no infrastructure to stand up, so there would be nothing to do",
    instead="write a `serving` block, at least `model: {{id: ...}}`",
)
GPUS = Rule(
    "environment.too-few-gpus",
    wrong="serving asks for {wanted} GPUs ({replicas} replicas of {each})",
    why="infra has {there}",
    instead="write fewer replicas, or raise {where} to {wanted}",
)
LOCAL_MODEL = Rule(
    "environment.model-not-a-folder",
    wrong="serving.model.source is {source}",
    why="on a computer it must be a folder with a config.json, in Hugging Face format, and there is none",
    instead="write `tiny-random` or the absolute path of such a folder",
)

LORA_HERE = Rule(
    "environment.lora-on-a-machine",
    wrong="serving.model.lora is set with infra.kind machine",
    why="Ray loads adapters from buckets only, and a computer is served from folders",
    instead="merge the adapter into the weights",
    source="ray/llm/_internal/serve/core/configs/llm_config.py",
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

    @property
    def demand(self) -> Demand:
        """What it asks of the computer it runs on, where it runs on one."""
        if self.serving is None:
            return Demand(0)
        source = self.serving.model.source
        return Demand(self.serving.replicas.most, 0.0 if source == TINY else weights_gib(Path(source)))


def read() -> Environment:
    """The environment of the stack that Pulumi is running."""
    config = pulumi.Config()
    return check(pulumi.get_stack(), {name: config.get_object(name) for name in ("infra", "serving")})


def check(name: str, raw: Mapping[str, object]) -> Environment:
    """`raw` is `{infra: ..., serving: ...}` as plain data."""
    blocks = parse(Blocks, "", raw)
    found = list(_disagreements(blocks))
    if found:
        raise Refused([sentence for _, sentence in found], [rule for rule, _ in found])
    return Environment(name, blocks.infra, blocks.serving)


def _disagreements(blocks: Blocks) -> Iterator[tuple[str, str]]:
    if blocks.serving is not None:
        yield from compatibility.refusals(blocks.serving)
    match blocks.infra:
        case MachineSettings() as machine:
            yield from _on_a_machine(machine, blocks.serving)


def _on_a_machine(machine: MachineSettings, serving: ServingSettings | None) -> Iterator[tuple[str, str]]:
    if serving is None:
        yield NOTHING_TO_RUN.id, NOTHING_TO_RUN.sentence()
        return
    if serving.most_gpus > machine.logical_gpus:
        yield (
            GPUS.id,
            GPUS.sentence(
                wanted=serving.most_gpus,
                replicas=serving.replicas.most,
                each=serving.engine.tensor_parallel_size,
                there=f"{machine.logical_gpus} logical ones",
                where="infra.logical_gpus",
            ),
        )
    if serving.model.lora is not None and not TERMS[serving.data_path].direct:  # the direct path's own row says more
        yield LORA_HERE.id, LORA_HERE.sentence()
    source = Path(serving.model.source)
    if serving.model.source != TINY and not (source.is_absolute() and (source / "config.json").is_file()):
        yield LOCAL_MODEL.id, LOCAL_MODEL.sentence(source=serving.model.source)
