"""Each kind of model on each data path that has a route for it.

The tests of a data path share one stack, and each replaces the model of the test before.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from config.data_path import DATA_PATHS, DataPath
from tests.harness.local_stack import Clone, printed_checks
from tests.harness.waiting import wait_until
from tests.models import kinds
from tests.models.kinds import Kind
from workloads.kubernetes.pod_scripts import readiness, startup_probe

DIRECT = (
    kinds.CHAT,
    kinds.COMPLETION,
    kinds.EMBEDDING,
    kinds.DECODER_EMBEDDING,
    kinds.CLASSIFICATION,
    kinds.TOKEN_CLASSIFICATION,
    kinds.RERANKER,
    kinds.TRANSCRIPTION,
)
INGRESS = (kinds.COMPLETION, kinds.EMBEDDING, kinds.SCORE, kinds.TRANSCRIPTION)
"""Kinds that OpenAiIngress has routes for (docs/reference/routes.md). tests/serving covers chat."""
FAILED_CHECKS_S = 60
"""Generous for a busy computer: Serve and HAProxy notice a dead engine in two or three seconds."""


@pytest.fixture(scope="module")
def models(clone: Clone) -> Clone:
    kinds.make_models(clone, *DIRECT)
    return clone


def proxy_of(clone: Clone) -> tuple[int, bool, bool]:
    """Return the port of the proxy, whether it is HAProxy, and whether replicas are their own ingress. Let the scripts
    find HAProxy's socket."""
    outputs = clone.outputs()
    os.environ["RAY_SERVE_HAPROXY_SOCKET_PATH"] = str(Path(outputs["data_dir"]) / "admin.sock")
    port = int(re.findall(r":(\d+)/", outputs["endpoint"])[0])
    path = DATA_PATHS[DataPath(outputs["data_path"])]
    return port, path.haproxy, path.direct


def assert_serves(clone: Clone, kind: Kind) -> None:
    kinds.select(clone, kind)
    printed = clone.make("up")
    assert set(printed_checks(printed).values()) == {"ok"}, printed
    assert f"\n  {kind.printed}: " in printed, printed
    kind.ask(kinds.client(clone))
    assert startup_probe.not_ready_reason(*proxy_of(clone)) is None
    assert readiness.Readiness(*proxy_of(clone)).not_ready_reason() is None


@pytest.mark.parametrize("kind", DIRECT, ids=lambda kind: kind.model)
def test_direct_streaming_serves(models: Clone, kind: Kind) -> None:
    assert_serves(models, kind)


def test_a_dead_engine_makes_the_pod_unready_until_serve_has_replaced_it(models: Clone) -> None:
    """The last model of the tests above completes no text."""
    assert_readiness_follows_the_engine(models)


@pytest.mark.parametrize("kind", DIRECT, ids=lambda kind: kind.model)
def test_least_connections_serves(models: Clone, kind: Kind) -> None:
    models.edit({"serving.data_path": "least_connections"})
    assert_serves(models, kind)


@pytest.mark.parametrize("kind", INGRESS, ids=lambda kind: kind.model)
def test_haproxy_serves(models: Clone, kind: Kind) -> None:
    models.edit({"serving.data_path": "haproxy"})
    assert_serves(models, kind)


def test_a_dead_engine_makes_the_pod_unready_behind_the_ingress(models: Clone) -> None:
    assert_readiness_follows_the_engine(models)


@pytest.mark.parametrize("kind", INGRESS, ids=lambda kind: kind.model)
def test_python_proxy_serves(models: Clone, kind: Kind) -> None:
    models.edit({"serving.data_path": "python_proxy"})
    assert_serves(models, kind)


def test_a_dead_engine_makes_the_pod_unready_on_the_python_proxy(models: Clone) -> None:
    assert_readiness_follows_the_engine(models)


def test_a_kind_without_a_route_fails_with_the_page_that_lists_them(models: Clone) -> None:
    kinds.select(models, kinds.CLASSIFICATION)
    printed = models.make("up", ok=False)
    assert printed_checks(printed)["a request is answered"] == "FAILED", printed
    assert "docs/reference/routes.md" in printed


def assert_readiness_follows_the_engine(clone: Clone) -> None:
    """Kill the engine of the transcription model."""
    proxy = proxy_of(clone)
    (engine,) = (process for process in clone.processes() if process.name().startswith("VLLM::EngineCor"))
    engine.kill()
    killed = time.monotonic()
    wait_until("unready", readiness.Readiness(*proxy).not_ready_reason, timeout_s=FAILED_CHECKS_S, interval_s=0.2)
    print(f"unready {time.monotonic() - killed:.1f} s after the engine's death")
    wait_until("a new engine", lambda: readiness.Readiness(*proxy).not_ready_reason() is None, timeout_s=600)
    print(f"ready {time.monotonic() - killed:.1f} s after the engine's death")
    kinds.TRANSCRIPTION.ask(kinds.client(clone))
