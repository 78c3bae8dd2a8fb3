"""The compatibility table against versions, and against the vLLM that is installed."""

import ast
import re
from dataclasses import replace

import pytest
from packaging.version import Version

import versions
from config import compatibility
from config.compatibility import INCOMPATIBILITIES, PARSERS, Incompatibility
from config.model_service import Engine, Model, ModelService
from config.upstream_limits import UPSTREAM_LIMITS
from config.vllm_arguments import ENGINE_ARGUMENT_NAMES
from paths import CHECKOUT
from tools.compatibility import compat, lines

(PARSER,) = (row for row in INCOMPATIBILITIES if row.rule.id == "compatibility.unknown-parser")
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
    ("ray", "holds"),
    [("2.59.9", False), ("2.60.0", True), ("2.60.11", True), ("2.61.0", False), ("2.100.0", False)],
)
def test_a_row_holds_for_its_versions_only(ray: str, holds: bool) -> None:
    assert PARSER.applies_to(ray) is holds
    found = list(compatibility.find_issues(service(reasoning_parser="nope"), ray))
    assert [issue.rule for issue in found] == ([PARSER.rule.id] if holds else [])


def test_a_parser_of_ones_own_is_allowed() -> None:
    own = service(reasoning_parser="ours", reasoning_parser_plugin="/opt/ours.py")
    assert list(compatibility.find_issues(own)) == []


def test_one_rank_is_no_data_parallelism() -> None:
    assert list(compatibility.find_issues(service(data_parallel_size=1, pipeline_parallel_size=1))) == []


def test_a_newer_ray_makes_a_row_obsolete_and_that_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert compat(ray="2.61.0") == 0
    assert compat(ray="2.61.0", strict=True) == 1
    assert "expired: compatibility.unknown-parser since Ray 2.61.0" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("argument", "registry"),
    [("reasoning_parser", "reasoning/__init__.py"), ("tool_call_parser", "tool_parsers/__init__.py")],
)
def test_the_parser_names_are_vllms_own(argument: str, registry: str) -> None:
    found = list(CHECKOUT.glob(f".venv-ray/lib/python3*/site-packages/vllm/{registry}"))
    if not found:
        pytest.skip("vLLM is not installed here; `make up` or the serving tier installs it")
    assert set(re.findall(r'^    "([\w.-]+)": \(', found[0].read_text(), re.MULTILINE)) == PARSERS[argument]


def test_the_argument_names_are_vllms_own() -> None:
    found = list(CHECKOUT.glob(".venv-ray/lib/python3*/site-packages/vllm"))
    if not found:
        pytest.skip("vLLM is not installed here; `make up` or the serving tier installs it")
    fields = {
        field.target.id
        for file in ("engine/arg_utils.py", "entrypoints/launchers/cli_args.py")
        for each in ast.parse((found[0] / file).read_text()).body
        if isinstance(each, ast.ClassDef) and re.fullmatch("(Async)?EngineArgs|(Base)?FrontendArgs", each.name)
        for field in each.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    assert {name for name in fields if not name.startswith("_")} == ENGINE_ARGUMENT_NAMES
