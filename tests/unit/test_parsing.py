"""How a mistake in a settings file reads."""

import re
from typing import Any

import pytest
from pydantic import Field

from config.base import Settings
from config.issues import ConfigError
from config.parsing import parse
from config.stack import check
from tests.unit.case import blocks, edited


def display_path(path: str) -> str:
    """`regions.0.zones` as a settings path: `regions[0].zones`."""
    return re.sub(r"\.(\d+)", r"[\1]", path)


def sentence(edit: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refused:
        check("local", edited(blocks("local"), edit))
    (only,) = refused.value.sentences
    return only


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            {"serving.data_pth": "haproxy"},
            "serving.data_pth: unknown setting, because `serving` has no such key. Write `data_path` instead.",
        ),
        (
            {"serving.replicas.num_replcias": 2},
            "serving.replicas.num_replcias: unknown setting, because `serving.replicas` has no such key. Write "
            "`num_replicas` instead.",
        ),
        (
            {"serving.model.id": 7},
            "serving.model.id: 7 is not valid, because the setting is text. Write text, in quotes where YAML "
            "would read "
            "something else.",
        ),
        (
            {"serving.model": {}},
            "serving.model.id: missing, because the setting has no default. Add it; docs/reference/settings.md "
            "describes it.",
        ),
        (
            {"serving.data_path": "nginx"},
            "serving.data_path: 'nginx' is not valid, because the setting has a fixed list of values. Write "
            "`python_proxy`, `haproxy`, `least_connections` or `direct_streaming`.",
        ),
        (
            {"serving.replicas": {"kind": "some"}},
            'serving.replicas: {"kind": "some"} has no known `kind`, because `kind` selects which settings the block '
            "has. Write `kind` with one of `fixed`, `autoscaling`.",
        ),
        (
            {"serving.replicas": {"num_replicas": 2}},
            'serving.replicas: {"num_replicas": 2} has no known `kind`, because `kind` selects which settings '
            "the block "
            "has. Write `kind` with one of `fixed`, `autoscaling`.",
        ),
        *(
            (
                {path: 2},
                f"{path}: 2 is not valid, because the setting is a block. Write a mapping of settings.",
            )
            for path in ("serving.replicas", "serving.engine", "serving.engine.engine_kwargs")
        ),
        (
            {"infra.port_offset": 50},
            "infra.port_offset: 50 is not valid, because the setting has limits. Write a multiple of 200.",
        ),
        *(
            (
                {path: value},
                f"{path}: {shown} is not valid, because the setting is an integer. Write a whole number, without "
                f"quotes.",
            )
            for path, value, shown in (
                ("infra.port_offset", "200", "'200'"),
                ("infra.logical_gpus", True, "true"),
                ("infra.logical_gpus", None, "null"),
            )
        ),
        (
            {"infra.port_offset": 200.5},
            "infra.port_offset: 200.5 is not valid, because the setting is an integer. Write a whole number, "
            "without quotes.",
        ),
        (
            {"infra.logical_gpus": 0},
            "infra.logical_gpus: 0 is not valid, because the setting has limits. Write 1 or more.",
        ),
        (
            {"infra.logical_gpus": 65},
            "infra.logical_gpus: 65 is not valid, because the setting has limits. Write 64 or less.",
        ),
        *(
            (
                {"serving.engine.max_model_len": value},
                f"serving.engine.max_model_len: {shown} is not valid, because it has the wrong form. Write a whole "
                "number of tokens, 1 or more, without quotes; or `auto`, or null.",
            )
            for value, shown in ((0, "0"), (-2, "-2"), ("8192", "'8192'"), (True, "true"), (8.5, "8.5"))
        ),
        (
            {"serving.model.gated": "no"},
            "serving.model.gated: 'no' is not valid, because the setting is a boolean. Write true or false, without "
            "quotes.",
        ),
        (
            {"serving.model.id": "a b"},
            "serving.model.id: 'a b' is not valid, because it has the wrong form. Write up to 96 letters, "
            "digits, dots, "
            "hyphens, underscores and slashes, beginning with a letter or digit.",
        ),
        (
            {"serving.engine.engine_kwargs": {"seed": None}},
            "serving.engine.engine_kwargs.seed: null has the wrong type, because vLLM 0.29.0 takes a whole number, "
            "without quotes, and would reject it only when the GPUs run and cost money. Write a whole number, without "
            "quotes.",
        ),
        ({"servng": {}}, "servng: unknown setting, because the file has no such key. Write `serving` instead."),
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
            "Write an IPv4 range such as 10.0.0.0/16, with no bit set after the prefix.",
        ),
        ("regions.0.node_pools.0.capacity.end_date", "soon", 'Write a date such as "2027-06-30".'),
    ],
    ids=str,
)
def test_ranges_and_days_are_told_how_they_are_written(path: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check("prod", edited(blocks("prod"), {"infra.network": {"kind": "new"}, f"infra.{path}": value}))
    (only,) = refused.value.sentences
    assert only == f"infra.{display_path(path)}: {value!r} is not valid, because it has the wrong form. {expected}"


UNQUOTED = ("2027-06-30", "2027-06-30T00:00:00Z", "2027-06-30 00:00:00 +0000 UTC")
"""The last one is what Pulumi 3 hands on: Go's time.Time.String()."""


def test_a_day_may_be_written_without_quotes() -> None:
    """Pulumi then hands it on as a time."""
    path = "infra.regions.0.node_pools.0.capacity.end_date"
    found = [check("prod", edited(blocks("prod"), {path: day})) for day in UNQUOTED]
    assert found[0] == found[1] == found[2]


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
    (issue,) = refused.value.issues
    assert issue.path == "infra.regions[1].node_pools[1].nam"
    assert issue.fix == "Write `name` instead"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([], "infra.regions: the list has 0 entries, because its length has a limit. Write at least 1 entries."),
        ([{"node_pools": []}], "infra.regions[0].node_pools: the list has 0 entries"),
        ([{"node_pools": [{}]}], "infra.regions[0].node_pools[0].name: missing"),
        (
            3 * [{"node_pools": [{"name": "a"}]}],
            "infra.regions: the list has 3 entries, because its",
        ),
        (
            [{"node_pools": {}}],
            "infra.regions[0].node_pools: {} is not valid, because the setting is a list.",
        ),
    ],
    ids=str,
)
def test_a_list_of_the_wrong_length_is_told_so_and_no_other(raw: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(Regions, "infra", {"regions": raw})
    (only,) = refused.value.sentences
    assert only.startswith(expected)


SECRET = "hf_" + 20 * "x"


@pytest.mark.parametrize(
    ("stack", "edit", "rules"),
    [
        (
            "local",
            {"infra.port_offset": 50, "serving.data_pth": "x"},
            {"settings.out-of-range", "settings.unknown-key"},
        ),
        (
            "local",
            {"infra.port_offset": 50, "serving.engine.engine_kwargs": {"revision": SECRET, "port": 80}},
            {"settings.out-of-range", "settings.secret-in-clear-text", "serving.engine.managed-engine-arg"},
        ),
        (
            "local",
            {"infra.port_offset": 50, "serving.engine.engine_kwargs": {"zzz": 1}},
            {"settings.out-of-range", "serving.engine.unknown-argument"},
        ),
        (
            "local",
            {"infra.port_offset": 50, "serving.models": [{"id": "a"}, {"id": "b"}]},
            {"settings.out-of-range", "serving.several-models"},
        ),
        (
            "prod",
            {"infra.redis.tier": "BASIC", "infra.gateway.hostname": "llm.example.com", "serving.ingress": {}},
            {"infra.gateway.hostname-outside-dns-zone", "compatibility.direct-ingress"},
        ),
        (
            "prod",
            {"infra.redis.tier": "BASIC", "infra.gateway.config_cluster_region": "us-east1"},
            {"infra.redis.basic-tier-with-protect", "infra.gateway.config-cluster-region-unknown"},
        ),
        (
            "dev",
            {"serving.node_pool": "b200", "serving.model.source": "gemma", "infra.regions.0.node_pools.0.name": "L4"},
            {"serving.model.source-invalid", "infra.node_pools.name-invalid"},
        ),
        (
            "dev",
            {"serving.node_pool": "b200", "serving.model.source": "gemma"},
            {"serving.model.source-invalid", "serving.node-pool-unknown"},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_every_issue_is_reported_at_once_and_once(stack: str, edit: dict[str, Any], rules: set[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        check(stack, edited(blocks(stack), edit))
    assert sorted(refused.value.rules) == sorted(rules)
    assert SECRET not in str(refused.value)


def test_a_file_without_blocks_says_which_are_missing() -> None:
    with pytest.raises(ConfigError) as refused:
        check("local", {"infra": None, "serving": None})
    assert refused.value.sentences[0].startswith("infra: ")
