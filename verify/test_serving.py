"""Checks of this computer and of every pod alike."""

from __future__ import annotations

import time

import pytest

from verify import checks
from verify.check_result import CheckResult
from verify.targets import Target

REPORTED_S = 30
"""Seconds until a metric must appear. Ray's processes report every 10 s."""


def assert_ok(result: CheckResult) -> None:
    """Fail the test with the result's detail if the check failed."""
    if not result.ok:
        pytest.fail(f"{result.name}: {result.detail}", pytrace=False)


def test_the_declared_proxy_holds_the_port(server: Target) -> None:
    assert_ok(checks.proxy(server.query, server.port, server.data_path))


def test_a_request_is_answered(server: Target) -> None:
    assert_ok(checks.answered(server.answer, server.data_path))


def test_tokens_come_by_the_declared_path(server: Target) -> None:
    assert_ok(checks.token_path(server.answer, server.actors, server.data_path))


def test_vllm_runs_on_rays_second_executor(head: Target) -> None:
    assert_ok(checks.executor(head.actors))


def test_the_environment_is_as_declared(target: Target) -> None:
    assert_ok(checks.env_vars(target.query, target.env_vars, target.process_tag))


def test_versions_are_as_declared(target: Target) -> None:
    assert_ok(checks.package_versions(target.query, target.package_versions))


def test_metrics_can_be_scraped(target: Target) -> None:
    prefixes = [checks.NODE_METRICS, *([checks.SERVE_METRICS] if target.serves else [])]
    assert_ok(checks.metrics(target.query, target.metrics, *prefixes))


def test_vllm_has_metrics_in_a_replica(servers: list[Target]) -> None:
    """An earlier test has sent a request to one of them."""
    end = time.monotonic() + REPORTED_S
    while not any(checks.metrics(each.query, each.metrics, checks.ENGINE_METRICS).ok for each in servers):
        if time.monotonic() > end:
            pytest.fail(f"no metric of vLLM ({checks.ENGINE_METRICS}...) {REPORTED_S} s after a request", False)
        time.sleep(1)
