"""What vLLM's own MediaConnector fetches with the arguments and the environment that the stack gives a replica."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from config.media import NO_REDIRECTS, Media
from paths import CHECKOUT

SCRIPT = """
import json, sys
from vllm.multimodal.media.connector import MediaConnector

class Text:
    def get_max_bytes(self): return 1000
    def load_bytes(self, content): return content.decode()
    def load_base64(self, kind, content): return content

answers = []
for hosts, url in json.loads(sys.argv[1]):
    try:
        answers.append(MediaConnector(allowed_media_domains=hosts).load_from_url(url, Text(), fetch_timeout=5))
    except Exception as error:
        answers.append(f"refused: {error}")
print(json.dumps(answers))
"""


class Handler(BaseHTTPRequestHandler):
    """Redirects /moved to /secret, and answers everything else with its path."""

    paths: list[str] = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        moved = self.path == "/moved"
        self.send_response(302 if moved else 200)
        if moved:
            self.send_header("Location", "/secret")
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """An HTTP server on loopback, as `HOST:PORT`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Handler.paths.clear()
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()


def fetch(*cases: tuple[list[str], str]) -> list[str]:
    """Return what vLLM answers for each (allowed hosts, URL)."""
    run = subprocess.run(
        [CHECKOUT / ".venv-ray/bin/python", "-c", SCRIPT, json.dumps(cases)],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **NO_REDIRECTS},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_a_replica_fetches_from_named_hosts_only_and_follows_no_redirect(server: str) -> None:
    none = Media().engine_kwargs["allowed_media_domains"]
    inline = "data:text/plain;base64,aGk="
    plain, disguised, own, moved, data = fetch(
        (none, f"http://{server}/plain"),
        (none, f"http://{none[0]}@{server}/disguised"),
        (["127.0.0.1"], f"http://{server}/own"),
        (["127.0.0.1"], f"http://{server}/moved"),
        (none, inline),
    )
    assert plain.startswith("refused: The URL must be from one of the allowed domains")
    assert disguised.startswith("refused: The URL must be from one of the allowed domains")
    assert own == "/own"
    assert "/secret" not in moved
    assert data == "aGk="
    assert set(Handler.paths) == {"/own", "/moved"}


def test_vllm_takes_an_empty_list_as_every_host(server: str) -> None:
    """So the stack never writes one."""
    assert fetch(([], f"http://{server}/any")) == ["/any"]
