"""The environment of each data path, and that nothing else decides it."""

from pathlib import Path

import pytest

from config.data_path import DATA_PATHS, DataPath
from config.local.infra import LocalInfra
from infra.local import provision
from workloads.local import ray_head

SITE = provision.local_host(LocalInfra(kind="local"), "local", Path("/checkout"))


def test_direct_streaming_turns_on_all_three_pillars() -> None:
    assert dict(DATA_PATHS[DataPath.DIRECT_STREAMING].env_vars) == {
        "RAYLLM_DATA_PATH": "direct_streaming",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        "VLLM_USE_RAY_V2_EXECUTOR_BACKEND": "1",
    }


def test_the_baseline_turns_haproxy_and_direct_streaming_off_by_name() -> None:
    environment = DATA_PATHS[DataPath.PYTHON_PROXY].env_vars
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    assert environment["RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING"] == "0"


def test_every_path_has_terms_and_decides_the_same_variables() -> None:
    assert set(DATA_PATHS) == set(DataPath)
    assert len({frozenset(terms.env_vars) for terms in DATA_PATHS.values()}) == 1


@pytest.mark.parametrize("path", DataPath)
def test_the_head_passes_on_exactly_what_its_data_path_says(path: DataPath) -> None:
    environment = ray_head.ray_env_vars(SITE, path)
    assert {name: environment[name] for name in DATA_PATHS[path].env_vars} == dict(DATA_PATHS[path].env_vars)


def test_nothing_is_inherited_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ray_head.ray_env_vars(SITE, DataPath.DIRECT_STREAMING)
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert ray_head.ray_env_vars(SITE, DataPath.DIRECT_STREAMING) == before


def test_two_paths_differ_only_in_what_the_path_decides() -> None:
    first, *others = (ray_head.ray_env_vars(SITE, path) for path in DataPath)
    for other in others:
        differing = {name for name in first | other if first.get(name) != other.get(name)}
        assert differing <= set(DATA_PATHS[DataPath.DIRECT_STREAMING].env_vars)
