"""LoRA adapters in PEFT's format for the tiny model, large enough to change its answers. Standard library only."""

from __future__ import annotations

import array
import json
import random
import struct
from pathlib import Path

HIDDEN, LAYERS = 256, 2
"""Sizes of the tiny model (workloads/local/ray_runtime/make_tiny_model.py)."""
MODULE = "self_attn.o_proj"


def write_adapter(folder: Path, *, seed: int, rank: int = 8) -> None:
    """Write adapter_config.json and adapter_model.safetensors; another `seed` gives other weights."""
    folder.mkdir(parents=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": rank,
        "lora_alpha": 16 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [MODULE.rpartition(".")[2]],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    rng = random.Random(seed)
    tensors: dict[str, tuple[list[int], bytes]] = {}
    for layer in range(LAYERS):
        name = f"base_model.model.model.layers.{layer}.{MODULE}"
        for half, shape in (("lora_A", [rank, HIDDEN]), ("lora_B", [HIDDEN, rank])):
            values = array.array("f", (rng.gauss(0, 0.3) for _ in range(shape[0] * shape[1])))
            tensors[f"{name}.{half}.weight"] = (shape, values.tobytes())
    (folder / "adapter_model.safetensors").write_bytes(_safetensors(tensors))


def _safetensors(tensors: dict[str, tuple[list[int], bytes]]) -> bytes:
    """Return a file of float32 tensors: the length of the header, the header, the values."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, (shape, values) in tensors.items():
        offsets = [len(content), len(content) + len(values)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        content += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content
