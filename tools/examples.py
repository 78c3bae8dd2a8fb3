"""Read the example stack files of docs/examples, and the public file that each of them stands for.

docs/examples/NAME.yaml is a stack file. docs/examples/sources/NAME.yaml records what the public file says:

source       repository, path, commit and licence; `entry` if the file has several configurations
shows        what the configuration is an example of
llm_configs  the models, by the field names of ray.serve.llm.LLMConfig; options of `vllm serve` are engine_kwargs
env          environment variables of the model's process
token        true if that process has a token for Hugging Face
differences  field -> why the example has another value, or none; `rule` refuses the value of the file
refused      instead of an example: the rules that refuse the file's settings, applied as `edit` to `stack`, and why
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from config.model_memory import MemoryEstimate, estimate
from config.stack import StackConfig, check
from paths import CHECKOUT
from tools.model_estimate import find_shape

EXAMPLES = CHECKOUT / "docs" / "examples"
SOURCES = EXAMPLES / "sources"
HUB = "https://github.com"


@dataclass(frozen=True)
class Difference:
    """Why an example has another value than the public file, or none."""

    because: str
    rule: str = ""
    """Id of the rule that refuses the value of the file; empty if none does."""


@dataclass(frozen=True)
class Refusal:
    """Why the settings of this stack cannot express a public file."""

    rules: Sequence[str]
    because: str
    stack: str
    edit: Mapping[str, Any]
    """Settings path -> value, applied to `Pulumi.<stack>.yaml`: what the file says, in the settings of this stack."""


@dataclass(frozen=True)
class PublicFile:
    """One configuration file of a public repository; the head of this module describes its fields."""

    name: str
    source: Mapping[str, str]
    shows: str
    llm_configs: Sequence[Mapping[str, Any]] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    token: bool = False
    differences: Mapping[str, Difference] = field(default_factory=dict)
    refused: Refusal | None = None

    @property
    def stack_file(self) -> Path:
        """The example that stands for the file."""
        return EXAMPLES / f"{self.name}.yaml"

    @property
    def fields(self) -> dict[str, Any]:
        """Field -> value; see `flatten`."""
        return {**flatten(self.llm_configs), **{f"env.{name}": value for name, value in self.env.items()}}


def stack_config(path: Path) -> StackConfig:
    """Return the validated settings of an example, as a stack `mine` that has a token for Hugging Face."""
    config = yaml.safe_load(path.read_text())["config"]
    raw = {block: config[f"rayllm:{block}"] for block in ("infra", "serving")}
    return check("mine", raw, has_hugging_face_token=True)


def memory_estimate(path: Path) -> tuple[MemoryEstimate, str] | None:
    """Return the estimate for the first model of an example and its machine type; None for an unknown model."""
    (plan,) = stack_config(path).region_plans.values()
    service = plan.services[0]
    shape = find_shape(service.service.model.source, None)
    if isinstance(shape, str):
        return None
    pool = service.worker_groups[0].node_pool
    return estimate(service.service, shape, pool), pool.machine_type


def public_files() -> list[PublicFile]:
    """Return the recorded files, by name."""
    return [_read(path) for path in sorted(SOURCES.glob("*.yaml"))]


def _read(path: Path) -> PublicFile:
    raw: dict[str, Any] = yaml.safe_load(path.read_text())
    refused = raw.pop("refused", None)
    differences = {name: Difference(**each) for name, each in raw.pop("differences", {}).items()}
    return PublicFile(path.stem, differences=differences, refused=Refusal(**refused) if refused else None, **raw)


WHOLE = ("engine_kwargs", "lora_config", "request_router_kwargs", "placement_group_config")
"""Fields of an LLMConfig whose values are compared name by name, but not deeper."""


def flatten(llm_configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return `engine_kwargs.max_model_len` -> value for one model, `llm_configs[0].engine_kwargs...` for several."""
    return {
        f"{f'llm_configs[{index}].' if len(llm_configs) > 1 else ''}{path}": value
        for index, config in enumerate(llm_configs)
        for path, value in _leaves(config, "")
    }


def _leaves(config: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and at.rstrip(".").rpartition(".")[2] not in WHOLE:
            yield from _leaves(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value


def page() -> str:
    """Return docs/reference/examples.md."""
    files = public_files()
    examples = [each for each in files if each.refused is None]
    out = (
        "# Examples\n\n"
        "Each file of [docs/examples](../examples) is a complete stack file. To start from one, copy it and change the "
        "lines\nmarked `change me`:\n\n"
        "```console\n"
        f"$ cp docs/examples/{examples[0].name}.yaml Pulumi.mine.yaml\n"
        "$ make preview STACK=mine\n"
        "```\n\n"
        f"{len(examples)} of them stand for configuration files of public repositories. A unit test compares "
        "arguments, replicas, GPUs and\nenvironment with the public file, and `make test TIER=examples` previews every "
        "example with Pulumi's engine. No test has\nrun an example on GPUs.\n\n"
        "| example | shows | the same as |\n|---|---|---|\n"
    )
    for each in examples:
        out += f"| [{each.name}](../examples/{each.name}.yaml) | {each.shows} | {_link(each)} |\n"
    out += _memory([each.stack_file for each in examples])
    out += "\n## Refused\n\nThese files ask for what this stack refuses.\n\n"
    out += "| file | shows | rule | why |\n|---|---|---|---|\n"
    for each in files:
        if each.refused is not None:
            rules = ", ".join(f"`{rule}`" for rule in each.refused.rules)
            out += f"| {_link(each)} | {each.shows} | {rules} | {_sentence(each.refused.because)} |\n"
    out += "\n## What differs\n\n| example | field | in the public file | why |\n|---|---|---|---|\n"
    for each in examples:
        for name, difference in each.differences.items():
            value = _value(each, name)
            rule = f" (`{difference.rule}`)" if difference.rule else ""
            out += f"| {each.name} | `{name}` | {value} | {_sentence(difference.because)}{rule} |\n"
    return out


def _memory(stack_files: Sequence[Path]) -> str:
    """Return the table of estimates, for the examples whose models are known."""
    out = (
        "\n## Memory and time to start\n\n"
        "An estimate from parameters, layers and heads (`config/model_memory.py`), which no GPU has confirmed. `make "
        "preflight`\nprints it for your stack, and asks Hugging Face for models that it does not know. "
        "[Large models](../how-to/large-models.md)\nexplains the columns.\n\n"
        "| example | machine type | weights, GiB | GPUs of a replica | weights on each GPU, GiB "
        "| KV cache on each GPU, GiB | full requests at once | ready after the node, minutes |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    for path in stack_files:
        if (found := memory_estimate(path)) is not None:
            memory, machine_type = found
            requests = "-" if memory.full_requests is None else memory.full_requests
            out += (
                f"| {path.stem} | {machine_type} | {memory.shape.weight_gib:,.0f} | {memory.gpus} "
                f"| {memory.weight_gib_per_gpu:,.0f} of {memory.gpu_memory_gib:.0f} | {memory.cache_gib_per_gpu:,.0f} "
                f"| {requests} | {math.ceil(memory.start_s / 60)} |\n"
            )
    return out


def _link(file: PublicFile) -> str:
    repository, path, commit = (file.source[key] for key in ("repository", "path", "commit"))
    entry = f" ({file.source['entry']})" if "entry" in file.source else ""
    return f"[{repository} {path.rpartition('/')[2]}]({HUB}/{repository}/blob/{commit}/{path}){entry}"


def _value(file: PublicFile, name: str) -> str:
    if name == "token":
        return "yes" if file.token else "no"
    value = file.fields.get(name)
    return "-" if value is None else f"`{value}`".replace("|", "\\|")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
