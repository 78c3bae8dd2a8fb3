"""The compatibility table against versions, and against the vLLM that is installed."""

import re
from dataclasses import replace

import pytest
from packaging.version import Version

import versions
from config import compatibility
from config.compatibility import INCOMPATIBILITIES, Incompatibility
from config.model_service import Engine, Model, ModelService
from config.upstream_limits import UPSTREAM_LIMITS
from tools.compatibility import compat, lines

(POOLING,) = (row for row in INCOMPATIBILITIES if row.rule.id == "compatibility.direct-pooling")
UPSTREAM = re.compile(r"ray-project/(ray|kuberay)#\d+|(ray|vllm|ray-operator)/[\w/.-]+\.(py|go)")


def service(**arguments: bool | int | float | str) -> ModelService:
    return ModelService(model=Model(id="m"), engine=Engine(engine_kwargs=arguments))


@pytest.mark.parametrize("row", INCOMPATIBILITIES, ids=lambda row: row.rule.id)
def test_every_row_names_where_it_is_known_from(row: Incompatibility) -> None:
    assert all(UPSTREAM.fullmatch(each) for each in row.rule.source.split(", "))


def test_every_note_names_where_it_is_known_from() -> None:
    assert [
        n.behaviour for n in UPSTREAM_LIMITS if not all(UPSTREAM.fullmatch(each) for each in n.source.split(", "))
    ] == []


def test_a_limit_that_ray_repaired_belongs_to_versions_that_existed() -> None:
    for limit in UPSTREAM_LIMITS:
        bounds = [Version(bound) for bound in (limit.since, limit.until) if bound]
        assert bounds == sorted(bounds), limit.behaviour
        assert all(Version(versions.RAY_FLOOR) <= bound <= Version(versions.RAY) for bound in bounds), limit.behaviour


def test_models_that_pool_have_no_routes_on_the_direct_path_of_the_oldest_ray_only() -> None:
    embedding = service(runner="pooling")
    found = {ray: [i.rule for i in compatibility.find_issues(embedding, ray)] for ray in ("2.56.1", "2.57.0")}
    assert found == {"2.56.1": ["compatibility.direct-pooling"], "2.57.0": []}


def test_no_row_is_obsolete_with_the_pinned_ray() -> None:
    assert [row.rule.id for row in compatibility.expired()] == []


@pytest.mark.parametrize(
    ("ray", "holds"), [("2.56.1", True), ("2.56.11", True), ("2.57.0", False), ("2.60.0", False), ("2.100.0", False)]
)
def test_a_row_holds_for_its_versions_only(ray: str, holds: bool) -> None:
    assert POOLING.applies_to(ray) is holds


def test_one_rank_is_no_data_parallelism() -> None:
    assert list(compatibility.find_issues(service(data_parallel_size=1, pipeline_parallel_size=1))) == []


def test_a_newer_ray_makes_a_row_obsolete_and_that_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [replace(row, until="2.61.0") for row in INCOMPATIBILITIES if not row.repaired][:1]
    assert compat(rows=rows, ray="2.61.0") == 0
    assert compat(rows=rows, ray="2.61.0", strict=True) == 1
    assert f"expired: {rows[0].rule.id} since Ray 2.61.0" in capsys.readouterr().out


def test_an_obsolete_row_is_not_printed_as_one_that_holds() -> None:
    rows = [replace(row, until=versions.RAY_FLOOR) for row in INCOMPATIBILITIES]
    printed = "\n".join(lines(rows))
    assert printed.count("expired: ") == len(INCOMPATIBILITIES)
    assert "\n  direct-ingress " not in printed
    assert "\n  direct-ingress " in "\n".join(lines())


def test_an_older_ray_has_more_limits_than_the_pinned_one() -> None:
    old, new = ("\n".join(lines(ray=ray)) for ray in ("2.56.1", versions.RAY))
    for limit in ("one request router for all nodes", "an error of the engine on the direct path"):
        assert limit in old
        assert limit not in new
    assert "ray-project/ray#66056" in new


def test_strict_is_content_now() -> None:
    assert compat(strict=True) == 0
