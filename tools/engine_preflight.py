"""Check engine arguments that depend on each other, with vLLM's own config classes (`make preflight`).

`make preview` has checked each argument by itself. The classes run in .venv-ray, which has the vLLM of the pinned Ray.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import versions
from config.cross_validation import located_services
from config.engine_arguments import ENGINE_KWARGS, unregistered_names
from config.model_service import AUTO, Engine
from config.serving import ServingSettings
from config.vllm.tables import table_for
from tools.bootstrap import venvs
from verify.check_result import CheckResult, Status

SCRIPT = Path(__file__).with_name("vllm") / "check_rules.py"
NAME = "engine arguments"
Ask = Callable[..., list[tuple[str, str, str]]]
"""`ask_vllm`, or what a test has in its place."""


def ask_vllm(arguments: Mapping[str, Any], *, gpu: bool) -> list[tuple[str, str, str]]:
    """Return (argument, `refused` or `not checked`, sentence) from tools/vllm/check_rules.py.

    Raises FileNotFoundError without .venv-ray, and subprocess.CalledProcessError if vLLM does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arguments.json"
        file.write_text(json.dumps({"arguments": arguments, "gpu": gpu}))
        command = [str(venvs.RAY / "bin" / "python"), str(SCRIPT), str(file)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return [(name, verdict, sentence) for name, verdict, sentence in json.loads(file.read_text())]


def check_results(serving: ServingSettings | None, *, gpu: bool, ask: Ask = ask_vllm) -> Iterator[CheckResult]:
    """Yield the results for every model at every release. `gpu`: the engines run on GPUs, which this computer lacks."""
    if serving is None:
        return
    for service, ray, locate in located_services(serving):
        table, pinned = table_for(ray), table_for(versions.RAY)
        if table is None or pinned is None:
            detail = f"config/vllm has no table for Ray {ray}: names and values are not checked. `make vllm-tables`"
            yield CheckResult(NAME, detail, Status.NOT_RUN)
            continue
        for name, known in unregistered_names(service, ray):
            path = locate(f"{ENGINE_KWARGS}.{name}")
            detail = f"{path}: right only if a plugin in the image registers it. vLLM {table.version} has {known}"
            yield CheckResult(NAME, detail, Status.WARNING)
        if not service.engine.engine_kwargs:
            continue
        if table.version != pinned.version:
            detail = f"Ray {ray} has vLLM {table.version}, and .venv-ray has {pinned.version}: rules between arguments "
            yield CheckResult(NAME, detail + "are not checked", Status.NOT_RUN)
        else:
            yield from _rules(service.engine, locate(ENGINE_KWARGS), gpu, ask)


def _rules(engine: Engine, path: str, gpu: bool, ask: Ask) -> Iterator[CheckResult]:
    try:
        found = ask(arguments(engine), gpu=gpu)
    except FileNotFoundError:
        detail = f"{path}: .venv-ray is missing, so rules between arguments are not checked. `make up` installs it"
        yield CheckResult(NAME, detail, Status.NOT_RUN)
        return
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines() or ["no message"]
        yield CheckResult(NAME, f"{path}: vLLM did not answer: {lines[-1]}", Status.NOT_RUN)
        return
    for name, verdict, sentence in found:
        status = Status.FAILED if verdict == "refused" else Status.NOT_RUN
        words = "vLLM refuses it" if status is Status.FAILED else "not checked"
        yield CheckResult(NAME, f"{path}: {name}: {words}: {sentence}", status)
    if all(verdict != "refused" for _, verdict, _ in found):
        yield CheckResult(NAME, f"{path}: vLLM's own rules between them hold", Status.OK)


def arguments(engine: Engine) -> Mapping[str, Any]:
    """Return the engine's arguments as vLLM gets them, without those of the platform."""
    length = {} if engine.max_model_len in (None, AUTO) else {"max_model_len": engine.max_model_len}
    return {"tensor_parallel_size": engine.tensor_parallel_size, **length, **engine.engine_kwargs}
