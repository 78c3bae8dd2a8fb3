"""Check a running stack local, print how to call it, and show an answer of its model.

`python -m verify.local_report` reads the stack's outputs as JSON from standard input. It changes nothing, sends one
short request of the model's kind, and prints that request for a shell. A chat model then answers a question. Exit
status 1: a check failed, or no request was answered.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.data_path import DATA_PATHS, DataPath
from verify import api_key, checks
from verify.chat_completion import ChatCompletion
from verify.check_result import CheckResult, format_results, result
from verify.checks import run_locally
from verify.queries import AUDIO_KINDS
from workloads.local import api_keys, processes, ray_api

QUESTION, MAX_TOKENS = "What is the capital of France?", 64
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def check_results(outputs: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Yield the results of all checks, in the order in which a request passes the components."""
    data_path = DATA_PATHS[DataPath(outputs["data_path"])]
    port = urlsplit(outputs["endpoint"]).port
    assert port is not None
    yield checks.proxy(run_locally, port, data_path)
    actors = run_locally("actors", outputs["dashboard"])
    yield checks.token_path(answer, actors, data_path)
    yield checks.executor(actors)
    yield loopback_only(outputs["process_tag"])


def loopback_only(process_tag: str) -> CheckResult:
    """Check that every process of the stack listens on loopback addresses only."""
    listening = processes.listening(process_tag)
    others = [f"{address}:{port}" for address, port in listening if address not in LOOPBACK]
    addresses = f"these on other addresses: {others}" if others else "all on 127.0.0.1"
    return result("loopback only", f"{len(listening)} listening ports, {addresses}", bool(listening) and not others)


def request_command(endpoint: str, answer: Mapping[str, Any], keys: str = "") -> str:
    """Return a shell command that sends the request of `answer` (`checks.ask`). `keys`: the file with the API keys'
    hashes, if callers need a key."""
    url = endpoint.removesuffix("/v1") + answer["path"]
    if keys:
        url += f' -H "authorization: Bearer $(cat {api_keys.operator_file(Path(keys))})"'
    if answer["kind"] in AUDIO_KINDS:
        return f"curl {url} -F model={answer['body']['model']} -F file=@speech.wav"
    return f"curl -N {url} -H 'content-type: application/json' \\\n    -d '{json.dumps(answer['body'])}'"


def main() -> int:
    """Print the results, how to send a request, and an answer. Return the exit status."""
    outputs = json.load(sys.stdin)
    api_key.use_operator_key(outputs)
    token = ray_api.token_file(Path(outputs["data_dir"]))
    os.environ[ray_api.TOKEN_PATH_ENV_VAR] = str(token)
    data_path = DATA_PATHS[DataPath(outputs["data_path"])]
    answer = checks.ask(
        run_locally, outputs["endpoint"], outputs["model"], outputs["haproxy_stats"] if data_path.haproxy else None
    )
    results = list(check_results(outputs, answer))
    if not answer["chunks"]:
        results.append(checks.answered(answer, data_path))
    print("\n".join(format_results(results)))
    print(f"\nOpenAI-compatible endpoint: {outputs['endpoint']}   model: {outputs['model']}")
    print(f"Ray dashboard:              {outputs['dashboard']}   its token: cat {token}")
    if answer["chunks"]:
        print(f"\n  {request_command(outputs['endpoint'], answer, outputs.get('api_keys', ''))}\n")
    if answer["kind"] == "chat":
        stream_answer(outputs)
    elif answer["chunks"]:
        chunks = f"{answer['chunks']} chunks streamed, the first" if answer["kind"] in checks.STREAMED else "the answer"
        print(f"  {outputs['model']}{_noise(outputs)}: {answer['text']!r}")
        print(f"  {answer['kind']}: {chunks} after {answer['first_s']:.2f} s")
    return 0 if all(each.ok for each in results) else 1


def stream_answer(outputs: Mapping[str, Any]) -> None:
    """Ask the chat model one question and print its answer as it arrives."""
    answer = ChatCompletion()
    print(f"  You:    {QUESTION}\n  Model{_noise(outputs)}:  ", end="", flush=True)
    messages = [{"role": "user", "content": QUESTION}]
    for text in answer.stream(outputs["endpoint"], outputs["model"], messages, MAX_TOKENS):
        print(text.replace("\n", "\n          "), end="", flush=True)
    print(f"\n          ({answer.summary()})\n")
    print("`make chat` talks to the model, `make down` destroys the stack.")


def _noise(outputs: Mapping[str, Any]) -> str:
    return " (random weights, so the text is noise)" if outputs.get("random_weights") else ""


if __name__ == "__main__":
    sys.exit(main())
