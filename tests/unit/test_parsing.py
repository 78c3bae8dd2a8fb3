"""How a mistake in a settings file reads."""

from typing import Any

import pytest
from pydantic import Field

from config.base import Settings
from config.issues import ConfigError
from config.parsing import parse
from config.stack import check
from tests.unit.case import blocks, edited


def sentence(edit: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refused:
        check("local", edited(blocks("local"), edit))
    (only,) = refused.value.sentences
    return only


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({"serving.data_pth": "haproxy"}, "serving.data_pth is not a setting; did you mean `data_path`?"),
        (
            {"serving.replicas.num_replcias": 2},
            "serving.replicas.num_replcias is not a setting; did you mean `num_replicas`?",
        ),
        ({"serving.model.id": 7}, "serving.model.id is 7; write text, in quotes where YAML would read something else."),
        (
            {"serving.model": {}},
            "serving.model.id is required and missing; add it (docs/reference/settings.md says what it means).",
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
        ({"serving.engine.engine_kwargs": 2}, "serving.engine.engine_kwargs is 2; write a mapping of settings."),
        ({"infra.port_offset": 50}, "infra.port_offset is 50; write a multiple of 200."),
        ({"infra.port_offset": "200"}, "infra.port_offset is '200'; write a whole number."),
        ({"infra.port_offset": 200.5}, "infra.port_offset is 200.5; write a whole number."),
        ({"infra.logical_gpus": True}, "infra.logical_gpus is true; write a whole number."),
        ({"infra.logical_gpus": None}, "infra.logical_gpus is null; write a whole number."),
        ({"infra.logical_gpus": 0}, "infra.logical_gpus is 0; write 1 or more."),
        ({"infra.logical_gpus": 65}, "infra.logical_gpus is 65; write 64 or less."),
        ({"serving.model.gated": "no"}, "serving.model.gated is 'no'; write true or false."),
        (
            {"serving.model.id": "a b"},
            "serving.model.id is 'a b'; write up to 96 letters, digits, dots, hyphens, underscores and slashes, a "
            "letter or digit first.",
        ),
        (
            {"serving.engine.engine_kwargs": {"seed": None}},
            "serving.engine.engine_kwargs.seed is null; write a number, text, or true or false.",
        ),
        ({"servng": {}}, "servng is not a setting; did you mean `serving`?"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_mistake_is_named_by_its_path_with_what_to_write(edit: dict[str, Any], expected: str) -> None:
    assert sentence(edit) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "network.base_cidr",
            "10.1.2.3/8",
            "write an IPv4 range such as 10.0.0.0/16, with no bit set after its prefix.",
        ),
        ("regions.0.node_pools.0.capacity.end_date", "soon", 'write a day, such as "2027-06-30".'),
    ],
    ids=str,
)
def test_ranges_and_days_are_told_how_they_are_written(path: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check("prod", edited(blocks("prod"), {"infra.network": {"kind": "new"}, f"infra.{path}": value}))
    (only,) = refused.value.sentences
    assert only.endswith(f"is {value!r}; {expected}")


def test_a_day_may_be_written_without_quotes() -> None:
    """Pulumi then hands it on as a time."""
    path = "infra.regions.0.node_pools.0.capacity.end_date"
    found = [check("prod", edited(blocks("prod"), {path: day})) for day in ("2027-06-30", "2027-06-30T00:00:00Z")]
    assert found[0] == found[1]


def test_a_secret_is_never_repeated() -> None:
    told = sentence({"serving.model.gated": "hf_" + 20 * "x"})
    assert "serving.model.gated" in told
    assert "hf_" not in told


class Pool(Settings):
    """A list's member."""

    name: str


class Region(Settings):
    """Something with lists inside lists."""

    node_pools: tuple[Pool, ...] = Field(min_length=1)


class Regions(Settings):
    """The whole."""

    regions: tuple[Region, ...] = Field(min_length=1, max_length=2)


def test_a_mistake_inside_lists_is_named_by_its_place_in_each() -> None:
    with pytest.raises(ConfigError) as refused:
        parse(
            Regions,
            "infra",
            {"regions": [{"node_pools": [{"name": "a"}]}, {"node_pools": [{"name": "a"}, {"name": "b", "nam": "c"}]}]},
        )
    assert refused.value.sentences == ("infra.regions[1].node_pools[1].nam is not a setting; did you mean `name`?",)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([], "infra.regions has 0 entries and needs at least 1."),
        ([{"node_pools": []}], "infra.regions[0].node_pools has 0 entries and needs at least 1."),
        ([{"node_pools": [{}]}], "infra.regions[0].node_pools[0].name is required and missing"),
        (3 * [{"node_pools": [{"name": "a"}]}], "infra.regions has 3 entries and takes at most 2."),
        ([{"node_pools": {}}], "infra.regions[0].node_pools is {}; write a list."),
    ],
    ids=str,
)
def test_a_list_of_the_wrong_length_is_told_so_and_no_other(raw: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(Regions, "infra", {"regions": raw})
    (only,) = refused.value.sentences
    assert only.startswith(expected)


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        check("local", edited(blocks("local"), {"infra.port_offset": 50, "serving.data_pth": "x"}))
    assert len(refused.value.sentences) == 2


def test_a_file_without_blocks_says_which_are_missing() -> None:
    with pytest.raises(ConfigError) as refused:
        check("local", {"infra": None, "serving": None})
    assert refused.value.sentences[0].startswith("infra ")
