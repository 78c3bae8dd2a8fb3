"""Which Pulumi CLI is used, and what a person is told where there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.bootstrap import pulumi_cli
from tools.bootstrap.console import Stop
from versions import PULUMI_CLI

Put = Callable[[str, str], Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Writes a program onto an otherwise empty PATH; the cache is empty, too."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def write(name: str, prints: str) -> Path:
        program = programs / name
        program.write_text(f"#!/bin/sh\necho '{prints}'\n")
        program.chmod(0o755)
        return program

    return write


def test_a_complete_installation_on_path_is_used_as_it_is(put: Put) -> None:
    found = put("pulumi", "v9.0.0")
    put("pulumi-language-python", "")
    chosen = pulumi_cli.get()
    assert chosen.official
    assert chosen.path == found.parent
    assert "RAYLLM_LANGUAGE_HOST" not in chosen.environment


@pytest.mark.parametrize(("version", "host"), [("v3.100.0", True), (f"v{PULUMI_CLI}", False)], ids=["old", "no host"])
def test_an_incomplete_one_is_not_used_and_without_go_a_sentence_says_what_to_install(
    put: Put, version: str, host: bool
) -> None:
    put("pulumi", version)
    if host:
        put("pulumi-language-python", "")
    with pytest.raises(Stop, match=r"get\.pulumi\.com.*then run the same command again"):
        pulumi_cli.get()


def test_go_that_is_too_old_is_named(put: Put) -> None:
    put("go", "go version go1.20.1 linux/amd64")
    with pytest.raises(Stop, match=r"Go 1\.20 is too old.*Go 1\.26"):
        pulumi_cli.get()


def test_a_build_in_the_cache_is_used_with_this_project_s_host(put: Put) -> None:
    put("go", "must not run")
    folder = pulumi_cli._folder()
    folder.mkdir(parents=True)
    (folder / "complete").touch()
    chosen = pulumi_cli.get()
    assert not chosen.official
    assert chosen.path == folder
    assert chosen.environment["RAYLLM_LANGUAGE_HOST"].endswith("host.py")
    assert "this project's Python host" in chosen.label


def test_the_go_module_pins_the_version_that_is_built() -> None:
    module = (pulumi_cli.HERE / "pulumi_cli_module" / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 v{PULUMI_CLI}" in module
    assert f"github.com/pulumi/pulumi/sdk/v3 v{PULUMI_CLI}" in module
