"""A small Python language host for Pulumi's engine, for CLIs built from Go modules (tools/bootstrap/pulumi_cli.py).

It is this project's own, not Pulumi's: the official host comes with every official installation, and is used wherever
there is one. This one speaks the same protocol (pulumirpc.LanguageRuntime, stubs from the `pulumi` package) and starts
programs with Pulumi's own `pulumi-language-python-exec`. It knows one way of finding the interpreter, the `virtualenv`
option of the project or of the policy pack, and installs nothing.

The engine starts it with its own address as the last argument, and reads the port it prints.
"""
# ruff: noqa: E402

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format

SDK = find_spec("pulumi")
assert SDK is not None
assert SDK.origin is not None
for name in ("pulumi", "pulumi.runtime"):  # the stubs without the SDK around them: half of the CPU seconds of a start
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = [str(Path(SDK.origin).parents[1].joinpath(*name.split(".")))]

from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

ALREADY_SHOWN = 32
"""Exit status by which the exec script says that the user has seen the error."""
MESSAGE_LIMIT = ("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)
PLUGINS = """
import json, pathlib, sys
found = {f for p in map(pathlib.Path, sys.path) if p.is_dir() for f in p.glob("*/pulumi-plugin.json")}
print(json.dumps([json.loads(f.read_text()) for f in sorted(found)]))
"""
PACKAGES = """
import importlib.metadata, json
print(json.dumps(sorted({(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()})))
"""
VERSION = "import json, sys; print(json.dumps(sys.version.split()[0]))"
"""Questions to a project's interpreter."""


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Answers the engine; every method is one of the protocol's."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="0.0.1")

    def About(self, request: Any, context: Any) -> Any:
        python = _interpreter(request.info, context)
        return language_pb2.AboutResponse(
            executable=python, version=_ask(python, VERSION, context), metadata={"host": "rayllm's own"}
        )

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        plugins = _ask(_interpreter(request.info, context), PLUGINS, context)
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=p["name"], kind="resource", version=p.get("version", ""), server=p.get("server", "")
                )
                for p in plugins
                if p.get("resource") and p.get("name")
            ]
        )

    def GetRequiredPlugins(self, request: Any, context: Any) -> Any:
        packages = self.GetRequiredPackages(request, context).packages
        return language_pb2.GetRequiredPluginsResponse(
            plugins=[
                plugin_pb2.PluginDependency(name=p.name, kind=p.kind, version=p.version, server=p.server)
                for p in packages
            ]
        )

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        packages = _ask(_interpreter(request.info, context), PACKAGES, context)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=name, version=version) for name, version in packages]
        )

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        yield language_pb2.InstallDependenciesResponse(stdout=b"`make` installs what this project needs from locks/.\n")

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Run(self, request: Any, context: Any) -> Any:
        info = request.info
        python = _interpreter(info, context)
        script = shutil.which("pulumi-language-python-exec")
        if script is None:
            return language_pb2.RunResponse(error="pulumi-language-python-exec is not on PATH: run `make env`.")
        options = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "root_directory": info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd or info.program_directory,
            "dry_run": "true" if request.dryRun else "false",
            "parallel": str(request.parallel),
            "tracing": "",
            "organization": request.organization,
        }
        program = os.path.normpath(Path(info.program_directory) / info.entry_point)
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        env = _environment(python)
        env["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        env["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        # The program's output goes where ours goes: the engine reads and shows it.
        process = subprocess.Popen(
            [python, "-u", script, *flags, program, *request.args], env=env, stdin=subprocess.DEVNULL
        )
        context.add_callback(lambda: process.poll() is None and process.terminate())
        status = process.wait()
        if status == ALREADY_SHOWN:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {status}" if status else "")

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:
        """Policy packs (kind analyzer) and providers that are Python programs."""
        python = _interpreter(request.info, context)
        given = dict(pair.split("=", 1) for pair in request.env if "=" in pair)
        target = request.info.program_directory
        pack = request.kind == "analyzer"
        arguments = ["-m", "pulumi.policy", *request.args, target] if pack else [target, *request.args]
        process = subprocess.Popen(
            [python, "-u", *arguments],
            cwd=request.pwd or None,
            env=_environment(python, given or None),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        context.add_callback(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGTERM))
        for name, chunk in _interleaved({"stdout": process.stdout, "stderr": process.stderr}):
            yield language_pb2.RunPluginResponse(**{name: chunk})  # type: ignore[arg-type]
        yield language_pb2.RunPluginResponse(exitcode=process.wait())


def _interpreter(info: Any, context: Any) -> str:
    """The Python of the project's `virtualenv` option; ends the call with a sentence when it is not there."""
    folder = json_format.MessageToDict(info.options).get("virtualenv") or ".venv"
    python = Path(info.root_directory or info.program_directory) / folder / "bin" / "python"
    if not python.exists():
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{python} does not exist: `make` installs it from locks/.")
    return str(python)


def _environment(python: str, given: dict[str, str] | None = None) -> dict[str, str]:
    env = dict(os.environ if given is None else given)
    folder = Path(python).parent
    env["VIRTUAL_ENV"] = env["PULUMI_RUNTIME_VIRTUALENV"] = str(folder.parent)  # the second: for dynamic providers
    env["PATH"] = f"{folder}{os.pathsep}{env.get('PATH', '')}"
    return env


def _ask(python: str, question: str, context: Any) -> Any:
    run = subprocess.run([python, "-c", question], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if run.returncode != 0:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, run.stderr)
    return json.loads(run.stdout)


def _interleaved(streams: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    chunks: queue.Queue[tuple[str, bytes] | None] = queue.Queue()

    def pump(name: str, stream: Any) -> None:
        while chunk := os.read(stream.fileno(), 4096):
            chunks.put((name, chunk))
        chunks.put(None)

    for name, stream in streams.items():
        threading.Thread(target=pump, args=(name, stream), daemon=True).start()
    for _ in streams:
        while (item := chunks.get()) is not None:
            yield item


def main() -> None:
    addresses = [word for word in sys.argv[1:] if not word.startswith("-")]
    server = grpc.server(futures.ThreadPoolExecutor(32), options=list(MESSAGE_LIMIT))
    host = LanguageHost(addresses[-1] if addresses else "")
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # The engine ends its plugins with SIGINT and shows whatever they print then: end quietly.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: server.stop(0))
    print(port, flush=True)
    engine = os.getppid()
    while server.wait_for_termination(timeout=1) and os.getppid() == engine:
        pass  # still serving; an engine that was killed leaves us to another parent
    os._exit(0)


if __name__ == "__main__":
    main()
