"""The real Pulumi CLI on a project folder, away from anybody's stacks: own home, file backend, no network needed.

Nothing here knows of Google; rehearsal/google mounts its stand-in into `Engine.home`.
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

DYNAMIC = "pulumi:providers:pulumi-python"
TIME_LIMIT_S = 1200
"""For one command; only what hangs misses it. More than the `ready_timeout_s` of a stack that runs for real, so that an
`up` which waits in vain says why."""
_PROGRESS = re.compile(r"@ |\s*$| [~=]\s+\S+:\S+ \S+ refresh(ing)?( \([\d.]+s\))?\s*$")
"""Lines of the CLI that say nothing but that it is at work."""


@dataclass(frozen=True)
class Step:
    """One thing that the engine does, or would do, to one resource. Unknown and secret values are Pulumi's marks."""

    op: str
    """create, update, replace, delete, same, read, refresh ... as the engine names them."""
    urn: str
    type: str
    name: str
    inputs: Mapping[str, Any]
    """After the step; of a deleted resource those it had."""
    differs: Mapping[str, str]
    """Path -> add, update, delete, add-replace, update-replace, delete-replace."""
    replaces: tuple[str, ...]
    """Inputs that force the replacement."""


@dataclass(frozen=True)
class Result:
    """What a command did and said."""

    status: int
    text: str
    """Standard output and error, as a person sees them."""
    steps: tuple[Step, ...] = ()
    failed: frozenset[str] = frozenset()
    """Names of resources whose step did not succeed."""

    def ok(self) -> Result:
        """Itself, if it went well; otherwise what went wrong comes last, where a cut-off report still has it."""
        assert self.status == 0, "\n".join(line for line in self.text.splitlines() if not _PROGRESS.match(line))
        return self

    @property
    def counts(self) -> Counter[str]:
        """How many of each operation, without the stack itself."""
        return Counter(s.op for s in self.steps if s.type != "pulumi:pulumi:Stack")

    def inventory(self, type_: str = "") -> dict[str, Mapping[str, Any]]:
        """Name -> inputs of every resource that is there afterwards, of types that contain `type_`."""
        return {s.name: s.inputs for s in self.steps if s.op not in ("delete", "replace") and type_ in s.type}

    def changed(self) -> dict[str, str]:
        """Name -> create, update, replace or delete, for each resource that does not stay as it is.

        Default providers are left out: that of dynamic resources carries the stack's settings, and changes with them.
        """
        out: dict[str, str] = {}
        for step in self.steps:
            op = {"create-replacement": "replace", "delete-replaced": "replace"}.get(step.op, step.op)
            own = step.type == "pulumi:pulumi:Stack" or (step.type, step.name) == (DYNAMIC, "default")
            if op not in ("same", "read", "refresh") and not own:
                out[step.name] = op
        return out


@dataclass
class Engine:
    """One stack of one project, in `work`. `program` is made by `inline` or `shadow`. The CLI is the one on PATH, where
    `make test` puts the one that tools/bootstrap/pulumi_cli.py found or built."""

    program: Path
    work: Path
    stack: str = "dev"
    policy_pack: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that a test wants, on top of `variables`."""

    @classmethod
    def inline(cls, work: Path, source: str, **options: Any) -> Engine:
        """A project of one file of Python, run in this checkout's virtual environment."""
        program = work / "project"
        program.mkdir(parents=True)
        project = {"name": "inline", "runtime": {"name": "python", "options": {"virtualenv": str(CHECKOUT / ".venv")}}}
        (program / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        engine = cls(program, work, **options)
        engine.write(source)
        return engine

    @classmethod
    def shadow(cls, work: Path, checkout: Path = CHECKOUT, **options: Any) -> Engine:
        """A project that is `checkout`, by links; its Pulumi*.yaml are copies, so that a test may change them."""
        program = work / "project"
        program.mkdir(parents=True)
        for entry in checkout.iterdir():
            if entry.match("Pulumi*.yaml"):
                shutil.copyfile(entry, program / entry.name)
            elif not entry.name.startswith(".") or entry.name == ".venv":
                (program / entry.name).symlink_to(entry)
        return cls(program, work, **options)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.work / "backend").mkdir(exist_ok=True)

    @property
    def home(self) -> Path:
        """PULUMI_HOME: plugins are mounted below it."""
        return self.work / "home"

    @property
    def settings(self) -> Path:
        """The stack's file."""
        return self.program / f"Pulumi.{self.stack}.yaml"

    def write(self, source: str) -> None:
        """Replace an inline program."""
        (self.program / "__main__.py").write_text(source)

    def variables(self) -> dict[str, str]:
        """The whole environment of a command."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PULUMI_", "GOOGLE_", "CLOUDSDK_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # the program would parse hundreds of modules in each run
        return {
            **kept,
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": f"file://{self.work / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "rig",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
            "PULUMI_CREDENTIAL_STORE": "plaintext",
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            "PYTHONFAULTHANDLER": "1",  # a language host that crashes says where
            "VIRTUAL_ENV": str(CHECKOUT / ".venv"),
            "NO_COLOR": "1",
            **self.environment,
        }

    def init(self, config: Mapping[str, str] | None = None) -> Engine:
        """Make the stack; `config` is set as text (`gcp:project`)."""
        self.run("stack", "init", self.stack).ok()
        if config:
            self.run("config", "set-all", *(w for k, v in config.items() for w in ("--plaintext", f"{k}={v}"))).ok()
        return self

    def preview(self, *words: str) -> Result:
        """What `up` would do."""
        return self._operation("preview", *words)

    def up(self, *words: str) -> Result:
        """Apply, without the preview that the CLI would make beforehand."""
        return self._operation("up", "--yes", "--skip-preview", *words)

    def refresh(self, *words: str) -> Result:
        """Take what is really there into the state."""
        return self._operation("refresh", "--yes", *words)

    def destroy(self, *words: str) -> Result:
        """Delete everything."""
        return self._operation("destroy", "--yes", *words)

    def cancel(self) -> Result:
        """Clear the lock of a command that was killed."""
        return self.run("cancel", "--yes", "--stack", self.stack)

    def export(self) -> dict[str, Any]:
        """The state: `deployment.resources`, `deployment.pending_operations`."""
        return json.loads(self.run("stack", "export", "--stack", self.stack).ok().text)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in clear text."""
        return json.loads(self.run("stack", "output", "--json", "--show-secrets", "--stack", self.stack).ok().text)

    def start(self, *words: str) -> Running:
        """Begin a command and come back at once: for tests that interrupt it."""
        log = Path(tempfile.mkstemp(dir=self.work, suffix=".log")[1])
        with log.open("w") as out:
            process = subprocess.Popen(
                ["pulumi", *words, "--non-interactive"],
                cwd=self.program,
                env=self.variables(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return Running(process, log)

    def run(self, *words: str) -> Result:
        """Any command, to its end."""
        return self.start(*words).wait()

    def _operation(self, command: str, *words: str) -> Result:
        events = Path(tempfile.mkstemp(dir=self.work, suffix=".events")[1])
        pack = ["--policy-pack", str(self.policy_pack)] if self.policy_pack and command in ("preview", "up") else []
        show = ["--show-sames"] if command in ("preview", "up") else []
        done = self.run(command, "--stack", self.stack, "--event-log", str(events), *show, *pack, *words)
        return _read(command, done, [json.loads(line) for line in events.read_text().splitlines()])


@dataclass(frozen=True)
class Running:
    """A command at work."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> Result:
        """Let it end."""
        try:
            status = self.process.wait(TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return Result(status, self.log.read_text())

    def kill(self) -> None:
        """kill -9 the CLI alone, as a lost machine would; then see that what it had started ends by itself."""
        started = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        _, left = psutil.wait_procs(started, timeout=60)
        for process in left:
            process.kill()
        assert not left, f"still there 60 s after the engine was killed: {left}"


def _read(command: str, done: Result, events: list[dict[str, Any]]) -> Result:
    """Steps of the operation's last pass: of the update itself, where there is a preview before it."""
    steps: dict[str, Step] = {}
    failed: set[str] = set()
    for event in events:
        if "preludeEvent" in event:
            steps.clear()
        if "resOpFailedEvent" in event:
            failed.add(event["resOpFailedEvent"]["metadata"]["urn"].split("::")[-1])
        # What a refresh finds is known when it is done; every other operation is known before.
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
            differs={path: diff["diffKind"] for path, diff in (meta.get("detailedDiff") or {}).items()},
            replaces=tuple(meta.get("keys") or ()),
        )
    return Result(done.status, done.text, tuple(steps.values()), frozenset(failed))
