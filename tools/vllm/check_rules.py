"""Ask vLLM's own config classes about engine arguments that depend on each other. Runs in .venv-ray.

    .venv-ray/bin/python tools/vllm/check_rules.py FILE

FILE holds `{"arguments": {...}, "gpu": true}`; the script replaces it with `[[argument, verdict, sentence], ...]`. With
`gpu` the classes run as on an NVIDIA GPU, as far as that is a plain yes or no; a verdict that read anything else of the
platform is "not checked", and so is one that needs the model's config.json: this computer has neither.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from extract_arguments import filled_fields, hints
from pydantic import TypeAdapter, ValidationError

import vllm.config
import vllm.platforms
from vllm.engine.arg_utils import AsyncEngineArgs

REFUSED, UNCHECKED = "refused", "not checked"
NVIDIA = {"is_cuda": True, "is_cuda_alike": True, "is_gpu": True, "device_type": "cuda"}
OTHERS = ("is_cpu", "is_rocm", "is_tpu", "is_xpu", "is_out_of_tree", "is_unspecified")
WITHOUT_MODEL = {"SpeculativeConfig": ("ngram", "suffix")}
"""Config class -> the methods that it judges without a model."""
SKIPPED = ("ModelConfig", "VllmConfig")
"""Config classes that read the model's files."""


class NvidiaPlatform:
    """The platform of a GPU as far as vLLM only asks which one it is. Remembers any further question."""

    def __init__(self, real: Any) -> None:
        self.real, self.asked = real, False

    def __getattr__(self, name: str) -> Any:
        if name in NVIDIA:
            return NVIDIA[name] if name == "device_type" else lambda: True
        if name in OTHERS:
            return lambda: False
        self.asked = True
        return getattr(self.real, name)


def main() -> None:
    """Judge the arguments of the file and write the verdicts into it."""
    file = Path(sys.argv[1])
    request = json.loads(file.read_text())
    platform = assume_nvidia() if request["gpu"] else None
    file.write_text(json.dumps(list(verdicts(request["arguments"], platform))))


def assume_nvidia() -> NvidiaPlatform:
    """Put an NVIDIA platform in the place of the computer's own in every module that has imported it."""
    platform = NvidiaPlatform(vllm.platforms.current_platform)
    for name, module in list(sys.modules.items()):
        if name == "vllm.platforms" or (name.startswith("vllm.") and "current_platform" in vars(module)):
            module.current_platform = platform  # type: ignore[attr-defined]
    return platform


def verdicts(arguments: Mapping[str, Any], platform: NvidiaPlatform | None) -> Iterator[tuple[str, str, str]]:
    """Yield (argument, verdict, sentence) for each config class that does not accept its arguments."""
    typed = hints(AsyncEngineArgs)
    for name, value in arguments.items():
        cls = config_class(name, typed.get(name))
        if isinstance(value, Mapping) and cls is not None:
            yield from judged(name, cls, dict(value), platform)
    groups: dict[type, dict[str, tuple[str, Any]]] = {}
    for argument, (cls, field) in filled_fields().items():
        if argument in arguments and arguments[argument] is not None and cls.__name__ not in SKIPPED:
            groups.setdefault(cls, {})[field] = (argument, arguments[argument])
    for cls, fields in groups.items():
        yield from judged(
            ", ".join(argument for argument, _ in fields.values()),
            cls,
            completed(cls, {field: value for field, (_, value) in fields.items()}, arguments),
            platform,
        )


def config_class(name: str, annotation: Any) -> type | None:
    """Return the config class of a mapping: of its annotation, or of its name (speculative_config)."""
    for each in (annotation, *typing.get_args(annotation)):
        if isinstance(each, type) and hasattr(each, "__pydantic_fields__"):
            return each
    return getattr(vllm.config, "".join(word.capitalize() for word in name.split("_")), None)


def completed(cls: type, fields: dict[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Add what vLLM itself derives from the model. Numbers that nobody wrote never decide."""
    if cls.__name__ == "SchedulerConfig":
        length = arguments.get("max_model_len") or -1
        least = fields.get("max_num_batched_tokens") or fields.get("max_num_seqs") or 1
        defaults = {"max_num_seqs": 1, "max_num_batched_tokens": max(least, length, 8192), "is_encoder_decoder": False}
        return defaults | {"max_model_len": length if length > 0 else 1} | fields
    return {"distributed_executor_backend": "ray"} | fields if cls.__name__ == "ParallelConfig" else fields


def judged(
    where: str, cls: type, value: dict[str, Any], platform: NvidiaPlatform | None
) -> Iterator[tuple[str, str, str]]:
    """Yield the verdict of one config class, if it does not accept `value`."""
    without_model = WITHOUT_MODEL.get(cls.__name__)
    if without_model and value.get("method") not in without_model:
        yield where, UNCHECKED, "it depends on the config.json of the model"
        return
    if platform:
        platform.asked = False
    try:
        TypeAdapter(cls).validate_python(value)
    except ValidationError as error:
        sentence = "; ".join(each["msg"].removeprefix("Value error, ").rstrip(".") for each in error.errors())
        yield where, UNCHECKED if platform and platform.asked else REFUSED, sentence
    except Exception as error:  # not a verdict: a class that needs more than this computer has
        yield where, UNCHECKED, f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
