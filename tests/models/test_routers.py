"""Where requests land with each request router, on each data path, with two replicas."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from config.data_path import DataPath
from tests.harness.local_stack import Clone

HEADER = "x-conversation"
SESSIONS = 12
"""The chance that two replicas share them in no way is 1 in 2,000."""
REPEATS = 3
PATHS = [DataPath.DIRECT_STREAMING, DataPath.PYTHON_PROXY]
ROUTER_BACKEND = "-via-ingress-request-router"


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    outputs: Mapping[str, Any]

    def replica_of(self, prompt: str, **headers: str) -> str:
        """Send one request. Return the replica that answered it."""
        before = self._served()
        request = {"model": "tiny", "prompt": prompt, "max_tokens": 1}
        url = f"{self.outputs['endpoint']}/completions"
        response = httpx2.post(url, json=request, headers=headers, timeout=120, trust_env=False)
        assert response.status_code == 200, response.text
        (replica,) = self._served() - before
        return replica

    def _served(self) -> Counter[str]:
        """Return replica -> requests so far: by HAProxy's statistics, or else by the replicas' logs."""
        if self.outputs["data_path"] == DataPath.DIRECT_STREAMING:
            table = httpx2.get(f"{self.outputs['haproxy_stats']};csv", trust_env=False).text
            rows = csv.DictReader(table.removeprefix("# ").splitlines())
            servers = (row for row in rows if row["pxname"].endswith(ROUTER_BACKEND) and row["svname"] != "BACKEND")
            return Counter({row["svname"]: int(row["stot"] or 0) for row in servers})
        logs = Path(self.outputs["data_dir"]) / "ray" / "session_latest" / "logs" / "serve"
        calls = re.compile(r"CALL \S*completions OK")
        return Counter(
            {log.name: len(calls.findall(log.read_text())) for log in logs.glob("replica_llm_LLMServer*.log")}
        )


def started(clone: Clone, path: DataPath, router: object) -> Stack:
    clone.edit(
        {
            "serving.data_path": path.value,
            "serving.model": {"id": "tiny", "source": "tiny-random"},
            "serving.replicas": {"kind": "fixed", "num_replicas": 2},
            "serving.request_router": router,
        }
    )
    clone.make("up")
    return Stack(clone.outputs())


@pytest.mark.parametrize("path", PATHS)
def test_a_session_stays_with_one_replica_and_sessions_spread(clone: Clone, path: DataPath) -> None:
    stack = started(clone, path, {"kind": "session", "header": HEADER})
    replicas = {
        session: {stack.replica_of(f"{session} {turn}", **{HEADER: f"user-{session}"}) for turn in range(REPEATS)}
        for session in range(SESSIONS)
    }
    assert {len(each) for each in replicas.values()} == {1}, replicas
    assert len(set().union(*replicas.values())) == 2, replicas


@pytest.mark.parametrize("path", PATHS)
def test_prompts_with_one_beginning_go_to_one_replica(clone: Clone, path: DataPath) -> None:
    stack = started(clone, path, "prefix_cache_affinity")
    beginnings = {letter: f"{letter} " * 400 for letter in "abcdefgh"}
    replicas = {
        letter: {stack.replica_of(f"{beginning}{turn}") for turn in range(REPEATS)}
        for letter, beginning in beginnings.items()
    }
    assert {len(each) for each in replicas.values()} == {1}, replicas
    assert len(set().union(*replicas.values())) == 2, replicas
