"""What a command on a cloud stack works with: whose state, which `gcp` plugin, which credentials.

With an official Pulumi and Google credentials: yours, all of them. Without, a preview still works: it plans against an
empty state of its own below .state/, so it shows everything as new, and changes nothing anywhere. Standard library
only.
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
from tools.bootstrap.console import Stop

OFFLINE = CHECKOUT / ".state" / "offline"
CREDENTIALS = ("GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS")
STAND_IN = "stand-in"
"""`CLOUD=stand-in` asks for it by name."""


@dataclass(frozen=True)
class Ground:
    """`environment` on top of the shell's; `label` says what it is; `settings` is the stack's file, where it is not the
    one in the checkout; `inside` goes in front of `pulumi`, where its clusters can only be reached from a namespace."""

    environment: dict[str, str]
    label: str = ""
    settings: Path | None = None
    inside: tuple[str, ...] = ()


def ground(stack: str, found: pulumi_cli.Engine, *, changes: bool) -> Ground:
    """What `stack` works with. `changes`: the command is not only a preview. Raises `Stop` where that cannot be."""
    asked = os.environ.get("CLOUD") == STAND_IN
    if asked or not found.official:
        if changes and not asked:
            raise Stop(
                f"Stack {stack} needs Pulumi's `gcp` plugin, which a CLI built from Go modules cannot get: install "
                f"Pulumi ({pulumi_cli.OFFICIAL}), or rehearse on the stand-in for Google's API with CLOUD={STAND_IN}."
            )
        return _offline(stack, stand_in=True, changes=changes)
    if _has_credentials():
        return Ground({}, "the real gcp plugin, with your credentials and your state backend")
    if changes:
        raise Stop(
            f"There are no Google credentials here, and stack {stack} lives in Google Cloud: run `gcloud auth "
            f"application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS. Previews work without."
        )
    return _offline(stack, stand_in=False, changes=False)


def end_planes(stack: str | None = None) -> None:
    """End the control planes that stand for the clusters of `stack`, or of all stacks."""
    for folder in (OFFLINE / "planes").glob(stack or "*"):
        subprocess.run([*_python("rehearsal.control_plane"), "down", str(folder)], cwd=CHECKOUT, check=True)


def _has_credentials() -> bool:
    config = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    return (
        any(os.environ.get(name) for name in CREDENTIALS) or (config / "application_default_credentials.json").exists()
    )


def _offline(stack: str, *, stand_in: bool, changes: bool) -> Ground:
    home = OFFLINE / ("stand-in" if stand_in else "home")
    (OFFLINE / "backend").mkdir(parents=True, exist_ok=True)
    env = {
        "PULUMI_HOME": str(home),
        "PULUMI_BACKEND_URL": f"file://{OFFLINE / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "GOOGLE_OAUTH_ACCESS_TOKEN": "offline",  # the real plugin refuses to start without one; a preview never uses it
        "PULUMI_GCP_SKIP_REGION_VALIDATION": "true",
    }
    if stand_in:
        subprocess.run([*_python("rehearsal.install_plugins"), str(home)], cwd=CHECKOUT, check=True)
        label = "a stand-in for Google's API (rehearsal/README.md says what it proves) and a state of its own"
        return Ground(env, label, _settings(stack), _planes(stack, home, start=changes))
    label = "the real gcp plugin without credentials and an empty state of its own: everything shows as new"
    return Ground(env, label, _settings(stack))


def _planes(stack: str, home: Path, *, start: bool) -> tuple[str, ...]:
    """A real control plane for each of the stack's regions: what goes in front of a command that is to reach them. A
    preview looks at those that run, and starts none."""
    folder = OFFLINE / "planes" / stack
    rig = _python("rehearsal.control_plane")
    inside = (*rig, "run", str(folder), "--")
    if start:
        settings = ["--stack", str(CHECKOUT / f"Pulumi.{stack}.yaml"), "--google", str(home / "stand-in-google.json")]
        if subprocess.run([*rig, "up", str(folder), *settings], cwd=CHECKOUT).returncode:
            raise Stop(
                f"The clusters of {stack} cannot be rehearsed here; `serving: null` rehearses Google's half alone."
            )
    there = folder.exists() and subprocess.run([*inside, "true"], cwd=CHECKOUT, capture_output=True).returncode == 0
    return inside if there else ()


def _python(module: str) -> list[str]:
    return [str(venvs.PROGRAM / "bin" / "python"), "-m", module]


def _settings(stack: str) -> Path:
    """A copy of the stack's file for a state whose secrets provider is another: Pulumi writes a salt into it."""
    folder = OFFLINE / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"Pulumi.{stack}.yaml"
    salt = re.findall(r"^encryptionsalt:.*\n", copy.read_text(), re.MULTILINE) if copy.exists() else []
    text = (CHECKOUT / copy.name).read_text()
    text = re.sub(r"^(secretsprovider|encryptedkey|encryptionsalt):.*\n", "", text, flags=re.MULTILINE)
    copy.write_text(text.rstrip("\n") + "\n" + "".join(salt))
    shutil.copyfile(CHECKOUT / "Pulumi.yaml", folder / "Pulumi.yaml")
    return copy
