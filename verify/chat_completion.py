"""Stream one chat completion, and measure it as its user sees it. `make up` and `make chat` use it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2

from verify import api_key

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 120
LOOPBACK = ("127.0.0.1", "localhost")


class CompletionFailed(Exception):
    """The server refused the request or ended the stream with an error. The message is the server's."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 if the error came within the stream."""


@dataclass
class ChatCompletion:
    """One streamed answer. Its fields are current while `stream` runs."""

    text: str = ""
    tokens: int = 0
    """Tokens of the answer as the server counts them; while the answer streams, its chunks."""
    first_s: float = 0.0
    """Seconds from the request to the first text."""
    total_s: float = 0.0
    """Seconds from the request to the last text."""
    _started: float = field(default_factory=time.monotonic)

    def stream(
        self, endpoint: str, model: str, messages: Sequence[dict[str, str]], max_tokens: int | None = None
    ) -> Iterator[str]:
        """Yield the answer's text as it arrives, fit for a terminal.

        `endpoint`: URL that ends with /v1. Raises CompletionFailed, or httpx2.HTTPError without an answer.
        """
        body = {
            "model": model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **({} if max_tokens is None else {"max_tokens": max_tokens}),
        }
        # A proxy that the environment names cannot reach an address of this computer.
        local = urlsplit(endpoint).hostname in LOOPBACK
        timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._started = time.monotonic()
        with (
            httpx2.Client(timeout=timeout, trust_env=not local) as client,
            client.stream("POST", f"{endpoint}/chat/completions", json=body, headers=api_key.headers()) as reply,
        ):
            if reply.status_code != httpx2.codes.OK:
                raise CompletionFailed(_error_message(reply.read().decode(errors="replace")), reply.status_code)
            for line in reply.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]" and (text := self._take(json.loads(line[6:]))):
                    yield printable(text)

    def summary(self) -> str:
        """Return `9 tokens, the first after 0.17 s, then 18.3 tokens/s`."""
        rate = (self.tokens - 1) / (self.total_s - self.first_s) if self.total_s > self.first_s else 0.0
        return f"{self.tokens} tokens, the first after {self.first_s:.2f} s" + (
            f", then {rate:.1f} tokens/s" if rate else ""
        )

    def _take(self, event: dict[str, object]) -> str:
        """Record an event of the stream and return its text."""
        match event:
            case {"error": error}:
                raise CompletionFailed(_error_message(json.dumps({"error": error})))
            case {"choices": [{"delta": {"content": str(text)}}, *_]} if text:
                self.total_s = time.monotonic() - self._started
                self.first_s = self.first_s or self.total_s
                self.tokens += 1
                self.text += text
                return text
            case {"usage": {"completion_tokens": int(tokens)}}:
                self.tokens = tokens
        return ""


def printable(text: str) -> str:
    """Return `text` without characters that control a terminal: a model may write any."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def _error_message(body: str) -> str:
    """Return the message of an OpenAI error, or else the beginning of the body."""
    try:
        document = json.loads(body)
        return str(document.get("error", document)["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return body.strip()[:300] or "no message"
