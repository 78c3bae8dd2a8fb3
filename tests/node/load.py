"""Send requests at a steady rate with an unmodified `openai` client, and count completed and lost ones.

The client does not retry: a request that another client would send a second time counts as lost.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx2
import openai

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
DEFAULT_TOKENS = 12
MAX_OPEN_STREAMS = 20
"""Two cores that are busy with an edit serve fewer streams than are requested. Without this limit, the open streams
would measure the machine and not the edit."""
REQUEST_TIMEOUT_S = 60


@dataclass(frozen=True)
class LostRequest:
    """A request without a complete response."""

    started: float
    """time.monotonic() of its start."""
    streamed: bool
    """True if the client received the first token."""
    cause: str


@dataclass
class Load:
    """A context in which `per_second` streams of `tokens` tokens start each second, or fewer at MAX_OPEN_STREAMS.

    `stop_starting` or the end of the context stops new streams; the end waits for the last one.
    """

    url: str
    per_second: float = 2
    tokens: int = DEFAULT_TOKENS
    lost: list[LostRequest] = field(default_factory=list)
    completed: int = 0
    started: int = 0
    first_start: float = 0
    """time.monotonic() at the start of the load."""
    last_start: float = 0
    """time.monotonic() at the start of the last stream."""
    slowest_s: float = 0
    """Duration of the slowest completed stream."""

    @property
    def finished(self) -> int:
        """Number of streams that have ended."""
        return self.completed + len(self.lost)

    def causes(self, moment: float) -> str:
        """Return `3 cut (APIError), started -1.2 to -0.3 s`: seconds relative to `moment`, a time.monotonic()."""
        found = Counter(f"{'cut' if each.streamed else 'refused'} ({each.cause})" for each in self.lost)
        starts = [each.started - moment for each in self.lost]
        when = f", started {min(starts):.1f} to {max(starts):.1f} s" if starts else ""
        return ", ".join(f"{count} {name}" for name, count in found.most_common()) + when

    def table_cells(self, moment: float) -> tuple[int, int, str]:
        """Return the cells streams, lost, cause of a table."""
        return self.finished, len(self.lost), self.causes(moment) or "-"

    def lost_after(self, moment: float) -> list[LostRequest]:
        """Return the lost requests that started after `moment`, a time.monotonic()."""
        return [each for each in self.lost if each.started > moment]

    @property
    def rate_cell(self) -> str:
        """The requested rate, and the actual rate if it is lower by a tenth or more."""
        rate = self.started / max(self.last_start - self.first_start, 1)
        return f"{self.per_second:g}" + (f" requested, {rate:.0f} started" if rate < 0.9 * self.per_second else "")

    def stop_starting(self) -> None:
        """Start no more streams, as when the gateway sends this region no more requests."""
        self._stop.set()

    def __enter__(self) -> Load:
        self._stop, self.first_start = threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        async with openai.AsyncOpenAI(
            base_url=self.url, api_key="none", max_retries=0, timeout=REQUEST_TIMEOUT_S
        ) as api:
            running: list[asyncio.Task[None]] = []
            while not self._stop.is_set():
                if self.started - self.finished < MAX_OPEN_STREAMS:
                    self.started, self.last_start = self.started + 1, time.monotonic()
                    running.append(asyncio.create_task(self._stream(api)))
                await asyncio.sleep(1 / self.per_second)
            await asyncio.gather(*running)

    async def _stream(self, api: openai.AsyncOpenAI) -> None:
        started, streamed, reason = time.monotonic(), False, None
        try:
            stream = await api.chat.completions.create(
                model="tiny",
                messages=MESSAGES,
                max_tokens=self.tokens,
                stream=True,
                extra_body={"ignore_eos": True},
            )
            async for chunk in stream:
                streamed = True
                reason = chunk.choices[0].finish_reason or reason if chunk.choices else reason
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            self.lost.append(LostRequest(started, streamed, _cause(error)))
            return
        if reason == "length":
            self.completed += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        else:
            self.lost.append(LostRequest(started, streamed, "no end"))


def _cause(error: Exception) -> str:
    """Return the status with HAProxy's reason if it has one, else the exceptions of the connection."""
    if not isinstance(error, openai.APIStatusError):
        return " ".join(type(each).__name__ for each in (error, error.__cause__) if each is not None)
    return f"{error.status_code} {error.response.headers.get('x-serve-reason', error.response.text[:80])}".strip()
