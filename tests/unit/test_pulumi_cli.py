"""Which Pulumi CLI the tools use, and the message if there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.bootstrap import pulumi_cli
from tools.bootstrap.console import CliError
from versions import PULUMI_CLI

Put = Callable[[str, str], Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Write a program into an otherwise empty PATH. The cache is empty, too."""
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
    chosen = pulumi_cli.find_or_build()
    assert chosen.official
    assert chosen.path == found.parent
    assert "RAYLLM_LANGUAGE_HOST" not in chosen.env_vars


@pytest.mark.parametrize(("version", "host"), [("v3.100.0", True), (f"v{PULUMI_CLI}", False)], ids=["old", "no host"])
def test_an_incomplete_installation_is_not_used_and_the_error_names_the_remedy(
    put: Put, version: str, host: bool
) -> None:
    put("pulumi", version)
    if host:
        put("pulumi-language-python", "")
    with pytest.raises(CliError, match=r"get\.pulumi\.com.*then run the same command again"):
        pulumi_cli.find_or_build()


def test_go_that_is_too_old_is_named(put: Put) -> None:
    put("go", "go version go1.20.1 linux/amd64")
    with pytest.raises(CliError, match=r"Go 1\.20 is too old.*Go 1\.26"):
        pulumi_cli.find_or_build()


def test_a_build_in_the_cache_is_used_with_this_project_s_host(put: Put) -> None:
    put("go", "must not run")
    folder = pulumi_cli.build_dir()
    folder.mkdir(parents=True)
    (folder / "complete").touch()
    chosen = pulumi_cli.find_or_build()
    assert not chosen.official
    assert chosen.path == folder
    assert chosen.env_vars["RAYLLM_LANGUAGE_HOST"].endswith("language_host.py")
    assert "this project's Python language host" in chosen.label


def test_a_build_of_another_checkout_on_path_is_not_taken_for_an_official_one(put: Put) -> None:
    """`make env` puts the cache's directory on PATH, and its shim may be older than this checkout's."""
    put("pulumi", f"v{PULUMI_CLI}")
    put("pulumi-language-python", "").write_text('#!/bin/sh\nexec python "${RAYLLM_LANGUAGE_HOST:?}" "$@"\n')
    with pytest.raises(CliError, match="Go is missing"):
        pulumi_cli.find_or_build()


def test_the_go_module_pins_the_version_that_is_built() -> None:
    module = (pulumi_cli.HERE / "pulumi_cli_module" / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 v{PULUMI_CLI}" in module
    assert f"github.com/pulumi/pulumi/sdk/v3 v{PULUMI_CLI}" in module
