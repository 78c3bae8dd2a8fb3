"""The edge of stack local under a flood, an overload, and while keys come and go.

The tests share one stack, and each continues from the test before: run the whole file.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.harness.local_stack import Clone, running_clone
from tests.harness.waiting import wait_until
from tests.serving.conftest import PORT_OFFSET
from tests.serving.test_local_stack import engine_metric
from workloads.local import api_keys

MAX_REQUESTS = 12
FLOOD = 2000
MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
LONG: dict[str, Any] = {"max_tokens": 400, "stream": True, "extra_body": {"ignore_eos": True}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    for clone in running_clone(tmp_path_factory.mktemp("edge"), PORT_OFFSET):
        clone.edit({"serving.api_keys": {}, "serving.limits": {"max_requests": MAX_REQUESTS}})
        clone.make("up")
        yield clone


@pytest.fixture(scope="module")
def url(stack: Clone) -> str:
    return stack.outputs()["endpoint"]


def new_key(stack: Clone, name: str) -> str:
    (key,) = re.findall(r"^sk-rayllm-\S+$", stack.make("keys", ADD=name), re.MULTILINE)
    return key


async def stream(url: str, key: str) -> tuple[str, int]:
    """Stream one long answer. Return its finish reason, or the error's code, and the number of chunks."""
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=120) as api:
        try:
            chunks = [
                chunk async for chunk in await api.chat.completions.create(model="tiny", messages=MESSAGES, **LONG)
            ]
        except openai.APIStatusError as error:
            return str(error.code), 0
    return chunks[-1].choices[0].finish_reason or "", len(chunks)


def router_calls(stack: Clone) -> float:
    """Return the requests that LLMRouter has answered, by Serve's metrics."""
    return engine_metric(stack, "deployment_request_counter_total{", prefix="ray_serve_", label="LLMRouter")


def test_a_flood_without_a_key_costs_no_stream_and_no_router_call(stack: Clone, url: str) -> None:
    key = new_key(stack, "streams")
    count = 6
    asyncio.run(stream(url, key))
    wait_until("the first request in the metrics", lambda: router_calls(stack) >= 1, timeout_s=60)
    before = router_calls(stack)

    async def flood(seconds: list[float], statuses: Counter[int]) -> None:
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:

            async def worker() -> None:
                for _ in range(FLOOD // 20):
                    started = time.monotonic()
                    reply = await client.post(f"{url}/chat/completions", json={"model": "tiny", "messages": MESSAGES})
                    seconds.append(time.monotonic() - started)
                    statuses[reply.status_code] += 1

            await asyncio.gather(*(worker() for _ in range(20)))

    async def run() -> tuple[list[tuple[str, int]], list[float], Counter[int]]:
        seconds: list[float] = []
        statuses: Counter[int] = Counter()
        flooding = asyncio.create_task(flood(seconds, statuses))
        answers = await asyncio.gather(*(stream(url, key) for _ in range(count)))
        await flooding
        return answers, seconds, statuses

    answers, seconds, statuses = asyncio.run(run())
    print(
        f"\n{FLOOD} refusals: median {sorted(seconds)[len(seconds) // 2] * 1000:.1f} ms, longest {max(seconds):.3f} s"
    )
    assert statuses == {401: FLOOD}
    assert [reason for reason, _ in answers] == ["length"] * count
    wait_until("the streams in the metrics", lambda: router_calls(stack) >= before + count, timeout_s=60)
    time.sleep(12)  # one more report
    assert router_calls(stack) == before + count


def test_an_overload_is_refused_and_what_was_accepted_is_served(stack: Clone, url: str) -> None:
    key = api_keys.operator_key(Path(stack.outputs()["api_keys"]))

    async def run() -> list[tuple[str, int]]:
        return await asyncio.gather(*(stream(url, key) for _ in range(3 * MAX_REQUESTS)))

    reasons = Counter(reason for reason, _ in asyncio.run(run()))
    print(f"\n{3 * MAX_REQUESTS} streams at once: {dict(reasons)}")
    assert set(reasons) == {"length", "too_many_requests"}
    assert reasons["length"] >= MAX_REQUESTS
    assert asyncio.run(stream(url, key))[0] == "length"


def test_a_revoked_key_fails_alone_while_another_rotates(stack: Clone, url: str) -> None:
    old, stays = new_key(stack, "old"), new_key(stack, "stays")
    results: dict[str, list[tuple[float, str]]] = {old: [], stays: []}

    async def requests(key: str, done: asyncio.Event) -> None:
        while not done.is_set():
            started = time.monotonic()
            async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=60) as api:
                try:
                    await api.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=4)
                    results[key].append((started, "ok"))
                except openai.APIStatusError as error:
                    results[key].append((started, str(error.code)))

    async def run() -> float:
        done = asyncio.Event()
        tasks = [asyncio.create_task(requests(key, done)) for key in (old, stays)]
        running = asyncio.create_task(stream(url, old))
        await asyncio.sleep(2)
        await asyncio.to_thread(new_key, stack, "new")
        await asyncio.to_thread(stack.make, "keys", REVOKE="old")
        revoked = time.monotonic()
        await asyncio.sleep(3)
        done.set()
        await asyncio.gather(*tasks)
        assert (await running)[0] == "length", "a stream that runs is not cut"
        return revoked

    revoked = asyncio.run(run())
    assert {code for _, code in results[stays]} == {"ok"}
    assert {code for at, code in results[old] if at > revoked} == {"invalid_api_key"}
    assert results[old][0][1] == "ok"
