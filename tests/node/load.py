"""Requests at a steady rate from an unmodified `openai` client, each counted: whole, or lost and how.

It does not retry: what a client of yours would ask a second time counts as lost.
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
"""Streams under way, at most: two cores that are busy with an edit serve fewer than are asked for, and what piles up
would tell of the machine, not of the edit."""
REQUEST_TIMEOUT_S = 60


@dataclass(frozen=True)
class LostRequest:
    """A request without its whole answer."""

    started: float
    """time.monotonic()."""
    streamed: bool
    """Whether its first token had come."""
    cause: str


@dataclass
class Load:
    """`per_second` streams of `tokens` are begun each second, fewer while AT_ONCE are under way, from entering to
    leaving or `hold`; leaving waits for the last of them."""

    url: str
    per_second: float = 2
    tokens: int = DEFAULT_TOKENS
    lost: list[LostRequest] = field(default_factory=list)
    completed: int = 0
    started: int = 0
    first_start: float = 0
    """time.monotonic() of its beginning."""
    last_start: float = 0
    """And of its last stream's beginning."""
    slowest_s: float = 0
    """Of the whole ones, to the end."""

    @property
    def finished(self) -> int:
        """Of those that are over."""
        return self.completed + len(self.lost)

    def causes(self, moment: float) -> str:
        """`3 cut (APIError), begun -1.2 to -0.3 s`: seconds are from `moment`, of time.monotonic()."""
        found = Counter(f"{'cut' if each.streamed else 'refused'} ({each.cause})" for each in self.lost)
        begun = [each.started - moment for each in self.lost]
        when = f", begun {min(begun):.1f} to {max(begun):.1f} s" if begun else ""
        return ", ".join(f"{count} {name}" for name, count in found.most_common()) + when

    def table_cells(self, moment: float) -> tuple[int, int, str]:
        """For a table: all, lost, and of what."""
        return self.finished, len(self.lost), self.causes(moment) or "-"

    def lost_after(self, moment: float) -> list[LostRequest]:
        """Those that were begun later than `moment`, of time.monotonic()."""
        return [each for each in self.lost if each.started > moment]

    @property
    def rate_cell(self) -> str:
        """What was asked for, and what came of it where that is less by a tenth or more."""
        begun = self.started / max(self.last_start - self.first_start, 1)
        return f"{self.per_second:g}" + (f" requested, {begun:.0f} started" if begun < 0.9 * self.per_second else "")

    def stop_starting(self) -> None:
        """Begin no more, as when the gateway sends this region nothing any more."""
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
        begun, streamed, reason = time.monotonic(), False, None
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
            self.lost.append(LostRequest(begun, streamed, _cause(error)))
            return
        if reason == "length":
            self.completed += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
        else:
            self.lost.append(LostRequest(begun, streamed, "no end"))


def _cause(error: Exception) -> str:
    """With HAProxy's reason, where it has one; else with what the connection met."""
    if not isinstance(error, openai.APIStatusError):
        return " ".join(type(each).__name__ for each in (error, error.__cause__) if each is not None)
    return f"{error.status_code} {error.response.headers.get('x-serve-reason', error.response.text[:80])}".strip()
