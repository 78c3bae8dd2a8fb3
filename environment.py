"""Reads an environment's two settings blocks and checks them against each other, on plain data, before any resource.

The blocks come from `Pulumi.<environment>.yaml` (`rayllm:infra`, `rayllm:serving`). This is the only module that reads
Pulumi's configuration. Raises `schema.Refused` with one sentence for each thing to change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.google import naming
from infra.google.settings import GoogleSettings
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
    why="infra.logical_gpus is {there}",
    instead="write fewer replicas, or raise infra.logical_gpus to {wanted}",
)
TOO_MANY_REPLICAS = Rule(
    "environment.too-many-replicas",
    wrong="serving asks for {replicas} replicas of {each} GPU(s)",
    why="the nodes of {region}, at their most, have room for {room}",
    instead="write at most {room}, or more nodes in infra.regions[{index}].pools",
)
REPLICA_TOO_WIDE = Rule(
    "environment.replica-wider-than-a-node",
    wrong="serving.engine.tensor_parallel_size is {each}",
    why="a replica stays on one node, and those in {region} have {per_node} GPU(s)",
    instead="write at most {per_node}, or a pool of larger machines",
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


NOT_ON_CLUSTERS_YET = Rule(
    "environment.serving-on-google",
    wrong="`serving` is set with infra.kind google",
    why="this version declares a cluster's infrastructure, not yet what runs in it",
    instead="write `serving: null`; infra.kind machine serves the same settings on a computer",
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
        if self.serving is None or not isinstance(self.infra, MachineSettings):
            return Demand(0)
        source = self.serving.model.source
        return Demand(self.serving.replicas.most, 0.0 if source == TINY else weights_gib(Path(source)))


def read() -> Environment:
    """The environment of the stack that Pulumi is running."""
    config = pulumi.Config()
    return check(pulumi.get_stack(), {name: _plain(config.get(name)) for name in ("infra", "serving")})


def _plain(text: str | None) -> object:
    """A block as plain data. Pulumi hands on `null` as empty text, and anything structured as JSON."""
    try:
        return json.loads(text) if text else None
    except json.JSONDecodeError:
        return text


def check(name: str, raw: Mapping[str, object]) -> Environment:
    """`raw` is `{infra: ..., serving: ...}` as plain data."""
    blocks = parse(Blocks, "", raw)
    found = list(_disagreements(name, blocks))
    if found:
        raise Refused([sentence for _, sentence in found], [rule for rule, _ in found])
    return Environment(name, blocks.infra, blocks.serving)


def _disagreements(name: str, blocks: Blocks) -> Iterator[tuple[str, str]]:
    if blocks.serving is not None:
        yield from compatibility.refusals(blocks.serving)
    match blocks.infra:
        case MachineSettings() as machine:
            yield from _on_a_machine(machine, blocks.serving)
        case GoogleSettings() as google:
            yield from ((refusal.type, refusal.message()) for refusal in naming.refusals(google, name))
            if blocks.serving is not None:
                found = list(_on_clusters(google, blocks.serving))
                yield from found or [(NOT_ON_CLUSTERS_YET.id, NOT_ON_CLUSTERS_YET.sentence())]


def _on_clusters(google: GoogleSettings, serving: ServingSettings) -> Iterator[tuple[str, str]]:
    """A replica stays on one node, so what counts is how many replicas a region's nodes have room for."""
    each = serving.engine.tensor_parallel_size
    for index, region in enumerate(google.regions):
        per_node = max(pool.machine.gpus for pool in region.pools)
        room = sum(pool.terms.most_nodes * (pool.machine.gpus // each) for pool in region.pools)
        if each > per_node:
            yield REPLICA_TOO_WIDE.id, REPLICA_TOO_WIDE.sentence(each=each, region=region.name, per_node=per_node)
        elif serving.replicas.most > room:
            yield (
                TOO_MANY_REPLICAS.id,
                TOO_MANY_REPLICAS.sentence(
                    replicas=serving.replicas.most, each=each, region=region.name, room=room, index=index
                ),
            )


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
                there=machine.logical_gpus,
            ),
        )
    if serving.model.lora is not None and not TERMS[serving.data_path].direct:  # the direct path's own row says more
        yield LORA_HERE.id, LORA_HERE.sentence()
    source = Path(serving.model.source)
    if serving.model.source != TINY and not (source.is_absolute() and (source / "config.json").is_file()):
        yield LOCAL_MODEL.id, LOCAL_MODEL.sentence(source=serving.model.source)
