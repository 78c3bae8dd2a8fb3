"""What is asked of a computer and of every pod alike."""

from __future__ import annotations

import pytest

from tests.live.places import Place
from workloads import claims
from workloads.claims import Finding


def agrees(finding: Finding) -> None:
    if not finding.holds:
        pytest.fail(f"{finding.claim}? {finding.seen}", pytrace=False)


def test_the_declared_proxy_holds_the_port(entrance: Place) -> None:
    agrees(claims.front(entrance.ask, entrance.port, entrance.terms))


def test_a_completion_streams(entrance: Place) -> None:
    agrees(claims.streams(entrance.answer))


def test_tokens_come_by_the_declared_path(entrance: Place) -> None:
    agrees(claims.route(entrance.answer, entrance.actors, entrance.terms))


def test_vllm_runs_on_rays_second_executor(head: Place) -> None:
    agrees(claims.executor(head.actors))


def test_the_environment_is_as_declared(place: Place) -> None:
    agrees(claims.environment(place.ask, place.environment, place.mark))


def test_versions_are_as_declared(place: Place) -> None:
    agrees(claims.versions(place.ask, place.versions))


def test_metrics_can_be_scraped(place: Place) -> None:
    series = (*claims.NODE_SERIES, *(claims.SERVING_SERIES if place.serves else ()))
    agrees(claims.metrics(place.ask, place.metrics, series))
