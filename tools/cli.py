"""The commands behind `make up`, `preview`, `down`, `verify`, `chat`, `keys`, `env` and `clean`.

    python -m tools.cli up|preview|down|verify|chat|keys|env|clean [STACK]

Each command installs missing tools and packages, then runs `pulumi` as a person would. All safety checks are in the
Pulumi program and the policy pack; this module adds the display, and for stack local a state backend inside the
checkout. Standard library only: the system's Python runs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from paths import CHECKOUT, cache_dir
from tools import stack_context
from tools.bootstrap import console, model_weights, pulumi_cli, venvs
from tools.bootstrap.console import CliError, say
from tools.local_state import end_orphaned_plugins, remove_stale_lock
from tools.stack_context import StackContext

STATE = CHECKOUT / ".state"
LOCAL = "local"
GOOGLE_PROVIDER = "pulumi:providers:gcp"
VERIFY_PYTEST_ARGS = ("verify", "--verbose", "--no-header", "--tb=short")
BASE_ENV_VARS = {
    "VIRTUAL_ENV": str(venvs.PROGRAM),
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    # Programs start from bytecode; without it every process parses hundreds of modules again.
    "PYTHONDONTWRITEBYTECODE": "",
}


def up(stack: str) -> int:
    """Create or update the stack. For stack local, check the running system and print how to call it."""
    confirmed = _confirmed_up(stack)
    context = _prepare(stack, changes=True)
    _init_own_stack(stack, context)
    wait = ", 1 to 2 minutes on two cores if Ray and vLLM have to start" if stack == LOCAL else ""
    say(f"[2/3] pulumi up --stack {stack}{wait}")
    # Stack local has nothing to lose, so it needs no confirmation. For a cloud stack Pulumi shows the preview and asks.
    answer = ["--yes", "--skip-preview"] if stack == LOCAL else ["--yes"] if confirmed else []
    if _pulumi("up", stack, context, *policy_pack_options(stack), *answer):
        raise CliError(
            f"`pulumi up` did not finish. Resources that it created stay. `make up STACK={stack}` continues, "
            f"`make down STACK={stack}` removes them."
        )
    return _report_local(context) if stack == LOCAL else 0


def preview(stack: str) -> int:
    """Show the changes that `up` would make. For a cloud stack, also explain them (tools/preview/render.py)."""
    context = _prepare(stack)
    _init_own_stack(stack, context)
    say(f"[2/2] pulumi preview --stack {stack}")
    options = [*policy_pack_options(stack), *os.environ.get("ARGS", "").split()]
    if stack == LOCAL or "--event-log" in options:
        return _pulumi("preview", stack, context, *options)
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events"
        context.env_vars["PULUMI_DEBUG_COMMANDS"] = "true"  # enables --event-log
        status = _pulumi("preview", stack, context, "--event-log", str(events), *options)
        if events.exists():
            command = [venvs.program_tool("python"), "-m", "tools.preview.render", str(events), stack]
            subprocess.run(command, cwd=CHECKOUT, env=context.env_vars)
    return status


def down(stack: str) -> int:
    """Destroy the stack. For a cloud stack, ask for its name first."""
    _confirm_down(stack)
    context = _prepare(stack, program_only=True, changes=True)
    if stack == LOCAL and not _exists(stack, context):
        say("Stack local does not exist in this checkout. Nothing to destroy.")
        return 0
    _init_own_stack(stack, context)
    if stack != LOCAL:
        _check_project(stack, context)
    say(f"[2/2] pulumi destroy --stack {stack}")
    answer = ["--yes", "--skip-preview"] if stack == LOCAL else ["--yes"] if os.environ.get("YES") == stack else []
    status = _pulumi("destroy", stack, context, *answer)
    if status == 0 and context.command_prefix:
        stack_context.stop_control_planes(stack)
    return status


def verify(stack: str) -> int:
    """Compare the running stack with what the last `up` declared (verify/). Changes nothing."""
    if stack != LOCAL and not shutil.which("kubectl"):
        raise CliError("`make verify` queries pods through `kubectl`, which is not on PATH. Install kubectl.")
    context = _prepare(stack, program_only=True)
    venvs.ensure_program("verify")
    if not _exists(stack, context):
        raise CliError(_missing(stack))
    say(f"[2/2] compare the running stack with the last `pulumi up --stack {stack}`")
    with _exported_state(stack, context) as state:
        context.env_vars["RAYLLM_STATE"] = state
        return _run_program(context, "pytest", *VERIFY_PYTEST_ARGS)


def chat(stack: str) -> int:
    """Chat with the running model (tools/chat.py): on loopback, through the gateway, or through a forwarded port."""
    with contextlib.redirect_stdout(sys.stderr):  # standard output has the answers alone
        context = _prepare(stack, program_only=True)
        if not _exists(stack, context):
            raise CliError(_missing(stack))
    with _exported_state(stack, context) as state:
        return _run_program(context, "tools.chat", state, stack)


def keys(stack: str) -> int:
    """List the API keys; ADD=NAME makes one and prints it, REVOKE=NAME removes one (tools/keys.py)."""
    with contextlib.redirect_stdout(sys.stderr):  # standard output has the key alone
        context = _prepare(stack, program_only=True)
        if not _exists(stack, context):
            raise CliError(_missing(stack))
    options = {"--add": os.environ.get("ADD", ""), "--revoke": os.environ.get("REVOKE", "")}
    words = [word for option, name in options.items() if name for word in (option, name)]
    with _exported_state(stack, context) as state:
        return _run_program(context, "tools.keys", state, stack, *words)


def print_env(stack: str) -> int:
    """Print the variables that a shell needs to run `pulumi` itself: `eval "$(make -s env)"`."""
    with contextlib.redirect_stdout(sys.stderr):  # the shell evaluates standard output
        cli = pulumi_cli.find_or_build()
        context = _context(stack, cli, changes=False)
    wanted = {**cli.env_vars, **BASE_ENV_VARS, **context.env_vars}
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            say(f"export {name}='{value}'")
    return 0


def clean(_stack: str) -> int:
    """Destroy stack local if it exists, then remove both virtual environments and .state."""
    if (STATE / "backend").exists():
        if not venvs.PROGRAM.exists():
            raise CliError("Stack local may still run, and .venv is missing. Run `make down` first.")
        down(LOCAL)
    stack_context.stop_control_planes()
    for folder in (venvs.PROGRAM, venvs.RAY, STATE):
        shutil.rmtree(folder, ignore_errors=True)
    say(
        f"Removed .venv, .venv-ray and .state. Other clones still use {cache_dir()}: the built Pulumi CLI and "
        "the downloaded model. Delete that directory to remove them."
    )
    return 0


def policy_pack_options(stack: str) -> list[str]:
    """Return the `pulumi` options that enable the policy pack: none for stack local.

    policies/<stack>.json configures the pack. Without that file every policy is mandatory.
    """
    if stack == LOCAL:
        return []
    config = f"policies/{stack}.json"
    return ["--policy-pack", "policies", *(["--policy-pack-config", config] if (CHECKOUT / config).exists() else [])]


def _confirmed_up(stack: str) -> bool:
    """Return whether YES answers Pulumi's question. Raises `CliError` for a word that may mean no."""
    answer = os.environ.get("YES", "")
    if answer not in ("", "1", "yes", "true", stack):
        raise CliError(
            f"YES={answer[:60]} is unknown. Nothing was changed. Write YES=1 or YES={stack} to update without a "
            "question, or leave YES out to be asked."
        )
    return bool(answer)


def _confirm_down(stack: str) -> None:
    """Ask for the name of a cloud stack before anything else happens.

    A pipeline sets YES to the stack's name, so the YES=1 that a shell may have for `up` does not count. The program
    refuses to destroy protected resources in any case.
    """
    if stack == LOCAL or os.environ.get("YES") == stack:
        return
    if not sys.stdin.isatty():
        raise CliError(
            f"`make down` asks for the name of stack {stack}, and standard input is not a terminal. Run "
            f"`make down STACK={stack}` in a terminal, or set YES={stack} to confirm in a pipeline."
        )
    say(f"This destroys stack {stack}. Type its name to continue:")
    if sys.stdin.readline().strip() != stack:
        raise CliError(f"The name is not {stack}. Nothing was changed.")


def _check_project(stack: str, context: StackContext) -> None:
    """Raise `CliError` if the state belongs to another project than the stack's file names.

    `pulumi destroy` acts on the project in the state, whatever the file says. A wrong PULUMI_BACKEND_URL selects such a
    state.
    """
    state = json.loads(_pulumi_output(["stack", "export", "--stack", stack], context))
    resources = (state.get("deployment") or {}).get("resources") or []
    projects = {r["inputs"].get("project", "") for r in resources if r["type"] == GOOGLE_PROVIDER}
    if not projects:
        return  # the state has no Google resources
    config_file = ["--config-file", str(context.config_file)] if context.config_file else []
    query = ["config", "get", "--path", "rayllm:infra.project.id", "--stack", stack, *config_file]
    configured = _pulumi_output(query, context).strip()
    if projects != {configured}:
        raise CliError(
            f"The state of {stack} belongs to project {', '.join(sorted(projects))}, and Pulumi.{stack}.yaml names "
            f"{configured}. Nothing was changed, because `pulumi destroy` would delete the resources of the first. Set "
            f"PULUMI_BACKEND_URL to the state of {configured}, or write the state's project in the file."
        )


def _prepare(stack: str, *, program_only: bool = False, changes: bool = False) -> StackContext:
    """Install tools and packages. Return the stack's context with all variables that `pulumi` runs with."""
    stack_context.require_stack_file(stack)
    say("[1/{}] tools and packages".format("3" if stack == LOCAL and not program_only else "2"))
    found: list[pulumi_cli.PulumiCli] = []

    def get_cli() -> None:
        found.append(pulumi_cli.find_or_build())

    def get_packages_and_model() -> None:
        venvs.ensure_program()
        if serves_here:
            model_weights.ensure(CHECKOUT / f"Pulumi.{stack}.yaml")

    serves_here = stack == LOCAL and not program_only
    console.run_parallel(get_cli, get_packages_and_model, *([venvs.ensure_ray] if serves_here else []))
    [cli] = found
    context = _context(stack, cli, changes=changes)
    say(f"  {cli.label}")
    if context.label:
        say(f"  {context.label}")
    return replace(context, env_vars={**os.environ, **cli.env_vars, **BASE_ENV_VARS, **context.env_vars})


def _context(stack: str, cli: pulumi_cli.PulumiCli, *, changes: bool) -> StackContext:
    if stack != LOCAL:
        return stack_context.resolve(stack, cli, changes=changes)
    # A backend of its own: it neither needs nor changes your `pulumi login`. This stack has no secrets.
    (STATE / "backend").mkdir(parents=True, exist_ok=True)
    env_vars = {
        "PULUMI_HOME": str(STATE / "pulumi-home"),
        "PULUMI_BACKEND_URL": f"file://{STATE / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": "",
    }
    return StackContext(env_vars)


def _init_own_stack(stack: str, context: StackContext) -> None:
    """Run `pulumi stack init` if the state backend is below .state/. A team creates its own (docs/how-to/state.md)."""
    backend = context.env_vars.get("PULUMI_BACKEND_URL", "")
    if not backend.startswith(f"file://{STATE}"):
        return
    remove_stale_lock(stack, Path(backend.removeprefix("file://")))
    end_orphaned_plugins(context.env_vars["PULUMI_HOME"])
    if not _exists(stack, context):
        folder = context.config_file.parent if context.config_file else CHECKOUT
        console.run(["pulumi", "stack", "init", stack, "--no-select"], "pulumi", env=context.env_vars, cwd=folder)


def _missing(stack: str) -> str:
    return f"Stack {stack} does not exist. `make up STACK={stack}` creates it."


def _exists(stack: str, context: StackContext) -> bool:
    return any(s["name"] == stack for s in json.loads(_pulumi_output(["stack", "ls", "--json"], context)))


def _pulumi(command: str, stack: str, context: StackContext, *options: str) -> int:
    config_file = ["--config-file", str(context.config_file)] if context.config_file else []
    words = [*context.command_prefix, "pulumi", command, "--stack", stack, *config_file, *options]
    return subprocess.run(words, cwd=CHECKOUT, env=context.env_vars).returncode


def _pulumi_output(arguments: list[str], context: StackContext) -> str:
    return console.run(["pulumi", *arguments], f"pulumi {arguments[0]}", env=context.env_vars, cwd=CHECKOUT)


@contextlib.contextmanager
def _exported_state(stack: str, context: StackContext) -> Iterator[str]:
    """Yield the path of a file with the stack's state, in the form of `pulumi stack export`."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.json"
        state.write_text(_pulumi_output(["stack", "export", "--stack", stack], context))
        yield str(state)


def _run_program(context: StackContext, module: str, *arguments: str) -> int:
    """Run a Python module of .venv where the stack's clusters can be reached. Return its exit status."""
    command = [*context.command_prefix, venvs.program_tool("python"), "-m", module, *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=context.env_vars).returncode


def _report_local(context: StackContext) -> int:
    """Check the running system, print its addresses and stream one answer (verify/local_report.py)."""
    say("[3/3] checks of the running system")
    outputs = _pulumi_output(["stack", "output", "--json", "--stack", LOCAL], context)
    command = [venvs.program_tool("python"), "-m", "verify.local_report"]
    status = subprocess.run(command, cwd=CHECKOUT, env=context.env_vars, input=outputs, text=True).returncode
    venvs.cache_bytecode()
    return status


COMMANDS: dict[str, Callable[[str], int]] = {
    "up": up,
    "preview": preview,
    "down": down,
    "verify": verify,
    "chat": chat,
    "keys": keys,
    "env": print_env,
    "clean": clean,
}

if __name__ == "__main__":
    console.main(lambda: COMMANDS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else LOCAL))
