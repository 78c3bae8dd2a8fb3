"""Create tiny models of every kind that vLLM serves, with random weights, in Hugging Face format.

    .venv-ray/bin/python -m tests.harness.tiny_models DIRECTORY KIND...

Runs in .venv-ray, as vLLM does: transformers' own classes name the weights. Standard library, transformers and
tokenizers only.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, processors

from workloads.local.ray_runtime import make_tiny_model

SIZE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 512,
}
LANGUAGES = tuple(transformers.models.whisper.tokenization_whisper.LANGUAGES)


def completion(folder: Path) -> None:
    """A decoder without a chat template."""
    make_tiny_model.make_tiny_model(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text())
    del config["chat_template"]
    file.write_text(json.dumps(config))


def embedding(folder: Path) -> None:
    """An encoder that vLLM serves as an embedding model without a further argument."""
    _save(folder, transformers.BertModel, transformers.BertConfig, _encoder_tokenizer())


def decoder_embedding(folder: Path) -> None:
    """A decoder that `runner: pooling` turns into an embedding model, as Qwen3-Embedding is served."""
    config = {"num_key_value_heads": 1, "head_dim": 32, "tie_word_embeddings": True}
    _save(folder, transformers.Qwen3ForCausalLM, transformers.Qwen3Config, _encoder_tokenizer(), **config)


def classification(folder: Path) -> None:
    """An encoder that classifies a text into three labels."""
    model = transformers.BertForSequenceClassification
    _save(folder, model, transformers.BertConfig, _encoder_tokenizer(), num_labels=3)


def token_classification(folder: Path) -> None:
    """An encoder that classifies each token, as for named entities."""
    model = transformers.BertForTokenClassification
    _save(folder, model, transformers.BertConfig, _encoder_tokenizer(), num_labels=5)


def reranker(folder: Path) -> None:
    """A cross-encoder: one score for a pair of texts."""
    model = transformers.BertForSequenceClassification
    _save(folder, model, transformers.BertConfig, _encoder_tokenizer(), num_labels=1)


def transcription(folder: Path) -> None:
    """A Whisper."""
    tokenizer = _whisper_tokenizer()
    _save(
        folder,
        transformers.WhisperForConditionalGeneration,
        transformers.WhisperConfig,
        tokenizer,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|startoftranscript|>"),
    )
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def _save(folder: Path, model: Any, config: Any, tokenizer: Any, **settings: Any) -> None:
    """Write a model of class `model`, with `settings` over SIZE, and its tokenizer. The weights follow from a seed."""
    torch.manual_seed(0)
    known = SIZE if "d_model" not in settings else {}
    named = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    model(config(**{**known, **named, **settings})).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _encoder_tokenizer() -> Any:
    """The tokenizer of the tiny model, with BERT's `[CLS] A [SEP] B [SEP]`."""
    words: Tokenizer = make_tiny_model.tokenizer()
    words.add_special_tokens(["[CLS]", "[SEP]", "[PAD]"])
    ids = [(token, words.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "eos_token": "[SEP]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special)


def _whisper_tokenizer() -> Any:
    """A tokenizer with Whisper's special tokens."""
    model = json.loads(make_tiny_model.tokenizer().to_str())["model"]
    tokenizer = transformers.WhisperTokenizer(vocab=model["vocab"], merges=[tuple(each) for each in model["merges"]])
    controls = ("startoftranscript", *LANGUAGES, "translate", "transcribe", "startoflm", "startofprev", "nospeech")
    stamps = [f"{each * 0.02:.2f}" for each in range(1501)]
    words = [f"<|{each}|>" for each in (*controls, "notimestamps", *stamps)]
    tokenizer.add_special_tokens({"additional_special_tokens": words})
    return tokenizer


KINDS: dict[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (
        completion,
        embedding,
        decoder_embedding,
        classification,
        token_classification,
        reranker,
        transcription,
    )
}


if __name__ == "__main__":
    for kind in sys.argv[2:]:
        KINDS[kind](Path(sys.argv[1]) / kind)
