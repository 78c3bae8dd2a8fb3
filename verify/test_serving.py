"""What is asked of a computer and of every pod alike."""

from __future__ import annotations

import time

import pytest

from verify import checks
from verify.checks import Finding
from verify.targets import Place

REPORTED_S = 30
"""Ray's processes report what they have counted every 10 s."""


def agrees(finding: Finding) -> None:
    if not finding.holds:
        pytest.fail(f"{finding.claim}? {finding.seen}", pytrace=False)


def test_the_declared_proxy_holds_the_port(entrance: Place) -> None:
    agrees(checks.front(entrance.ask, entrance.port, entrance.terms))


def test_a_completion_streams(entrance: Place) -> None:
    agrees(checks.streams(entrance.answer))


def test_tokens_come_by_the_declared_path(entrance: Place) -> None:
    agrees(checks.route(entrance.answer, entrance.actors, entrance.terms))


def test_vllm_runs_on_rays_second_executor(head: Place) -> None:
    agrees(checks.executor(head.actors))


def test_the_environment_is_as_declared(place: Place) -> None:
    agrees(checks.environment(place.ask, place.environment, place.mark))


def test_versions_are_as_declared(place: Place) -> None:
    agrees(checks.versions(place.ask, place.versions))


def test_metrics_can_be_scraped(place: Place) -> None:
    kinds = [checks.NODE_SERIES, *([checks.SERVE_SERIES] if place.serves else [])]
    agrees(checks.metrics(place.ask, place.metrics, *kinds))


def test_vllm_has_metrics_in_a_replica(entrances: list[Place]) -> None:
    """By now one of them has had a request."""
    end = time.monotonic() + REPORTED_S
    while not any(checks.metrics(each.ask, each.metrics, checks.ENGINE_SERIES).holds for each in entrances):
        if time.monotonic() > end:
            pytest.fail(f"no time series of vLLM ({checks.ENGINE_SERIES}...) {REPORTED_S} s after a completion", False)
        time.sleep(1)
