"""State backend, plugin and credentials of a command on a cloud stack."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

import paths
from tools import cli, stack_context
from tools.bootstrap.console import CliError
from tools.bootstrap.pulumi_cli import PulumiCli

OFFICIAL = PulumiCli(Path("/usr/bin"), "official", official=True)
BUILT = PulumiCli(Path("/cache"), "built", official=False)


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout with two files of a stack, and an empty home directory."""
    (tmp_path / "Pulumi.yaml").write_text("name: rayllm\n")
    (tmp_path / "Pulumi.prod.yaml").write_text("secretsprovider: gcpkms://k\nencryptedkey: abc\nconfig:\n  a: 1\n")
    for name in (*stack_context.CREDENTIALS, "CLOUD", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(stack_context, "CHECKOUT", tmp_path)
    monkeypatch.setattr(stack_context, "OFFLINE", tmp_path / ".state" / "offline")
    monkeypatch.setattr(stack_context.venvs, "ensure_program", lambda *_: None)
    # The plugins and the control planes, which tests/engine and tests/cluster start.
    monkeypatch.setattr(
        stack_context, "subprocess", SimpleNamespace(run=lambda *_, **__: SimpleNamespace(returncode=0))
    )


def test_credentials_select_your_own_state_and_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")
    found = stack_context.resolve("prod", OFFICIAL, changes=True)
    assert found.env_vars == {}
    assert found.config_file is None
    assert "your credentials" in found.label


def test_credentials_of_the_google_cloud_cli_count(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").touch()
    assert stack_context.resolve("prod", OFFICIAL, changes=True).env_vars == {}


@pytest.mark.parametrize("cli", [OFFICIAL, BUILT], ids=["official", "built"])
def test_a_preview_without_credentials_leaves_the_teams_state_and_file_alone(cli: PulumiCli, tmp_path: Path) -> None:
    before = (tmp_path / "Pulumi.prod.yaml").read_text()
    found = stack_context.resolve("prod", cli, changes=False)
    assert found.env_vars["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/.state/offline/backend"
    assert found.config_file is not None
    assert found.config_file.read_text() == "config:\n  a: 1\n"
    assert (tmp_path / "Pulumi.prod.yaml").read_text() == before
    assert ("rehearsal" in found.label) is not cli.official


def test_the_salt_that_pulumi_wrote_stays_in_the_next_copy() -> None:
    first = stack_context.resolve("prod", BUILT, changes=False).config_file
    assert first is not None
    first.write_text(first.read_text() + "encryptionsalt: v1:abc\n")
    again = stack_context.resolve("prod", BUILT, changes=False).config_file
    assert again is not None
    assert again.read_text() == "config:\n  a: 1\nencryptionsalt: v1:abc\n"


def test_an_up_without_credentials_says_how_to_get_them() -> None:
    with pytest.raises(CliError, match="gcloud auth application-default login"):
        stack_context.resolve("prod", OFFICIAL, changes=True)


def test_an_up_without_the_real_plugin_says_where_to_get_it_and_how_to_rehearse() -> None:
    with pytest.raises(CliError, match=r"Install Pulumi .*CLOUD=rehearsal"):
        stack_context.resolve("prod", BUILT, changes=True)


@pytest.mark.parametrize("cli", [OFFICIAL, BUILT], ids=["official", "built"])
def test_cloud_rehearsal_selects_the_rehearsal(cli: PulumiCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD", "rehearsal")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")
    found = stack_context.resolve("prod", cli, changes=True)
    assert "rehearsal" in found.label
    assert found.env_vars["GOOGLE_OAUTH_ACCESS_TOKEN"] == "offline"


def test_a_rehearsed_command_enters_its_network_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the network namespace of the control planes, once they run. A preview does not start them."""
    monkeypatch.setenv("CLOUD", "rehearsal")
    assert stack_context.resolve("prod", BUILT, changes=False).command_prefix == ()
    (tmp_path / ".state" / "offline" / "planes" / "prod").mkdir(parents=True)
    inside = stack_context.resolve("prod", BUILT, changes=True).command_prefix
    assert inside[-3:] == ("run", str(tmp_path / ".state" / "offline" / "planes" / "prod"), "--")


@pytest.mark.parametrize("word", ["standin", "stand-in", "google", "no", "Rehearsal"])
def test_an_unknown_cloud_is_not_the_real_one(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("CLOUD", word)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")
    with pytest.raises(CliError, match=f"CLOUD={word} is unknown. Nothing was changed. Write CLOUD=rehearsal"):
        stack_context.resolve("prod", OFFICIAL, changes=True)


@pytest.mark.parametrize("name", ["dev x", "", "x" * 400, "../prod", "prod;ls", "$(ls)"])
def test_a_word_that_is_no_name_of_a_stack_is_refused(name: str) -> None:
    with pytest.raises(CliError, match="is no name of a stack"):
        stack_context.require_stack_file(name)


def test_the_shell_splits_no_stack_name() -> None:
    """`make preview STACK='dev x'` was a preview of dev."""
    command = ["make", "--no-print-directory", "--dry-run", "--file", str(paths.CHECKOUT / "Makefile"), "preview"]
    done = subprocess.run([*command, "STACK=dev x; ls"], capture_output=True, text=True)
    assert 'tools.cli preview "$STACK"' in done.stdout
    assert "dev x" not in done.stdout


@pytest.mark.parametrize(
    ("word", "confirmed"), [("", False), ("1", True), ("yes", True), ("true", True), ("dev", True)]
)
def test_yes_answers_the_question_of_up(monkeypatch: pytest.MonkeyPatch, word: str, confirmed: bool) -> None:
    monkeypatch.setenv("YES", word)
    assert cli._confirmed_up("dev") is confirmed


@pytest.mark.parametrize("word", ["no", "0", "false", "prod"])
def test_a_word_that_may_mean_no_is_no_yes(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("YES", word)
    with pytest.raises(CliError, match=f"YES={word} is unknown. Nothing was changed. Write YES=1 or YES=dev"):
        cli.up("dev")
