"""A cluster of one real node from the command line, in private namespaces.

    python -m tests.harness.node build                     programs from Go modules, others from Debian
    python -m tests.harness.node up FOLDER                 needs root
    python -m tests.harness.node run FOLDER -- COMMAND ... inside: the cluster's addresses and names work
    python -m tests.harness.node down FOLDER               leaves nothing

Its pods find the virtual environment .venv-ray of this checkout, and a tiny model that is made on the spot.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import time
import traceback
from pathlib import Path

from paths import CHECKOUT
from rehearsal.control_plane import builds
from tests.harness.node import debian, host, images
from tools.bootstrap.console import PROGRESS_INTERVAL_S, CliError, main, run, say
from tools.bootstrap.venvs import PROGRAM, RAY

LIMIT_S = 300
INSPECT = "from vllm import ModelRegistry as r; r.models['LlamaForCausalLM'].inspect_model_cls()"
"""Kept in the cache: a pod whose image lacks it takes eight seconds more."""
COMPILE = "import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=0)"
"""As images have it. Without, each pod would compile thousands of modules: its user may not write what it finds."""


def build() -> int:
    """Idempotent."""
    debian.fetch()
    builds.CONTROL_PLANE.build()
    builds.NODE.build()
    return 0


def up(folder: Path) -> int:
    """Idempotent."""
    if (problem := host.obstacle()) is not None:
        raise CliError(f"A node cannot run here: {problem}.")
    if not (RAY / "bin" / "ray").exists():
        raise CliError(f"{RAY} does not hold Ray: `make test TIER=node` installs it.")
    build()
    if first(folder) is not None:
        say("  the node is up")
        return 0
    down(folder)
    if folder.exists() and any(folder.iterdir()):
        raise CliError(f"{folder} holds something else than a node: name a folder that is empty or not there.")
    folder.mkdir(parents=True, exist_ok=True)
    python = str(RAY / "bin" / "python")
    run([python, "-m", "workloads.local.ray_runtime.make_tiny_model", str(folder / "model")], "a tiny model")
    locks, compiled = RAY / "locks.stamp", RAY / "compiled.stamp"
    if not compiled.exists() or compiled.read_text() != locks.read_text():
        run([python, "-c", COMPILE, str(RAY / "lib")], "bytecode of Ray and vLLM, once")
        compiled.write_text(locks.read_text())
    cache = {"VLLM_CACHE_ROOT": str(RAY / images.VLLM_CACHE)}
    run([python, "-c", INSPECT], "what vLLM knows of its class", env={**os.environ, **cache})
    for each in (RAY / images.VLLM_CACHE).rglob("*.json"):
        each.chmod(0o644)  # vLLM writes for its own user alone, and pods run as another
    log, done = folder / "node.log", folder / "up"
    first_command = [str(PROGRAM / "bin" / "python"), "-m", "tests.harness.node", "first", str(folder)]
    starter = host.start(first_command, log)
    (folder / "starter").write_text(str(starter.pid))
    begun = spoken = time.monotonic()
    while not done.exists():
        if starter.poll() is not None or time.monotonic() - begun > LIMIT_S:
            down(folder, keep=True)
            raise CliError(f"The node did not start. The end of {log}:\n{log.read_text()[-2000:]}")
        if time.monotonic() - spoken > PROGRESS_INTERVAL_S:
            spoken = time.monotonic()
            say("".join(log.read_text().splitlines()[-1:]))
        time.sleep(0.1)
    say(f"  a node with Kubernetes and KubeRay is up ({time.monotonic() - begun:.0f} s)")
    return 0


def first_of_all(folder: Path) -> int:
    """The first process of the namespaces: prepares, starts, and then collects what ends."""
    from tests.harness.node.node import node_in  # takes what the project has installed; tests/run.py runs without

    node = node_in(folder)
    try:
        host.prepare(folder)
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


def inside(folder: Path, command: list[str]) -> list[str]:
    """`command` as it is run there. Raises `CliError` where no node is up."""
    found = first(folder)
    if found is None:
        raise CliError(f"No node runs in {folder}: `up` starts one.")
    return [*host.enter(found, CHECKOUT), *command]


def down(folder: Path, *, keep: bool = False) -> int:
    """End everything that `up` started; `keep` the logs."""
    if not (folder / "starter").exists():
        return 0
    found = first(folder)
    if found is not None:
        os.kill(found, signal.SIGKILL)  # and with it whatever runs in its namespaces
        while Path(f"/proc/{found}").exists() and not _is_zombie(found):
            time.sleep(0.05)
    host.remove_cgroups(host.cgroup_of(folder))
    if not keep:
        shutil.rmtree(folder)
    return 0


def first(folder: Path) -> int | None:
    """The first process of its namespaces, as seen from here; None when it is not up."""
    file = folder / "starter"
    pid = int(file.read_text()) if file.exists() else 0
    words = Path(f"/proc/{pid}/cmdline")
    ours = pid and words.exists() and str(folder).encode() in words.read_bytes()
    return host.first_process(pid) if ours else None


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def command() -> int:
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
            return first_of_all(folder)
        case "run":
            return subprocess.run(inside(folder, given.rest)).returncode
        case _:
            return down(folder)


if __name__ == "__main__":
    main(command)
