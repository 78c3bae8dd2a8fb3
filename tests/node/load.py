"""Requests at a steady rate from an unmodified `openai` client, each counted: whole, or lost and how."""

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
TOKENS = 24
LIMIT_S = 60


@dataclass
class Load:
    """`per_second` streams are begun each second, from entering to leaving; leaving waits for the last of them."""

    url: str
    per_second: float = 2
    tokens: int = TOKENS
    lost: list[str] = field(default_factory=list)
    """What each lost one died of."""
    whole: int = 0
    slowest_s: float = 0
    """Of the whole ones, to the end."""

    @property
    def total(self) -> int:
        return self.whole + len(self.lost)

    @property
    def causes(self) -> str:
        """`3 APIConnectionError`, and so on."""
        return ", ".join(f"{count} {name}" for name, count in Counter(self.lost).most_common())

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    async def _all(self) -> None:
        async with openai.AsyncOpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=LIMIT_S) as api:
            running: list[asyncio.Task[None]] = []
            while not self._stop.is_set():
                running.append(asyncio.create_task(self._one(api)))
                await asyncio.sleep(1 / self.per_second)
            await asyncio.gather(*running)

    async def _one(self, api: openai.AsyncOpenAI) -> None:
        begun, reason = time.monotonic(), None
        try:
            stream = await api.chat.completions.create(
                model="tiny",
                messages=MESSAGES,
                max_tokens=self.tokens,
                stream=True,
                extra_body={"ignore_eos": True},
            )
            async for chunk in stream:
                reason = chunk.choices[0].finish_reason or reason if chunk.choices else reason
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            self.lost.append(type(error).__name__)
            return
        if reason == "length":
            self.whole += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
        else:
            self.lost.append("cut short")
