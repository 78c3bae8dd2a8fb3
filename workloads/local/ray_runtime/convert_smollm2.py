"""Convert SmolLM2-135M-Instruct from a GGUF file to a directory in Hugging Face format, which vLLM reads.

Writes weights in bfloat16, tokenizer, chat template and sampling defaults, all from the GGUF file's own metadata. The
directory appears complete or not at all, also when this process is killed, and a second process waits for the first.

It reads this one file, which locks/smollm2.txt pins by hash: tensors of the types F32, Q8_0 and Q4_1. transformers can
read it too and gets the same weights, but needs 35 CPU seconds instead of 2 and the packages accelerate and gguf, and
its tokenizer does not split numbers into digits (transformers 5.23, integrations/gguf/gguf_tokenizer_mapping.py).
Source of the format: the file gguf.md of ggml-org/ggml, and gguf-py/gguf/quants.py of ggml-org/llama.cpp.
Usage: python -m workloads.local.ray_runtime.convert_smollm2 GGUF_FILE DIRECTORY
"""

import fcntl
import json
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
from safetensors import TensorSpec, serialize_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SAMPLING = {"do_sample": False, "temperature": 0.0}
"""vLLM reads them from generation_config.json, and a request can override them. Weights of 4 bits make near ties: at
the temperature 0.2 that the model's authors recommend, 12 of 40 answers to "What is the capital of France?" ramble."""
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's numeric types -> formats of the struct module."""
STRING, ARRAY = 8, 9
F32, Q4_1, Q8_0 = 0, 3, 8
"""GGML's tensor types in the file."""
BLOCK = 32
"""Weights that share one scale."""
CONTROL_TOKEN = 3
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Part of a tensor's name in GGUF -> in transformers' Llama."""


class Gguf:
    """A GGUF file: `metadata`, and `tensors` as name -> (shape, tensor type, offset of the data in the file)."""

    def __init__(self, path):
        self._data, self._at = path.read_bytes(), 0
        magic, _version, tensor_count, metadata_count = self._unpack("4sIQQ")
        if magic != b"GGUF":
            raise ValueError(f"{path} is not a GGUF file")
        self.metadata = {}
        for _ in range(metadata_count):
            key = self._string()
            self.metadata[key] = self._value(*self._unpack("I"))
        entries = {self._string(): self._tensor_entry() for _ in range(tensor_count)}
        alignment = self.metadata.get("general.alignment", 32)
        start = -(-self._at // alignment) * alignment
        self.tensors = {name: (shape, kind, start + offset) for name, (shape, kind, offset) in entries.items()}

    def weights(self, name):
        """Return a tensor as float32. Raises ValueError for a tensor type that the file was not expected to have."""
        shape, kind, offset = self.tensors[name]
        count = int(np.prod(shape))
        if kind == F32:
            return np.frombuffer(self._data, "<f4", count, offset).reshape(shape)
        if kind == Q8_0:
            blocks = np.frombuffer(self._data, [("scale", "<f2"), ("q", "i1", BLOCK)], count // BLOCK, offset)
            values, minimum = blocks["q"].astype(np.float32), np.float32(0)
        elif kind == Q4_1:
            fields = [("scale", "<f2"), ("minimum", "<f2"), ("q", "u1", BLOCK // 2)]
            blocks = np.frombuffer(self._data, fields, count // BLOCK, offset)
            # the low halves of the bytes are the first weights of a block, the high halves the others
            values = np.concatenate([blocks["q"] & 0xF, blocks["q"] >> 4], axis=1).astype(np.float32)
            minimum = blocks["minimum"].astype(np.float32)[:, None]
        else:
            raise ValueError(f"tensor {name} has the unknown type {kind}")
        return (values * blocks["scale"].astype(np.float32)[:, None] + minimum).reshape(shape)

    def _unpack(self, layout):
        values = struct.unpack_from("<" + layout, self._data, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def _string(self):
        (length,) = self._unpack("Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _value(self, kind):
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            element, count = self._unpack("IQ")
            return [self._value(element) for _ in range(count)]
        return self._unpack(SCALARS[kind])[0]

    def _tensor_entry(self):
        (rank,) = self._unpack("I")
        *sizes, kind, offset = self._unpack(f"{rank}QIQ")
        return tuple(reversed(sizes)), kind, offset  # GGML names the fastest dimension first


def tensor_name(name):
    """Return transformers' name of a tensor: `blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`."""
    *block, part, _weight = name.split(".")
    return f"{f'model.layers.{block[1]}.' if block else ''}{NAMES[part]}.weight"


def undo_rope_order(weights, heads):
    """Return the rows of a query or key projection in transformers' order.

    llama.cpp stores the two halves of each head's rows interleaved (convert_hf_to_gguf.py, LlamaModel.permute).
    """
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def bfloat16(weights):
    """Return float32 weights rounded to bfloat16, as their bits: numpy has no such type."""
    bits = np.ascontiguousarray(weights).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_weights(gguf, path):
    """Write every tensor of the file."""
    heads, kv_heads = (gguf.metadata[f"llama.attention.head_count{suffix}"] for suffix in ("", "_kv"))
    tensors = {}
    for name in gguf.tensors:
        weights = gguf.weights(name)
        if ".attn_q." in name or ".attn_k." in name:
            weights = undo_rope_order(weights, heads if ".attn_q." in name else kv_heads)
        tensors[tensor_name(name)] = bfloat16(weights)
    specs = {
        name: TensorSpec(dtype="bfloat16", shape=bits.shape, data_ptr=bits.ctypes.data, data_len=bits.nbytes)
        for name, bits in tensors.items()
    }
    serialize_file(specs, path, metadata={"format": "pt"})
    path.chmod(0o644)


def tokenizer(metadata):
    """Return the byte-level BPE tokenizer, which splits numbers into digits (`tokenizer.ggml.pre` is `smollm`)."""
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    bpe = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return bpe


def convert(source, directory):
    """Write the model of a GGUF file into `directory`, which must not exist."""
    gguf = Gguf(source)
    metadata = gguf.metadata
    directory.mkdir(parents=True)
    write_weights(gguf, directory / "model.safetensors")
    tokenizer(metadata).save(str(directory / "tokenizer.json"))
    ids = {role: metadata[f"tokenizer.ggml.{role}_token_id"] for role in ("bos", "eos")}
    ids["pad"] = metadata["tokenizer.ggml.padding_token_id"]
    special = {f"{role}_token": metadata["tokenizer.ggml.tokens"][id_] for role, id_ in ids.items()}
    token_ids = {f"{role}_token_id": id_ for role, id_ in ids.items()}
    template = metadata["tokenizer.chat_template"]
    context = metadata["llama.context_length"]
    documents = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": template,
            "model_max_length": context,
            "clean_up_tokenization_spaces": False,
            **special,
        },
        "generation_config.json": {**SAMPLING, **token_ids},
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": metadata["llama.vocab_size"],
            "hidden_size": metadata["llama.embedding_length"],
            "intermediate_size": metadata["llama.feed_forward_length"],
            "num_hidden_layers": metadata["llama.block_count"],
            "num_attention_heads": metadata["llama.attention.head_count"],
            "num_key_value_heads": metadata["llama.attention.head_count_kv"],
            "head_dim": metadata["llama.rope.dimension_count"],
            "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
            "rope_theta": metadata["llama.rope.freq_base"],
            "max_position_embeddings": context,
            "tie_word_embeddings": "output.weight" not in gguf.tensors,
            "torch_dtype": "bfloat16",
            **token_ids,
        },
    }
    for name, content in documents.items():
        (directory / name).write_text(json.dumps(content, indent=1) + "\n")


def main(source, directory):
    """Convert under a lock, unless another process has done it."""
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if directory.exists():
            return
        part = directory.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
        convert(source, part)
        part.rename(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
