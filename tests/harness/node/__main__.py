"""Start and stop a cluster of one real node, in private namespaces.

    python -m tests.harness.node build                     programs from Go modules, others from Debian
    python -m tests.harness.node up FOLDER                 needs root
    python -m tests.harness.node run FOLDER -- COMMAND ... run a command inside, where the cluster's addresses work
    python -m tests.harness.node down FOLDER               end every process, and delete FOLDER

Its pods use the virtual environment .venv-ray of this checkout, and a tiny model that `up` creates.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from paths import CHECKOUT
from rehearsal.control_plane.builds import CONTROL_PLANE
from tests.harness.node import debian, host, images
from tests.harness.node.builds import NODE
from tools.bootstrap.console import PROGRESS_INTERVAL_S, CliError, main, run, say
from tools.bootstrap.venvs import PROGRAM, RAY

START_TIMEOUT_S = 300
INSPECT_MODEL = "from vllm import ModelRegistry as r; r.models['LlamaForCausalLM'].inspect_model_cls()"
"""Fills vLLM's cache. Without it, each pod needs eight seconds more to start."""
COMPILE = "import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=0)"
"""Images contain bytecode. Without it, each pod would compile thousands of modules, because its user cannot write
them."""


def build() -> int:
    """Build and fetch the programs that are missing. Return the exit status. Raises `CliError`."""
    debian.fetch()
    CONTROL_PLANE.build()
    NODE.build()
    return 0


def up(folder: Path) -> int:
    """Start the node, if it does not run yet. Return the exit status. Raises `CliError`."""
    if (reason := host.unavailable_reason()) is not None:
        raise CliError(f"A node cannot run here: {reason}.")
    if not (RAY / "bin" / "ray").exists():
        raise CliError(f"{RAY} does not contain Ray: `make test TIER=node` installs it.")
    build()
    if first_process(folder) is not None:
        say("  the node is up")
        return 0
    down(folder)
    if folder.exists() and any(folder.iterdir()):
        raise CliError(f"{folder} contains files of another program. Name an empty folder, or one that does not exist.")
    folder.mkdir(parents=True, exist_ok=True)
    _prepare_venv(folder)
    _start(folder)
    return 0


def _prepare_venv(folder: Path) -> None:
    """Create the tiny model, and what an image would contain: bytecode and vLLM's cache."""
    python = str(RAY / "bin" / "python")
    run([python, "-m", "workloads.local.ray_runtime.make_tiny_model", str(folder / "model")], "a tiny model")
    locks, compiled = RAY / "locks.stamp", RAY / "compiled.stamp"
    if not compiled.exists() or compiled.read_text() != locks.read_text():
        run([python, "-c", COMPILE, str(RAY / "lib")], "bytecode of Ray and vLLM, once")
        compiled.write_text(locks.read_text())
    cache = {"VLLM_CACHE_ROOT": str(RAY / images.VLLM_CACHE)}
    run([python, "-c", INSPECT_MODEL], "vLLM's cache about the model's class", env={**os.environ, **cache})
    for file in (RAY / images.VLLM_CACHE).rglob("*.json"):
        file.chmod(0o644)  # vLLM writes for its own user alone, and pods run as another


def _start(folder: Path) -> None:
    """Start the namespaces and the node in them, and wait until it is up. Raises `CliError`."""
    log, up_file = folder / "node.log", folder / "up"
    command = [str(PROGRAM / "bin" / "python"), "-m", "tests.harness.node", "first", str(folder)]
    starter = host.start_in_namespaces(command, log)
    (folder / "starter").write_text(str(starter.pid))
    started = reported = time.monotonic()
    while not up_file.exists():
        if starter.poll() is not None or time.monotonic() - started > START_TIMEOUT_S:
            down(folder, keep=True)
            raise CliError(f"The node did not start. The end of {log}:\n{log.read_text()[-2000:]}")
        if time.monotonic() - reported > PROGRESS_INTERVAL_S:
            reported = time.monotonic()
            say("".join(log.read_text().splitlines()[-1:]))
        time.sleep(0.1)
    say(f"  a node with Kubernetes and KubeRay is up ({time.monotonic() - started:.0f} s)")


def run_first_process(folder: Path) -> int:
    """Run as the first process of the namespaces: start everything, then reap the processes that end."""
    from tests.harness.node.node import cluster_in  # needs installed packages; the other commands run without them

    node = cluster_in(folder)
    try:
        host.prepare_namespaces(folder)
        say("  the node: control plane")
        node.start()
        say("  the node: kubelet and containerd")
        node.start_node()
    except Exception:
        traceback.print_exc()
        return 1
    (folder / "up").touch()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def command_inside(folder: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` inside. Raises `CliError` if no node runs."""
    found = first_process(folder)
    if found is None:
        raise CliError(f"No node runs in {folder}: `up` starts one.")
    return [*host.enter_command(found, CHECKOUT), *command]


def down(folder: Path, *, keep: bool = False) -> int:
    """End every process that `up` started, and delete the folder; `keep` keeps the logs."""
    if not (folder / "starter").exists():
        return 0
    found = first_process(folder)
    if found is not None:
        os.kill(found, signal.SIGKILL)  # the kernel then ends every process in its namespaces
        while Path(f"/proc/{found}").exists() and not _is_zombie(found):
            time.sleep(0.05)
    host.remove_cgroups(host.cgroup_name(folder))
    if not keep:
        shutil.rmtree(folder)
    return 0


def first_process(folder: Path) -> int | None:
    """Return the pid, outside its namespaces, of the node's first process; None if no node runs."""
    file = folder / "starter"
    pid = int(file.read_text()) if file.exists() else 0
    cmdline = Path(f"/proc/{pid}/cmdline")
    is_starter = pid and cmdline.exists() and str(folder).encode() in cmdline.read_bytes()
    return host.first_process(pid) if is_starter else None


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def command() -> int:
    """Run the command line. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("build", "up", "first", "run", "down"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args()
    if given.what == "build":
        return build()
    folder = given.folder.resolve()
    match given.what:
        case "up":
            return up(folder)
        case "first":
            return run_first_process(folder)
        case "run":
            return subprocess.run(command_inside(folder, given.rest)).returncode
        case _:
            return down(folder)


if __name__ == "__main__":
    main(command)
