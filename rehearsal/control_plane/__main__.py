"""Control planes from the command line, one for each name, in a private network namespace of their own.

    python -m rehearsal.control_plane build
    python -m rehearsal.control_plane up FOLDER us-central1 us-east4 [--pool a4:a4-highgpu-8g:2] ... [--google FILE]
    python -m rehearsal.control_plane up FOLDER --stack Pulumi.prod.yaml --google FILE      one for each of its regions
    python -m rehearsal.control_plane run FOLDER -- COMMAND ...     inside the namespace
    python -m rehearsal.control_plane down FOLDER                   leaves nothing

FOLDER/clusters.json says where they are: name -> {server, token, ca, kubeconfig}. FOLDER/environment.json is what a
command needs to find them as clusters of Google's: its API's stand-in hands out their addresses, that of its
authentication plugin their tokens. With --google, the file of that stand-in, nodes come and go with its node pools.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from paths import CHECKOUT
from rehearsal.control_plane import builds, network_namespace
from rehearsal.control_plane.control_plane import Plane
from rehearsal.control_plane.nodes import Pool
from tools.bootstrap.console import CliError, main, say

HERE = Path(__file__).resolve().parent
MOST = 4
"""Clusters in one namespace: namespace.PODS."""
HELPERS = ("ray_api", "gke_controllers")


def up(folder: Path, names: list[str], pools: list[Pool], google: Path | None) -> int:
    """Idempotent."""
    if not names:
        return 0
    if (problem := network_namespace.obstacle()) is not None:
        raise CliError(f"Control planes cannot run here: {problem}.")
    builds.CONTROL_PLANE.build()
    if (holder := _holder(folder)) is None:
        down(folder)  # what outlived its namespace's holder
        if folder.exists() and any(folder.iterdir()):
            raise CliError(
                f"{folder} holds something else than control planes: name a folder that is empty or not there."
            )
        folder.mkdir(parents=True, exist_ok=True)
        holder = network_namespace.hold()
        (folder / "namespace").write_text(str(holder))
    words = [sys.executable, "-m", "rehearsal.control_plane", "inside", str(folder), *names]
    words += [word for pool in pools for word in ("--pool", f"{pool.name}:{pool.machine_type}:{pool.count}")]
    words += ["--google", str(google.resolve())] if google else []
    return subprocess.run([*network_namespace.enter(holder), *words], cwd=CHECKOUT).returncode


def inside(folder: Path, names: list[str], pools: list[Pool], google: Path | None) -> int:
    """What `up` does in the namespace."""
    file = folder / "clusters.json"
    clusters = json.loads(file.read_text()) if file.exists() else {}
    for name in names:
        if name in clusters:
            say(f"  {name}: is up")
            continue
        if len(clusters) == MOST:
            raise CliError(f"{name} finds no addresses for its pods: one namespace has those of {MOST} clusters.")
        plane = Plane(name, folder / name, len(clusters))
        plane.stop()  # what an `up` that was killed has left
        plane.start(pools)
        say(f"  {name}: etcd, API server, controllers, scheduler and KubeRay are up")
        clusters[name] = plane.access
        file.write_text(json.dumps(clusters, indent=1))
    bundle = folder / "ca.crt"
    bundle.write_text("".join(Path(at["ca"]).read_text() for at in clusters.values()))
    found = {"RAYLLM_CONTROL_PLANES": str(file), "SSL_CERT_FILE": str(bundle)}
    (folder / "environment.json").write_text(json.dumps({**found, "PATH": str(HERE / "bin")}))
    started = folder / "helpers.json"
    if not started.exists():
        files = [str(file), *([str(google)] if google else [])]
        started.write_text(json.dumps([_helper(folder, name, files) for name in HELPERS]))
    return 0


def down(folder: Path) -> int:
    """End everything that `up` started."""
    for file in folder.glob("*/pids.json"):
        Plane(file.parent.name, file.parent).stop()
    helpers = folder / "helpers.json"
    for pid in json.loads(helpers.read_text()) if helpers.exists() else []:
        _end(pid, "rehearsal.control_plane")
    if (holder := _holder(folder)) is not None:
        os.kill(holder, signal.SIGKILL)
    if any((folder / mark).exists() for mark in ("namespace", "clusters.json")):
        shutil.rmtree(folder)  # ours, and not a folder that somebody named by mistake
    return 0


def run(folder: Path, command: list[str]) -> int:
    """Become a command inside, which finds the planes as clusters of Google's."""
    holder = _holder(folder)
    if holder is None:
        raise CliError(f"No control planes run in {folder}: `up` starts them.")
    words = [*network_namespace.enter(holder), *command]
    os.execvpe(words[0], words, {**os.environ, **environment(folder)})


def environment(folder: Path) -> dict[str, str]:
    """What a command needs to find the planes of `folder` as clusters of Google's."""
    found = json.loads((folder / "environment.json").read_text())
    return {**found, "PATH": os.pathsep.join([found["PATH"], os.environ.get("PATH", "")])}


def _helper(folder: Path, name: str, files: list[str]) -> int:
    log = (folder / f"{name}.log").open("ab")
    words = [sys.executable, "-m", f"rehearsal.control_plane.{name}", *files]
    process = subprocess.Popen(
        words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    return process.pid


def _holder(folder: Path) -> int | None:
    """The process that keeps the namespace, if it still does."""
    file = folder / "namespace"
    pid = int(file.read_text()) if file.exists() else 0
    words = Path(f"/proc/{pid}/cmdline")
    return pid if pid and words.exists() and words.read_bytes().startswith(b"sleep\0infinity") else None


def _end(pid: int, mark: str) -> None:
    words = Path(f"/proc/{pid}/cmdline")
    if words.exists() and mark.encode() in words.read_bytes():
        os.kill(pid, signal.SIGKILL)


def _regions(stack: Path) -> list[str]:
    """Those of an environment whose settings put something into clusters; what cannot be read is not for us to say."""
    config = (yaml.safe_load(stack.read_text()) or {}).get("config") or {}
    regions = (config.get("rayllm:infra") or {}).get("regions") or []
    return [region["name"] for region in regions] if config.get("rayllm:serving") else []


def _pool(text: str) -> Pool:
    name, machine_type, count = text.split(":")
    return Pool(name, machine_type, int(count))


def command() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("build", "up", "inside", "run", "down"))
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
        case "inside":
            return inside(given.folder, given.rest, given.pool, given.google)
        case "run":
            return run(given.folder.resolve(), given.rest)
        case _:
            return down(given.folder.resolve())


if __name__ == "__main__":
    main(command)
