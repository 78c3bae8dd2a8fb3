"""Run the real Pulumi CLI on a project of a test: own PULUMI_HOME, own file backend, no network.

Nothing here knows Google. `rehearsal.install_plugins` installs the stand-in plugins into `PulumiProject.pulumi_home`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from paths import CHECKOUT

DYNAMIC_PROVIDER = "pulumi:providers:pulumi-python"
STACK = "pulumi:pulumi:Stack"
TIMEOUT_S = 1200
"""For one command; only a command that hangs reaches it. It is longer than the `ready_timeout_s` of a stack that runs
for real, so that an `up` that waits in vain reports why."""
OPERATION_NAMES = {"create-replacement": "replace", "delete-replaced": "replace"}
"""The engine's steps of a replacement -> replace."""
UNCHANGED = ("same", "read", "refresh")
"""The engine's steps that change nothing."""
_PROGRESS = re.compile(r"@ |\s*$| [~=]\s+\S+:\S+ \S+ refresh(ing)?( \([\d.]+s\))?\s*$")
"""Lines of the CLI that only report progress."""


@dataclass(frozen=True)
class Step:
    """One operation of the engine on one resource. Unknown and secret values are Pulumi's markers."""

    op: str
    """The engine's name: create, update, replace, delete, same, read, refresh ..."""
    urn: str
    type: str
    name: str
    inputs: Mapping[str, Any]
    """Inputs after the step; for a deleted resource, its last inputs."""
    detailed_diff: Mapping[str, str]
    """Path -> add, update, delete, add-replace, update-replace, delete-replace."""
    replaces: tuple[str, ...]
    """Inputs that force the replacement."""


@dataclass(frozen=True)
class CommandResult:
    """The result of a CLI command."""

    status: int
    text: str
    """Standard output and error together, in order."""
    steps: tuple[Step, ...] = ()
    failed: frozenset[str] = frozenset()
    """Names of resources whose step failed."""

    def ok(self) -> CommandResult:
        """Return this result if the command succeeded. Raises `AssertionError` with the output without progress lines.

        The error then stands at the end, where a shortened report still shows it.
        """
        assert self.status == 0, "\n".join(line for line in self.text.splitlines() if not _PROGRESS.match(line))
        return self

    @property
    def counts(self) -> Counter[str]:
        """Number of steps for each operation, without the stack itself."""
        return Counter(step.op for step in self.steps if step.type != STACK)

    def inventory(self, type_: str = "") -> dict[str, Mapping[str, Any]]:
        """Return name -> inputs of every resource that exists after the command, of types that contain `type_`."""
        return {s.name: s.inputs for s in self.steps if s.op not in ("delete", "replace") and type_ in s.type}

    def changes(self) -> dict[str, str]:
        """Return name -> create, update, replace or delete, for each resource that changes.

        The stack and the default provider of dynamic resources are left out. That provider contains the stack's
        settings, and changes with them.
        """
        return {
            step.name: OPERATION_NAMES.get(step.op, step.op)
            for step in self.steps
            if step.op not in UNCHANGED
            and step.type != STACK
            and (step.type, step.name) != (DYNAMIC_PROVIDER, "default")
        }


@dataclass
class PulumiProject:
    """One stack of one project, with all files in `work`. `from_source` and `from_checkout` make its `program`.

    The CLI is the one on PATH, where `make test` puts the one that tools/bootstrap/pulumi_cli.py found or built.
    """

    program: Path
    work: Path
    stack: str = "dev"
    policy_pack: Path | None = None
    env: dict[str, str] = field(default_factory=dict)
    """Variables of the test, in addition to those of `command_env`."""

    @classmethod
    def from_source(cls, work: Path, source: str, **options: Any) -> PulumiProject:
        """Return a project of one Python file, which runs in this checkout's virtual environment."""
        program = work / "project"
        program.mkdir(parents=True)
        settings = {"name": "inline", "runtime": {"name": "python", "options": {"virtualenv": str(CHECKOUT / ".venv")}}}
        (program / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
        project = cls(program, work, **options)
        project.write_program(source)
        return project

    @classmethod
    def from_checkout(cls, work: Path, checkout: Path = CHECKOUT, **options: Any) -> PulumiProject:
        """Return a project that links to the files of `checkout`; its Pulumi*.yaml are copies that a test may edit."""
        program = work / "project"
        program.mkdir(parents=True)
        for entry in checkout.iterdir():
            if entry.match("Pulumi*.yaml"):
                shutil.copyfile(entry, program / entry.name)
            elif not entry.name.startswith(".") or entry.name == ".venv":
                (program / entry.name).symlink_to(entry)
        return cls(program, work, **options)

    def __post_init__(self) -> None:
        self.pulumi_home.mkdir(parents=True, exist_ok=True)
        (self.work / "backend").mkdir(exist_ok=True)

    @property
    def pulumi_home(self) -> Path:
        """PULUMI_HOME of the project's commands; plugins are installed below it."""
        return self.work / "home"

    @property
    def stack_file(self) -> Path:
        """The stack's Pulumi.<stack>.yaml."""
        return self.program / f"Pulumi.{self.stack}.yaml"

    def write_program(self, source: str) -> None:
        """Replace the program of a project made by `from_source`."""
        (self.program / "__main__.py").write_text(source)

    def command_env(self) -> dict[str, str]:
        """Return all environment variables of a command."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PULUMI_", "GOOGLE_", "CLOUDSDK_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode, each run would parse hundreds of modules
        return {
            **kept,
            "PULUMI_HOME": str(self.pulumi_home),
            "PULUMI_BACKEND_URL": f"file://{self.work / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
            "PULUMI_CREDENTIAL_STORE": "plaintext",
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            "PYTHONFAULTHANDLER": "1",  # a language host that crashes prints a traceback
            "VIRTUAL_ENV": str(CHECKOUT / ".venv"),
            "NO_COLOR": "1",
            **self.env,
        }

    def init(self, config: Mapping[str, str] | None = None) -> PulumiProject:
        """Create the stack, and set `config` as plain text (`gcp:project`). Return this project."""
        self.run("stack", "init", self.stack).ok()
        if config:
            self.run("config", "set-all", *(w for k, v in config.items() for w in ("--plaintext", f"{k}={v}"))).ok()
        return self

    def preview(self, *words: str) -> CommandResult:
        """Run `pulumi preview`."""
        return self._operation("preview", *words)

    def up(self, *words: str) -> CommandResult:
        """Run `pulumi up` without the preview before it."""
        return self._operation("up", "--yes", "--skip-preview", *words)

    def refresh(self, *words: str) -> CommandResult:
        """Run `pulumi refresh`."""
        return self._operation("refresh", "--yes", *words)

    def destroy(self, *words: str) -> CommandResult:
        """Run `pulumi destroy`."""
        return self._operation("destroy", "--yes", *words)

    def cancel(self) -> CommandResult:
        """Run `pulumi cancel`, which removes the lock of a command that was killed."""
        return self.run("cancel", "--yes", "--stack", self.stack)

    def export(self) -> dict[str, Any]:
        """Return the exported state: `deployment.resources`, `deployment.pending_operations`."""
        return json.loads(self.run("stack", "export", "--stack", self.stack).ok().text)

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, with secrets in plain text."""
        return json.loads(self.run("stack", "output", "--json", "--show-secrets", "--stack", self.stack).ok().text)

    def start(self, *words: str) -> RunningCommand:
        """Start a CLI command without waiting for it, for tests that interrupt it."""
        log = Path(tempfile.mkstemp(dir=self.work, suffix=".log")[1])
        with log.open("w") as out:
            process = subprocess.Popen(
                ["pulumi", *words, "--non-interactive"],
                cwd=self.program,
                env=self.command_env(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return RunningCommand(process, log)

    def run(self, *words: str) -> CommandResult:
        """Run a CLI command to its end."""
        return self.start(*words).wait()

    def _operation(self, command: str, *words: str) -> CommandResult:
        events = Path(tempfile.mkstemp(dir=self.work, suffix=".events")[1])
        pack = ["--policy-pack", str(self.policy_pack)] if self.policy_pack and command in ("preview", "up") else []
        show = ["--show-sames"] if command in ("preview", "up") else []
        done = self.run(command, "--stack", self.stack, "--event-log", str(events), *show, *pack, *words)
        return _with_steps(command, done, [json.loads(line) for line in events.read_text().splitlines()])


@dataclass(frozen=True)
class RunningCommand:
    """A CLI command that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> CommandResult:
        """Wait for the end of the command. Raises `subprocess.TimeoutExpired` after TIMEOUT_S."""
        try:
            status = self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return CommandResult(status, self.log.read_text())

    def kill(self) -> None:
        """End the CLI alone with kill -9, as the loss of its machine would, and assert that its children end."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        _, left = psutil.wait_procs(children, timeout=60)
        for process in left:
            process.kill()
        assert not left, f"still running 60 s after the engine was killed: {left}"


def _with_steps(command: str, done: CommandResult, events: list[dict[str, Any]]) -> CommandResult:
    """Add the steps of the last pass to a result: the pass of the update itself, where a preview comes before it."""
    steps: dict[str, Step] = {}
    failed: set[str] = set()
    for event in events:
        if "preludeEvent" in event:
            steps.clear()
        if "resOpFailedEvent" in event:
            failed.add(event["resOpFailedEvent"]["metadata"]["urn"].split("::")[-1])
        # The result of a refresh is known after the step; the result of every other operation before it.
        meta = event.get("resOutputsEvent" if command == "refresh" else "resourcePreEvent", {}).get("metadata")
        if not meta:
            continue
        state = meta.get("new") or meta.get("old") or {}
        steps[f"{meta['op']} {meta['urn']}"] = Step(
            op=meta["op"],
            urn=meta["urn"],
            type=meta["type"],
            name=meta["urn"].split("::")[-1],
            inputs=state.get("inputs", {}),
            detailed_diff={path: diff["diffKind"] for path, diff in (meta.get("detailedDiff") or {}).items()},
            replaces=tuple(meta.get("keys") or ()),
        )
    return CommandResult(done.status, done.text, tuple(steps.values()), frozenset(failed))
