"""`make chat`: what it prints, what it keeps of a conversation, and how it reaches a model."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from paths import CHECKOUT
from tests.unit.test_verify import resources, write
from verify import declared
from verify.chat_completion import printable
from workloads.local.processes import PROCESS_TAG_ENV_VAR

CONTEXT_MESSAGES = 4
"""Messages that the server's model can read."""


class Model(BaseHTTPRequestHandler):
    """An OpenAI server. It answers with the number of messages and the last one; `slowly` never ends."""

    requests: list[dict[str, Any]]

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._reply(200, b'{"data": []}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append(body)
        messages = body["messages"]
        if len(messages) > CONTEXT_MESSAGES:
            self._reply(400, b'{"error": {"message": "maximum context length"}}')
            return
        last = messages[-1]["content"]
        if last == "fail":
            self._reply(500, b'{"error": {"message": "the engine died"}}')
            return
        self.send_response(200)
        self.end_headers()
        for text in (f"{len(messages)} messages", ", ", f"last: \x1b{last}"):
            self._event({"choices": [{"delta": {"content": text}}]})
        while last == "slowly":
            time.sleep(0.05)
            try:
                self._event({"choices": [{"delta": {"content": "."}}]})
            except OSError:  # the client has stopped the answer
                return
        self._event({"choices": [], "usage": {"completion_tokens": 7}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, content: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    class Recorded(Model):
        requests = []

    started = ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    Thread(target=started.serve_forever, daemon=True).start()
    yield started
    started.shutdown()


def local_state(folder: Path, port: int) -> Path:
    head = {
        "type": declared.RAY_HEAD,
        "inputs": {"command": "[]", "environment": {PROCESS_TAG_ENV_VAR: "tag"}},
    }
    outputs = {"endpoint": f"http://127.0.0.1:{port}/v1", "model": "tiny"}
    return write(folder, [{"type": "pulumi:pulumi:Stack", "urn": "", "outputs": outputs}, head])


def chat(
    state: Path, messages: str, stack: str = "local", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.chat", str(state), stack]
    return subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, **(env or {})}, input=messages, capture_output=True, text=True
    )


def conversations(server: ThreadingHTTPServer) -> list[list[str]]:
    """Return the messages of each request."""
    requests = server.RequestHandlerClass.requests  # type: ignore[attr-defined]
    return [[each["content"] for each in request["messages"]] for request in requests]


def test_a_pipe_gets_the_answers_of_one_conversation_and_nothing_else(
    tmp_path: Path, server: ThreadingHTTPServer
) -> None:
    done = chat(local_state(tmp_path, server.server_port), "one\n\ntwo\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 messages, last: �one\n3 messages, last: �two\n"
    assert done.stderr.count("(7 tokens, the first after 0.") == 2
    assert conversations(server)[1] == ["one", "1 messages, last: \x1bone", "two"]


def test_a_message_that_fails_is_told_and_left_out(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    done = chat(local_state(tmp_path, server.server_port), "fail\ntwo\n")
    assert "the engine died" in done.stderr
    assert "Traceback" not in done.stderr
    assert conversations(server)[1] == ["two"]


def test_a_conversation_longer_than_the_context_loses_its_oldest_messages(
    tmp_path: Path, server: ThreadingHTTPServer
) -> None:
    done = chat(local_state(tmp_path, server.server_port), "one\ntwo\nthree\n")
    assert done.stdout.splitlines()[-1] == "3 messages, last: �three"
    assert done.stderr.count("left out") == 1
    assert conversations(server)[-1][0] == "two"


def test_a_stack_that_does_not_run_is_told_in_one_sentence(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.server_close()
    done = chat(local_state(tmp_path, server.server_port), "one\n")
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"Stack local does not answer on http://127.0.0.1:{server.server_port}/v1")
    assert done.stderr.strip().endswith("Run `make up`.")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_destroyed_stack_is_told_in_one_sentence(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"deployment": {}}))
    done = chat(state, "one\n", "dev")
    assert done.stderr.strip() == "No model of stack dev receives requests. Run `make up STACK=dev`."


def test_ctrl_c_stops_an_answer_and_ctrl_d_ends(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    state = local_state(tmp_path, server.server_port)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(CHECKOUT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a background job of a script starts its programs
        # as `make` does: the chat is one process of several in the terminal's foreground process group
        os.execv("/bin/sh", ["sh", "-c", f"{sys.executable} -m tools.chat {state} local; exit $?"])
    printed = read_until(terminal, "You:")
    os.write(terminal, b"slowly\n")
    printed += read_until(terminal, r"\.\.\.\.")
    os.write(terminal, b"\x03")  # Ctrl-C
    printed += read_until(terminal, r"\(stopped\).*You:")
    os.write(terminal, b"two\n")
    printed += read_until(terminal, "tokens/s.*You:")
    os.write(terminal, b"\x04")  # Ctrl-D
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, printed
    assert "Traceback" not in printed
    first, stopped, second = conversations(server)[1]
    assert (first, second) == ("slowly", "two")
    assert "...." in stopped


def read_until(terminal: int, pattern: str) -> str:
    """Read what a terminal shows until it matches, for at most a minute: an answer may never end."""
    shown, end = b"", time.monotonic() + 60
    while not re.search(pattern, shown.decode(errors="replace"), re.DOTALL):
        readable, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert readable, f"no {pattern} in {shown[-2000:]!r}"
        assert time.monotonic() < end, f"no {pattern} in {shown[-2000:]!r}"
        shown += os.read(terminal, 4096)
    return shown.decode(errors="replace")


KUBECTL = """#!{python}
import sys, time
open({log!r}, "w").write(" ".join(sys.argv[1:]))
if {port} == 0:
    sys.exit("error: services not found")
print("Forwarding from 127.0.0.1:{port} -> 8000", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("works", [True, False])
def test_a_cluster_behind_an_internal_gateway_is_reached_through_kubectl(
    tmp_path: Path, server: ThreadingHTTPServer, works: bool
) -> None:
    outputs = {
        "endpoint": "http://127.0.0.1:9",  # nothing listens on it
        "regions": {"europe": {"traffic": "active", "models": {"llm": "tiny"}}},
    }
    top = {"type": "pulumi:pulumi:Stack", "urn": "", "outputs": outputs}
    state, log = write(tmp_path, [top, *resources("europe")]), tmp_path / "log"
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(KUBECTL.format(python=sys.executable, log=str(log), port=server.server_port if works else 0))
    kubectl.chmod(0o755)
    done = chat(state, "one\n", "prod", {"PATH": f"{kubectl.parent}:{os.environ['PATH']}"})
    assert "service/llm-serve-svc :8000" in log.read_text()
    if works:
        assert done.stdout == "1 messages, last: �one\n", done.stderr
        assert "`kubectl port-forward service/llm-serve-svc` in europe" in done.stderr
    else:
        assert done.returncode == 1
        assert done.stderr.strip().splitlines()[-1].endswith("in europe failed: error: services not found")


def test_an_answer_cannot_control_the_terminal() -> None:
    assert printable("a\x1b[2J\tb\n\x07é") == "a�[2J\tb\n�é"
