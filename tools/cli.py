"""The front door behind `make`: gets what is missing, then calls `pulumi` as a person would.

Everything that protects lives in the program and the policy pack; this adds tools, display and, for stack local, a
state backend inside the checkout. Usage: python -m tools.cli up|preview|down|verify|env|clean [STACK].
Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from paths import CHECKOUT
from tools import stack_context
from tools.bootstrap import console, pulumi_cli, venvs
from tools.bootstrap.cache import cache
from tools.bootstrap.console import Stop, say
from tools.local_state import _clear_stale_lock, _end_orphans

STATE = CHECKOUT / ".state"
LOCAL = "local"
GOOGLE_PROVIDER = "pulumi:providers:gcp"
LIVE = ("verify", "--verbose", "--no-header", "--tb=short")


def up(stack: str) -> int:
    ground = _ready(stack, changes=True)
    _select(stack, ground)
    say(f"[2/3] pulumi up --stack {stack}")
    # On this computer nothing is lost by going ahead; in a cloud the engine shows its plan and asks.
    answer = ["--yes", "--skip-preview"] if stack == LOCAL else ["--yes"] if os.environ.get("YES") else []
    if status := _pulumi("up", stack, ground, *_policies(stack), *answer):
        raise Stop(
            f"`pulumi up` did not finish. What it made is kept: `make up STACK={stack}` goes on, `make down` ends it."
        )
    if stack == LOCAL:
        say("[3/3] proof, from the running system")
        outputs = _outputs(stack, ground)
        status = _prove(outputs, ground)
        venvs.keep_made()
        say(f"\nOpenAI-compatible endpoint: {outputs['endpoint']}   model: {outputs['model']}")
        say(f"Ray dashboard:              {outputs['dashboard']}\n")
        say(
            f"  curl -N {outputs['endpoint']}/chat/completions -H 'content-type: application/json' \\\n"
            f'    -d \'{{"model": "{outputs["model"]}", "stream": true, "max_tokens": 24, '
            f'"messages": [{{"role": "user", "content": "hello"}}]}}\''
        )
    return status


def preview(stack: str) -> int:
    ground = _ready(stack)
    _select(stack, ground)
    say(f"[2/2] pulumi preview --stack {stack}")
    given = [*_policies(stack), *os.environ.get("ARGS", "").split()]
    if stack == LOCAL or "--event-log" in given:
        return _pulumi("preview", stack, ground, *given)
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events"
        ground.environment["PULUMI_DEBUG_COMMANDS"] = "true"  # for --event-log
        status = _pulumi("preview", stack, ground, "--event-log", str(events), *given)
        if events.exists():
            command = [str(venvs.PROGRAM / "bin" / "python"), "-m", "tools.preview.render", str(events), stack]
            subprocess.run(command, cwd=CHECKOUT, env=ground.environment)
    return status


def _confirm(stack: str) -> None:
    """Whoever takes an environment in a cloud down types its name, before anything is looked at; a pipeline writes it
    into YES, so that a YES=1 that a shell has for `up` is none. What is protected is refused by the program all the
    same."""
    if stack == LOCAL or os.environ.get("YES") == stack:
        return
    if not sys.stdin.isatty():
        raise Stop(
            f"Taking {stack} down asks for its name and nobody is here to type it: run `make down STACK={stack}` in a "
            f"terminal, or with YES={stack} where that is meant."
        )
    say(f"This takes environment {stack} down. Type its name to go on:")
    if sys.stdin.readline().strip() != stack:
        raise Stop(f"That is not {stack}: nothing was touched.")


def _same_project(stack: str, ground: stack_context.Ground) -> None:
    """Destroying works where the state's provider points, whatever the file says: refuse a state of another project,
    as that of a bucket that was chosen by mistake."""
    state = json.loads(_quiet(["stack", "export", "--stack", stack], ground))
    resources = (state.get("deployment") or {}).get("resources") or []
    there = {r["inputs"].get("project", "") for r in resources if r["type"] == GOOGLE_PROVIDER}
    if not there:
        return  # nothing of Google's was made
    settings = ["--config-file", str(ground.settings)] if ground.settings else []
    wanted = ["config", "get", "--path", "rayllm:infra.project.id", "--stack", stack, *settings]
    named = _quiet(wanted, ground).strip()
    if there != {named}:
        raise Stop(
            f"The state of {stack} is of project {', '.join(sorted(there))} and Pulumi.{stack}.yaml names {named}: "
            "nothing was touched, because that project would lose what is in it. Set PULUMI_BACKEND_URL to the state "
            f"that belongs to {named}, or name the state's project in the file."
        )


def _policies(stack: str) -> list[str]:
    """The pack, for a stack in a cloud, with what the environment writes for it; without a file all is mandatory."""
    if stack == LOCAL:
        return []
    own = f"policies/{stack}.json"
    return ["--policy-pack", "policies", *(["--policy-pack-config", own] if (CHECKOUT / own).exists() else [])]


def down(stack: str) -> int:
    _confirm(stack)
    ground = _ready(stack, program_only=True, changes=True)
    if stack == LOCAL and not _exists(stack, ground):
        say("Stack local does not exist here: nothing to end.")
        return 0
    _select(stack, ground)
    if stack != LOCAL:
        _same_project(stack, ground)
    say(f"[2/2] pulumi destroy --stack {stack}")
    answer = ["--yes", "--skip-preview"] if stack == LOCAL else ["--yes"] if os.environ.get("YES") == stack else []
    status = _pulumi("destroy", stack, ground, *answer)
    if status == 0 and ground.inside:
        stack_context.end_planes(stack)
    return status


def verify(stack: str) -> int:
    """Ask what runs whether it is what the last `up` declared (verify)."""
    if stack != LOCAL and not shutil.which("kubectl"):
        raise Stop("The pods of a cluster are asked by way of `kubectl`, and there is none on PATH: install kubectl.")
    ground = _ready(stack, program_only=True)
    venvs.ensure_program(dev=True)
    if not _exists(stack, ground):
        raise Stop(f"There is no stack {stack} to ask: `make up STACK={stack}` makes it.")
    say(f"[2/2] what runs, beside what the last `pulumi up --stack {stack}` declared")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.json"
        state.write_text(_quiet(["stack", "export", "--stack", stack], ground))
        command = [*ground.inside, str(venvs.PROGRAM / "bin" / "python"), "-m", "pytest", *LIVE]
        return subprocess.run(command, cwd=CHECKOUT, env={**ground.environment, "RAYLLM_STATE": str(state)}).returncode


def environment(stack: str) -> int:
    """Print what a shell needs to call `pulumi` itself: `eval "$(make -s env)"`."""
    found = pulumi_cli.get()
    wanted = {**found.environment, **_BASE, **_ground(stack, found, changes=False).environment}
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            say(f"export {name}='{value}'")
    return 0


def clean(_stack: str) -> int:
    """End stack local if it is up, then remove what running has made in the checkout."""
    if (STATE / "backend").exists():
        if venvs.PROGRAM.exists():
            down(LOCAL)
        else:
            raise Stop("Stack local may still run and .venv is gone: run `make down` first.")
    stack_context.end_planes()
    for folder in (venvs.PROGRAM, venvs.RAY, STATE):
        shutil.rmtree(folder, ignore_errors=True)
    say(f"Removed .venv, .venv-ray and .state. The builds in {cache()} stay for other clones.")
    return 0


def _ready(stack: str, *, program_only: bool = False, changes: bool = False) -> stack_context.Ground:
    """Get tools and packages; returns what `pulumi` runs with, its environment whole."""
    if not (CHECKOUT / f"Pulumi.{stack}.yaml").exists():
        known = ", ".join(sorted(f.name.split(".")[1] for f in CHECKOUT.glob("Pulumi.*.yaml")))
        raise Stop(f"There is no stack {stack}: Pulumi.{stack}.yaml is missing. Write STACK=one of {known}.")
    say("[1/{}] tools and packages".format("3" if stack == LOCAL and not program_only else "2"))
    found: list[pulumi_cli.Engine] = []

    def get_engine() -> None:
        found.append(pulumi_cli.get())

    def get_packages() -> None:
        venvs.ensure_program(dev=stack != LOCAL)
        if stack == LOCAL and not program_only:
            venvs.ensure_ray()

    console.together(get_engine, get_packages)
    here = _ground(stack, found[0], changes=changes)
    say(f"  {found[0].label}")
    if here.label:
        say(f"  {here.label}")
    return replace(here, environment={**os.environ, **found[0].environment, **_BASE, **here.environment})


_BASE = {
    "VIRTUAL_ENV": str(venvs.PROGRAM),
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    # Programs run from bytecode: without it every process parses hundreds of modules again.
    "PYTHONDONTWRITEBYTECODE": "",
}


def _ground(stack: str, found: pulumi_cli.Engine, *, changes: bool) -> stack_context.Ground:
    if stack != LOCAL:
        return stack_context.ground(stack, found, changes=changes)
    # A backend of its own: `pulumi login` elsewhere is neither needed nor touched. Nothing in this stack is secret.
    (STATE / "backend").mkdir(parents=True, exist_ok=True)
    env = {
        "PULUMI_HOME": str(STATE / "pulumi-home"),
        "PULUMI_BACKEND_URL": f"file://{STATE / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": "",
    }
    return stack_context.Ground(env)


def _select(stack: str, ground: stack_context.Ground) -> None:
    """Make the stack where its state is this checkout's own; a team's stacks are made once, by docs/operations."""
    backend = ground.environment.get("PULUMI_BACKEND_URL", "")
    if not backend.startswith(f"file://{STATE}"):
        return
    _clear_stale_lock(stack, Path(backend.removeprefix("file://")))
    _end_orphans(ground.environment["PULUMI_HOME"])
    if not _exists(stack, ground):
        folder = ground.settings.parent if ground.settings else CHECKOUT
        console.run(["pulumi", "stack", "init", stack, "--no-select"], "pulumi", env=ground.environment, cwd=folder)


def _exists(stack: str, ground: stack_context.Ground) -> bool:
    return any(s["name"] == stack for s in json.loads(_quiet(["stack", "ls", "--json"], ground)))


def _pulumi(command: str, stack: str, ground: stack_context.Ground, *options: str) -> int:
    settings = ["--config-file", str(ground.settings)] if ground.settings else []
    words = [*ground.inside, "pulumi", command, "--stack", stack, *settings, *options]
    return subprocess.run(words, cwd=CHECKOUT, env=ground.environment).returncode


def _quiet(arguments: list[str], ground: stack_context.Ground) -> str:
    return console.run(["pulumi", *arguments], f"pulumi {arguments[0]}", env=ground.environment, cwd=CHECKOUT)


def _outputs(stack: str, ground: stack_context.Ground) -> dict[str, str]:
    return json.loads(_quiet(["stack", "output", "--json", "--stack", stack], ground))


def _prove(outputs: dict[str, str], ground: stack_context.Ground) -> int:
    command = [str(venvs.PROGRAM / "bin" / "python"), "-m", "verify.local_report"]
    return subprocess.run(
        command, cwd=CHECKOUT, env=ground.environment, input=json.dumps(outputs), text=True
    ).returncode


COMMANDS: dict[str, Callable[[str], int]] = {
    "up": up,
    "preview": preview,
    "down": down,
    "verify": verify,
    "env": environment,
    "clean": clean,
}

if __name__ == "__main__":
    console.main(lambda: COMMANDS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else LOCAL))
