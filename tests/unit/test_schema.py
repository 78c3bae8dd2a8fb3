"""How a mistake in a settings file reads."""

from typing import Any

import pytest
from pydantic import Field

from environment import check
from schema import Refused, Settings, parse
from tests.unit.case import blocks, edited


def sentence(edit: dict[str, Any]) -> str:
    with pytest.raises(Refused) as refused:
        check("local", edited(blocks("local"), edit))
    (only,) = refused.value.sentences
    return only


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({"serving.data_pth": "haproxy"}, "serving.data_pth is not a setting; did you mean `data_path`?"),
        ({"serving.replicas.cuont": 2}, "serving.replicas.cuont is not a setting; did you mean `count`?"),
        ({"serving.model.id": 7}, "serving.model.id is 7: input should be a valid string."),
        (
            {"serving.model": {}},
            "serving.model.id is required and missing; add it (docs/settings.md says what it means).",
        ),
        (
            {"serving.data_path": "nginx"},
            "serving.data_path is 'nginx'; write one of 'python_proxy' or 'direct_streaming'.",
        ),
        (
            {"serving.replicas": {"kind": "some"}},
            "serving.replicas needs `kind`, one of 'fixed', 'autoscaling'; got {'kind': 'some'}.",
        ),
        (
            {"serving.replicas": {"count": 2}},
            "serving.replicas needs `kind`, one of 'fixed', 'autoscaling'; got {'count': 2}.",
        ),
        ({"serving.replicas": 2}, "serving.replicas is 2; write a mapping of settings."),
        ({"serving.engine": 2}, "serving.engine is 2; write a mapping of settings."),
        ({"serving.engine.arguments": 2}, "serving.engine.arguments is 2; write a mapping of settings."),
        ({"infra.port_offset": 50}, "infra.port_offset is 50: input should be a multiple of 200."),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_mistake_is_named_by_its_path_with_what_to_write(edit: dict[str, Any], expected: str) -> None:
    assert sentence(edit) == expected


class Pool(Settings):
    """A list's member."""

    name: str


class Region(Settings):
    """Something with lists inside lists."""

    pools: tuple[Pool, ...] = Field(min_length=1)


class Regions(Settings):
    """The whole."""

    regions: tuple[Region, ...] = Field(min_length=1, max_length=2)


def test_a_mistake_inside_lists_is_named_by_its_place_in_each() -> None:
    with pytest.raises(Refused) as refused:
        parse(
            Regions,
            "infra",
            {"regions": [{"pools": [{"name": "a"}]}, {"pools": [{"name": "a"}, {"name": "b", "nam": "c"}]}]},
        )
    assert refused.value.sentences == ("infra.regions[1].pools[1].nam is not a setting; did you mean `name`?",)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([], "infra.regions has 0 entries and needs at least 1."),
        ([{"pools": []}], "infra.regions[0].pools has 0 entries and needs at least 1."),
        ([{"pools": [{}]}], "infra.regions[0].pools[0].name is required and missing"),
        (3 * [{"pools": [{"name": "a"}]}], "infra.regions has 3 entries and takes at most 2."),
        ([{"pools": {}}], "infra.regions[0].pools is {}; write a list."),
    ],
    ids=str,
)
def test_a_list_of_the_wrong_length_is_told_so_and_no_other(raw: Any, expected: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(Regions, "infra", {"regions": raw})
    (only,) = refused.value.sentences
    assert only.startswith(expected)


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(Refused) as refused:
        check("local", edited(blocks("local"), {"infra.port_offset": 50, "serving.data_pth": "x"}))
    assert len(refused.value.sentences) == 2


def test_a_file_without_blocks_says_which_are_missing() -> None:
    with pytest.raises(Refused) as refused:
        check("local", {"infra": None, "serving": None})
    assert refused.value.sentences[0].startswith("infra ")
