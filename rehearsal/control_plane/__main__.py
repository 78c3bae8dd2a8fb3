"""Start and stop control planes, one for each name, in a private network namespace.

    python -m rehearsal.control_plane build
    python -m rehearsal.control_plane up FOLDER us-central1 us-east4 [--pool a4:a4-highgpu-8g:2] ... [--google FILE]
    python -m rehearsal.control_plane up FOLDER --stack Pulumi.prod.yaml --google FILE      one for each of its regions
    python -m rehearsal.control_plane run FOLDER -- COMMAND ...     run a command inside the namespace
    python -m rehearsal.control_plane down FOLDER                   end every process, and delete FOLDER

FOLDER/control-planes.json contains the access to each: name -> {server, token, ca, kubeconfig}. FOLDER/variables.json
contains the variables with which a command finds them as GKE clusters: the stand-in for Google's API returns their
addresses, and the stand-in for Google's authentication plugin their tokens. With --google, the file of the stand-in for
Google's API, the nodes follow its node pools.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from paths import CHECKOUT
from rehearsal.control_plane import builds, gke_controllers, network_namespace, ray_dashboard
from rehearsal.control_plane.control_plane import ControlPlane
from rehearsal.control_plane.nodes import SimulatedNodePool
from tools.bootstrap.console import CliError, main, say

BIN = Path(__file__).resolve().parent / "bin"
MAX_CONTROL_PLANES = 4
"""As many as network_namespace.POD_CIDR has addresses for."""
HELPERS = (ray_dashboard.__name__, gke_controllers.__name__)
"""Modules that run beside the control planes."""


def up(folder: Path, names: Sequence[str], pools: Sequence[SimulatedNodePool], google: Path | None) -> int:
    """Start the control planes that do not run yet. Return the exit status. Raises `CliError`."""
    if not names:
        return 0
    if (reason := network_namespace.unavailable_reason()) is not None:
        raise CliError(f"Control planes cannot run here: {reason}.")
    builds.CONTROL_PLANE.build()
    if (holder := _namespace_holder(folder)) is None:
        down(folder)  # a holder that was killed leaves processes
        if folder.exists() and any(folder.iterdir()):
            raise CliError(
                f"{folder} contains files of another program. Name an empty folder, or one that does not exist."
            )
        folder.mkdir(parents=True, exist_ok=True)
        holder = network_namespace.create()
        (folder / "namespace").write_text(str(holder))
    command = [sys.executable, "-m", "rehearsal.control_plane", "up-inside", str(folder), *names]
    command += [word for pool in pools for word in ("--pool", f"{pool.name}:{pool.machine_type}:{pool.count}")]
    command += ["--google", str(google.resolve())] if google else []
    return subprocess.run([*network_namespace.enter_command(holder), *command], cwd=CHECKOUT).returncode


def up_inside(folder: Path, names: Sequence[str], pools: Sequence[SimulatedNodePool], google: Path | None) -> int:
    """Do the part of `up` that runs inside the namespace. Raises `CliError`."""
    file = folder / "control-planes.json"
    access = json.loads(file.read_text()) if file.exists() else {}
    for name in names:
        if name in access:
            say(f"  {name}: is up")
            continue
        if len(access) == MAX_CONTROL_PLANES:
            raise CliError(f"{name}: no addresses are left for its pods, because a namespace has {MAX_CONTROL_PLANES}.")
        plane = ControlPlane(name, folder / name, len(access))
        plane.stop()  # an `up` that was killed leaves processes
        plane.start(pools)
        say(f"  {name}: etcd, API server, controllers, scheduler and KubeRay are up")
        access[name] = plane.access
        file.write_text(json.dumps(access, indent=1))
    bundle = folder / "ca.crt"
    bundle.write_text("".join(Path(each["ca"]).read_text() for each in access.values()))
    variables = {"RAYLLM_CONTROL_PLANES": str(file), "SSL_CERT_FILE": str(bundle), "PATH": str(BIN)}
    (folder / "variables.json").write_text(json.dumps(variables))
    helpers = folder / "helpers.json"
    if not helpers.exists():
        arguments = [str(file), *([str(google)] if google else [])]
        helpers.write_text(json.dumps([_start_helper(folder, module, arguments) for module in HELPERS]))
    return 0


def down(folder: Path) -> int:
    """End every process that `up` started, and delete the folder."""
    for file in folder.glob("*/pids.json"):
        ControlPlane(file.parent.name, file.parent).stop()
    helpers = folder / "helpers.json"
    for pid in json.loads(helpers.read_text()) if helpers.exists() else []:
        _kill(pid, "rehearsal.control_plane")
    if (holder := _namespace_holder(folder)) is not None:
        os.kill(holder, signal.SIGKILL)
    if any((folder / name).exists() for name in ("namespace", "control-planes.json")):
        shutil.rmtree(folder)  # only a folder of `up`, and none that was named by mistake
    return 0


def run(folder: Path, command: Sequence[str]) -> int:
    """Replace this process by a command inside the namespace. Raises `CliError` if no control planes run."""
    holder = _namespace_holder(folder)
    if holder is None:
        raise CliError(f"No control planes run in {folder}: `up` starts them.")
    words = [*network_namespace.enter_command(holder), *command]
    os.execvpe(words[0], words, {**os.environ, **command_env(folder)})


def command_env(folder: Path) -> dict[str, str]:
    """Return the variables with which a command finds the control planes of `folder` as GKE clusters."""
    variables = json.loads((folder / "variables.json").read_text())
    return {**variables, "PATH": os.pathsep.join([variables["PATH"], os.environ.get("PATH", "")])}


def _start_helper(folder: Path, module: str, arguments: Sequence[str]) -> int:
    """Start a helper that writes to FOLDER/MODULE.log. Return its pid."""
    with (folder / f"{module.rpartition('.')[2]}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process.pid


def _namespace_holder(folder: Path) -> int | None:
    """Return the pid of the process that keeps the namespace open, if it runs."""
    file = folder / "namespace"
    pid = int(file.read_text()) if file.exists() else 0
    cmdline = Path(f"/proc/{pid}/cmdline")
    return pid if pid and cmdline.exists() and cmdline.read_bytes().startswith(b"sleep\0infinity") else None


def _kill(pid: int, word: str) -> None:
    """End a process if `word` is in its command line: the kernel may use a pid a second time."""
    cmdline = Path(f"/proc/{pid}/cmdline")
    if cmdline.exists() and word.encode() in cmdline.read_bytes():
        os.kill(pid, signal.SIGKILL)


def _regions(stack_file: Path) -> list[str]:
    """Return the regions of an environment that deploys something into clusters. Wrong settings are no error here: the
    program reports them."""
    config = (yaml.safe_load(stack_file.read_text()) or {}).get("config") or {}
    regions = (config.get("rayllm:infra") or {}).get("regions") or []
    return [region["name"] for region in regions] if config.get("rayllm:serving") else []


def _pool(text: str) -> SimulatedNodePool:
    name, machine_type, count = text.split(":")
    return SimulatedNodePool(name, machine_type, int(count))


def command() -> int:
    """Run the command line. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("build", "up", "up-inside", "run", "down"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--pool", type=_pool, action="append", default=[])
    parser.add_argument("--google", type=Path)
    parser.add_argument("--stack", type=Path)
    given = parser.parse_args()
    match given.what:
        case "build":
            say(str(builds.CONTROL_PLANE.build()))
            return 0
        case "up":
            names = _regions(given.stack) if given.stack else given.rest
            return up(given.folder.resolve(), names, given.pool, given.google)
        case "up-inside":
            return up_inside(given.folder, given.rest, given.pool, given.google)
        case "run":
            return run(given.folder.resolve(), given.rest)
        case _:
            return down(given.folder.resolve())


if __name__ == "__main__":
    main(command)
