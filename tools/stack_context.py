"""Choose state backend, `gcp` plugin and credentials for a command on a cloud stack.

With an official Pulumi and Google credentials: your own, all of them. Without credentials a preview still works: it
runs against an empty state of its own below .state/, so it shows every resource as new and changes nothing anywhere.
`CLOUD=rehearsal`, or a CLI built from Go modules, selects the rehearsal. Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from paths import CHECKOUT
from tools.bootstrap import pulumi_cli, venvs
from tools.bootstrap.console import CliError

OFFLINE = CHECKOUT / ".state" / "offline"
"""States, plugins and copied stack files of commands that run without Google."""
CREDENTIALS = ("GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS")
REHEARSAL = "rehearsal"
"""Value of the variable CLOUD that selects the rehearsal, also where the real plugin and credentials exist."""


@dataclass(frozen=True)
class StackContext:
    """The context in which one `pulumi` command on a stack runs."""

    env_vars: dict[str, str]
    """Variables on top of the shell's."""
    label: str = ""
    """One line for the console."""
    config_file: Path | None = None
    """Pulumi's `--config-file`; None for the stack's file in the checkout."""
    command_prefix: tuple[str, ...] = ()
    """Words before `pulumi`. They enter the network namespace of the control planes, if the stack has any."""


STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
"""Names that Pulumi accepts for a stack."""


def require_stack_file(stack: str) -> None:
    """Raise `CliError` unless `stack` is a stack's name and its file exists."""
    known = ", ".join(sorted(f.name.split(".")[1] for f in CHECKOUT.glob("Pulumi.*.yaml")))
    if not STACK_NAME.fullmatch(stack):
        shown = stack if len(stack) <= 60 else f"{stack[:57]}..."
        raise CliError(
            f"STACK={shown!r} is no name of a stack, because a name has at most 100 letters, digits, hyphens, "
            f"underscores and dots. Use STACK=one of {known}."
        )
    if not (CHECKOUT / f"Pulumi.{stack}.yaml").exists():
        raise CliError(f"Stack {stack} is unknown: Pulumi.{stack}.yaml does not exist. Use STACK=one of {known}.")


def _rehearsal_requested() -> bool:
    """Return whether CLOUD asks for the rehearsal. Raises `CliError` for any other word: it would be the real cloud."""
    cloud = os.environ.get("CLOUD", "")
    if cloud not in ("", REHEARSAL):
        raise CliError(
            f"CLOUD={cloud[:60]} is unknown. Nothing was changed. Write CLOUD={REHEARSAL} for a rehearsal without "
            "Google, or leave CLOUD out for the real cloud."
        )
    return bool(cloud)


def resolve(stack: str, cli: pulumi_cli.PulumiCli, *, changes: bool) -> StackContext:
    """Return the context for a command on the cloud stack `stack`. `changes` is False for a preview.

    Raises `CliError` if the command changes resources and there is no real `gcp` plugin, or no credentials.
    """
    requested = _rehearsal_requested()
    if requested or not cli.official:
        if changes and not requested:
            raise CliError(
                f"Stack {stack} needs Pulumi's `gcp` plugin, which a CLI built from Go modules cannot download. "
                f"Install Pulumi ({pulumi_cli.INSTALL_URL}), or run a rehearsal without Google: CLOUD={REHEARSAL}."
            )
        return _rehearsal_context(stack, changes=changes)
    if _has_credentials():
        return StackContext({}, "the real gcp plugin, with your credentials and your state backend")
    if changes:
        raise CliError(
            f"Stack {stack} is on Google Cloud and there are no Google credentials. Run `gcloud auth "
            f"application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS. `make preview` works without."
        )
    label = "the real gcp plugin without credentials, and an empty state: every resource shows as new"
    return StackContext(_offline_env_vars(OFFLINE / "home"), label, _copy_stack_file(stack))


def stop_control_planes(stack: str | None = None) -> None:
    """Stop the control planes that a rehearsal started as clusters of `stack`, by default of all stacks."""
    for folder in (OFFLINE / "planes").glob(stack or "*"):
        subprocess.run([*_python("rehearsal.control_plane"), "down", str(folder)], cwd=CHECKOUT, check=True)


def _has_credentials() -> bool:
    config = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    return (
        any(os.environ.get(name) for name in CREDENTIALS) or (config / "application_default_credentials.json").exists()
    )


def _offline_env_vars(pulumi_home: Path) -> dict[str, str]:
    """Return variables that select a state and a plugin directory below .state/."""
    (OFFLINE / "backend").mkdir(parents=True, exist_ok=True)
    return {
        "PULUMI_HOME": str(pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{OFFLINE / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "GOOGLE_OAUTH_ACCESS_TOKEN": "offline",  # the real plugin does not start without one; a preview never uses it
        "PULUMI_GCP_SKIP_REGION_VALIDATION": "true",
    }


def _rehearsal_context(stack: str, *, changes: bool) -> StackContext:
    """Install the rehearsal's plugins, and start its control planes if the command changes resources."""
    home = OFFLINE / REHEARSAL
    env_vars = _offline_env_vars(home)
    venvs.ensure_program("rehearsal")
    subprocess.run([*_python("rehearsal.install_plugins"), str(home)], cwd=CHECKOUT, check=True)
    label = "a rehearsal without Google (rehearsal/README.md says what it proves), with a state of its own"
    prefix = _control_plane_prefix(stack, home, start=changes)
    return StackContext(env_vars, label, _copy_stack_file(stack), prefix)


def _control_plane_prefix(stack: str, home: Path, *, start: bool) -> tuple[str, ...]:
    """Return the words that run a command in the network namespace of the stack's control planes, one for each region.

    `start` starts them first. Without it (a preview), return nothing if they do not run.
    """
    folder = OFFLINE / "planes" / stack
    control_plane = _python("rehearsal.control_plane")
    prefix = (*control_plane, "run", str(folder), "--")
    if start:
        stack_file = ["--stack", str(CHECKOUT / f"Pulumi.{stack}.yaml")]
        google = ["--google", str(home / "stand-in-google.json")]
        if subprocess.run([*control_plane, "up", str(folder), *stack_file, *google], cwd=CHECKOUT).returncode:
            raise CliError(
                f"The clusters of {stack} cannot be rehearsed on this machine, for the reason above. "
                "`serving: null` rehearses the Google resources alone."
            )
    runs = folder.exists() and subprocess.run([*prefix, "true"], cwd=CHECKOUT, capture_output=True).returncode == 0
    return prefix if runs else ()


def _python(module: str) -> list[str]:
    return [venvs.program_tool("python"), "-m", module]


def _copy_stack_file(stack: str) -> Path:
    """Copy the stack's file for a state with another secrets provider: Pulumi writes a salt into the file it uses."""
    folder = OFFLINE / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"Pulumi.{stack}.yaml"
    salt = re.findall(r"^encryptionsalt:.*\n", copy.read_text(), re.MULTILINE) if copy.exists() else []
    text = (CHECKOUT / copy.name).read_text()
    text = re.sub(r"^(secretsprovider|encryptedkey|encryptionsalt):.*\n", "", text, flags=re.MULTILINE)
    copy.write_text(text.rstrip("\n") + "\n" + "".join(salt))
    shutil.copyfile(CHECKOUT / "Pulumi.yaml", folder / "Pulumi.yaml")
    return copy
