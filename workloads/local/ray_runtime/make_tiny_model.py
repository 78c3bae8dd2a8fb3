"""Create a tiny language model: a Llama of 1.2 million random weights with a byte-level tokenizer.

Its answers are noise. It exists so that the whole serving path runs on a host that cannot download a model. The script
writes the formats that Hugging Face's libraries read, without importing torch (which takes longer than creating the
model). Usage: python -m workloads.local.ray_runtime.make_tiny_model DIRECTORY
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, MLP = 256, 2, 4, 2, 64, 512
CONTEXT = 4096
END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for m in messages %}" + TURN + "{{ m['role'] }}\n{{ m['content'] }}" + END_OF_TURN + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + TURN + "assistant\n{% endif %}"
)


def tokenizer() -> Tokenizer:
    """Return a byte-level BPE tokenizer: 256 bytes, three special tokens and the merges of one line of text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=[END_OF_TEXT, TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["system user assistant hello world the quick brown fox"] * 4, trainer)
    return bpe


def weights(vocabulary: int) -> dict[str, np.ndarray]:
    """Return random float32 tensors under the names that transformers uses for a Llama with tied embeddings.

    `vocabulary`: number of tokens. The tensors are the same at every call.
    """
    rng = np.random.default_rng(seed=0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0.0, 0.02, shape).astype(np.float32)

    ones = np.ones(HIDDEN, dtype=np.float32)
    tensors = {"model.embed_tokens.weight": normal(vocabulary, HIDDEN), "model.norm.weight": ones}
    for layer in range(LAYERS):
        tensors |= {
            f"model.layers.{layer}.{name}.weight": tensor
            for name, tensor in {
                "input_layernorm": ones.copy(),
                "post_attention_layernorm": ones.copy(),
                "self_attn.q_proj": normal(HEADS * HEAD_DIM, HIDDEN),
                "self_attn.k_proj": normal(KV_HEADS * HEAD_DIM, HIDDEN),
                "self_attn.v_proj": normal(KV_HEADS * HEAD_DIM, HIDDEN),
                "self_attn.o_proj": normal(HIDDEN, HEADS * HEAD_DIM),
                "mlp.gate_proj": normal(MLP, HIDDEN),
                "mlp.up_proj": normal(MLP, HIDDEN),
                "mlp.down_proj": normal(HIDDEN, MLP),
            }.items()
        }
    return tensors


def make_tiny_model(directory: Path) -> None:
    """Write config, tokenizer and weights into `directory` (about 5 MB). The files are the same at every call."""
    directory.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    words.save(str(directory / "tokenizer.json"))
    special = {"eos_token": END_OF_TURN, "pad_token": END_OF_TEXT, "bos_token": END_OF_TEXT}
    _write(
        directory / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE, **special},
    )
    vocabulary = words.get_vocab_size()
    tensors = directory / "model.safetensors"
    save_file(weights(vocabulary), tensors, metadata={"format": "pt"})
    tensors.chmod(0o644)  # safetensors makes it readable for its owner only; in a pod the server runs as another user
    _write(
        directory / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": vocabulary,
            "hidden_size": HIDDEN,
            "intermediate_size": MLP,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HEAD_DIM,
            "max_position_embeddings": CONTEXT,
            "tie_word_embeddings": True,
            "bos_token_id": words.token_to_id(END_OF_TEXT),
            "eos_token_id": words.token_to_id(END_OF_TURN),
            "pad_token_id": words.token_to_id(END_OF_TEXT),
            "torch_dtype": "float32",
        },
    )


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    make_tiny_model(Path(sys.argv[1]))
